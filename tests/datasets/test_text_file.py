"""Text from any editor is read; what is no UTF-8 text is refused by one short line."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from lt_plugins.datasets.text_file import excerpt, read_class_names, read_lines, show_path
from lt_plugins.errors import UserInputError
from lt_plugins.terminal import displayable

TEXT = "train/a b.jpg 0\nvélo.jpg 1\n"


@pytest.mark.parametrize(
    "data",
    [
        TEXT.encode(),
        TEXT.rstrip().encode(),
        TEXT.encode("utf-8-sig"),
        TEXT.replace("\n", "\r\n").encode("utf-8-sig"),
        TEXT.replace("\n", "\r").encode(),
        b"".join(line.encode("utf-8-sig") for line in TEXT.splitlines(keepends=True)),
    ],
    ids=["unix", "no last line feed", "byte order mark", "windows", "old mac", "put together"],
)
def test_any_editor(tmp_path: Path, data: bytes) -> None:
    (tmp_path / "x.txt").write_bytes(data)
    assert read_lines(tmp_path / "x.txt", "list file", "") == ["train/a b.jpg 0", "vélo.jpg 1"]


def test_separators_within_names_stay(tmp_path: Path) -> None:
    (tmp_path / "x.txt").write_text("a\x0cb\u2028c\n\nd")
    assert read_lines(tmp_path / "x.txt", "list file", "") == ["a\x0cb\u2028c", "", "d"]


@pytest.mark.parametrize(
    ("data", "message"),
    [
        (TEXT.encode("utf-16"), r"x.txt is UTF-16 or UTF-32; save it as UTF-8"),
        (TEXT.encode("utf-32"), r"x.txt is UTF-16 or UTF-32"),
        (TEXT.encode("utf-16-le"), r"line 1: .* holds a NUL byte, so it is binary or UTF-16"),
        (b"a.jpg 0\nb\0.jpg 1", r"line 2: 'b\\x00.jpg 1' holds a NUL byte"),
        (TEXT.encode("latin-1"), r"line 2: 'v\\udce9lo.jpg 1' is not UTF-8"),
        (b"\xef\xbb\xbfa 0\nb\nc\xe9", r"line 3: 'c\\udce9' is not UTF-8"),
        (b"\x89PNG\r\n\x1a\n\xff\xd8" * 99, r"line 1: .* is not UTF-8"),
        (b"ok\n" + b"x" * 10**6, r"line 2: 'xxx.*\.\.\.' has 1,000,000 characters"),
    ],
)
def test_refused_by_a_short_line(tmp_path: Path, data: bytes, message: str) -> None:
    (tmp_path / "x.txt").write_bytes(data)
    with pytest.raises(UserInputError, match=message) as caught:
        read_lines(tmp_path / "x.txt", "list file", "")
    assert len(str(caught.value)) < 250 + len(str(tmp_path))
    assert "\n" not in str(caught.value)


def test_a_huge_binary_file_is_not_read_whole(tmp_path: Path) -> None:
    with (tmp_path / "x.txt").open("wb") as file:
        file.truncate(10**13)
    with pytest.raises(UserInputError, match=r"x.txt, line 1: .* holds a NUL byte"):
        read_lines(tmp_path / "x.txt", "list file", "")


@pytest.mark.parametrize(("kind", "message"), [("pipe", "a device, pipe or socket"), ("folder", "a folder")])
def test_only_regular_files(tmp_path: Path, kind: str, message: str) -> None:
    path = tmp_path / "x.txt"
    os.mkfifo(path) if kind == "pipe" else path.mkdir()
    with pytest.raises(UserInputError, match=f"x.txt is {message}, expected a text file; the hint"):
        read_lines(path, "list file", "the hint")


@pytest.mark.parametrize("name", ["nowhere.txt", "x" * 5000, "nul\0byte"])
def test_missing(tmp_path: Path, name: str) -> None:
    with pytest.raises(UserInputError, match="not found; the hint") as caught:
        read_lines(f"{tmp_path}/{name}", "list file", "the hint")
    assert len(str(caught.value)) < 600


def test_class_names(tmp_path: Path) -> None:
    path = tmp_path / "names.txt"
    path.write_bytes(b"\xef\xbb\xbfcat\r\n big dog \r\n\r\n")
    assert read_class_names(path) == ("cat", "big dog")
    path.write_text("cat\n\ndog\n")
    with pytest.raises(UserInputError, match=r"names.txt, line 2 is blank, which would shift all labels"):
        read_class_names(path)
    path.write_text("\n \n")
    with pytest.raises(UserInputError, match=r"names.txt is empty"):
        read_class_names(path)


def test_what_is_shown() -> None:
    assert excerpt("a" * 100, 5) == "'aaaaa...'"
    assert excerpt("\x1b[31m\udce9") == r"'\x1b[31m\udce9'"
    assert displayable("vélo می‌خواهم 犬") == "vélo می‌خواهم 犬"
    assert displayable("caf\udce9\n\x1b[2J\u202e") == r"caf\udce9\n\x1b[2J\u202e"
    assert len(show_path("x" * 100_000)) < 410
