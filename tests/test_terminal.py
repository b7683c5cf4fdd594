"""Text of unknown origin reaches a terminal as something to read."""

from __future__ import annotations

import io
import os
import sys
from pathlib import Path

import pytest

from lt_plugins.terminal import OutputClosed, PrintableStream, drawing_stream, one_line, printable, raw_stream


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("\x1b[31mred\x1b[0m", r"\x1b[31mred\x1b[0m"),
        ("\x1b]0;title\x07", r"\x1b]0;title\x07"),
        ("a\rb\x08c\x7f", r"a\rb\x08c\x7f"),
        ("\x9b2J", r"\x9b2J"),
        ("abc\u202egpj.exe", r"abc\u202egpj.exe"),
        (os.fsdecode(b"caf\xe9.jpg"), r"caf\udce9.jpg"),
        ("\ud800", r"\ud800"),
        ("two\nlines\tand a tab, Übung 猫", "two\nlines\tand a tab, Übung 猫"),
    ],
)
def test_printable(text: str, shown: str) -> None:
    assert printable(text) == shown
    assert printable(shown) == shown


def test_one_line() -> None:
    assert one_line("a\n  b\x1bc\u2028d\n") == r"a b\x1bc d"


def test_stream_shows_control_characters() -> None:
    raw = io.StringIO()
    stream = PrintableStream(raw)
    print("a\x1b[2Jb", file=stream)
    stream.writelines(["\r", "c\n"])
    assert raw.getvalue() == "a\\x1b[2Jb\n\\rc\n"
    assert raw_stream(stream) is raw
    assert raw_stream(raw) is raw
    assert drawing_stream(stream) is stream
    raw.isatty = lambda: True
    assert drawing_stream(stream) is raw


def test_stream_of_an_old_encoding() -> None:
    raw = io.TextIOWrapper(io.BytesIO(), encoding="ascii")
    stream = PrintableStream(raw)
    stream.write("Übung 猫\n")
    stream.flush()
    assert raw.buffer.getvalue() == rb"\xdcbung \u732b" + b"\n"


def test_nobody_reads() -> None:
    read, write = os.pipe()
    os.close(read)
    with os.fdopen(write, "w") as raw:
        stream = PrintableStream(raw)
        stream.write("buffered")
        with pytest.raises(OutputClosed) as caught:
            stream.flush()
        assert caught.value.code == 141
        stream.flush()  # to nowhere, from now on: what the interpreter does at exit


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="no /dev/full")
def test_output_to_a_full_disk_names_it() -> None:
    with Path("/dev/full").open("w") as raw:
        stream = PrintableStream(raw)
        stream.write("buffered")
        with pytest.raises(OSError, match=r"No space left on device: 'the output'"):
            stream.flush()


def test_standard_streams_are_untouched() -> None:
    assert not isinstance(sys.stdout, PrintableStream)
