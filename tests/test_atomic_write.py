"""A file is written whole or not at all, and what is at its path stays what it was: link, mode, device."""

from __future__ import annotations

import os
import socket
import stat
import subprocess
import sys
import threading
from pathlib import Path

import pytest

from lt_plugins.atomic_write import TEMPORARY_SUFFIX, atomic_write, check_output, growing_file
from lt_plugins.errors import UserInputError


def write_in_a_process(target: str, **options: object) -> subprocess.CompletedProcess[bytes]:
    """Print, write to a path and print again, as a tool with ``--out`` does."""
    code = "from lt_plugins.atomic_write import atomic_write; print(1); atomic_write({!r}, b'data\\n'); print(2)"
    return subprocess.run([sys.executable, "-c", code.format(target)], check=True, **options)  # type: ignore[call-overload]


def test_a_new_file_has_the_mode_of_the_umask(tmp_path: Path) -> None:
    before = os.umask(0o027)
    try:
        atomic_write(tmp_path / "new" / "a", b"1")
    finally:
        os.umask(before)
    assert stat.S_IMODE((tmp_path / "new" / "a").stat().st_mode) == 0o640


@pytest.mark.parametrize("mode", [0o600, 0o664, 0o755])
def test_a_replaced_file_keeps_mode_and_owner(mode: int, tmp_path: Path) -> None:
    path = tmp_path / "a"
    path.write_bytes(b"old")
    path.chmod(mode)
    owner = (1234, 1234) if os.geteuid() == 0 else (os.geteuid(), os.getegid())
    os.chown(path, *owner)
    atomic_write(path, b"new")
    found = path.stat()
    assert (path.read_bytes(), stat.S_IMODE(found.st_mode), (found.st_uid, found.st_gid)) == (b"new", mode, owner)
    assert [*tmp_path.iterdir()] == [path]


@pytest.mark.parametrize("exists", [True, False])
def test_a_link_stays_and_its_target_is_written(exists: bool, tmp_path: Path) -> None:
    (tmp_path / "folder").mkdir()
    target, link, second = tmp_path / "folder" / "target", tmp_path / "link", tmp_path / "second"
    if exists:
        target.write_bytes(b"old")
    link.symlink_to(Path("folder", "target"))
    second.symlink_to(link)
    atomic_write(second, b"new")
    assert (link.is_symlink(), second.is_symlink(), target.read_bytes()) == (True, True, b"new")
    assert {path.name for path in tmp_path.rglob("*")} == {"folder", "target", "link", "second"}


def test_links_in_a_circle_are_an_error(tmp_path: Path) -> None:
    (tmp_path / "a").symlink_to(tmp_path / "b")
    (tmp_path / "b").symlink_to(tmp_path / "a")
    with pytest.raises(OSError, match="symbolic links") as caught:
        atomic_write(tmp_path / "a", b"1")
    assert caught.value.filename == str(tmp_path / "a")


def test_devices_are_written_to_and_stay() -> None:
    null = Path("/dev/null")
    before = null.stat().st_ino
    atomic_write(null, b"1")
    assert null.stat().st_ino == before and null.is_char_device()
    with pytest.raises(OSError, match="No space left") as caught:
        atomic_write("/dev/full", b"1")
    assert caught.value.filename == "/dev/full"


def test_standard_output_goes_on_where_it_is(tmp_path: Path) -> None:
    """A pipe, and a file that the shell has opened, under all names."""
    assert write_in_a_process("/dev/stdout", stdout=subprocess.PIPE).stdout == b"1\ndata\n2\n"
    for name in ("/dev/stdout", "/dev/fd/1", "/proc/self/fd/1"):
        with (tmp_path / "out").open("wb") as file:
            write_in_a_process(name, stdout=file)
        assert (tmp_path / "out").read_bytes() == b"1\ndata\n2\n"


def test_a_fifo_is_written_to_if_it_is_read(tmp_path: Path) -> None:
    fifo, received = tmp_path / "fifo", bytearray()
    os.mkfifo(fifo)
    with pytest.raises(OSError, match="No such device") as caught:  # at once, instead of waiting for a reader
        atomic_write(fifo, b"1")
    assert caught.value.filename == str(fifo)
    opened = os.open(fifo, os.O_RDWR)  # for both ends, so that the reader does not find it closed
    data = bytes(1_000_000)  # more than a pipe holds

    def read() -> None:
        with os.fdopen(opened, "rb", buffering=0) as file:
            while len(received) < len(data):
                received.extend(file.read(len(data)))

    reader = threading.Thread(target=read)
    reader.start()
    atomic_write(fifo, data)
    reader.join()
    assert received == data and fifo.is_fifo()


def test_what_is_never_written_to(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    with socket.socket(socket.AF_UNIX) as listener:
        listener.bind("socket")
        for path, what in {tmp_path: "a folder", tmp_path / "socket": "a socket"}.items():
            for write in (lambda path=path: atomic_write(path, b"1"), lambda path=path: check_output(path)):
                with pytest.raises(UserInputError, match=rf"output {path} is {what}"):
                    write()
    (tmp_path / "file").touch()
    with pytest.raises(UserInputError, match="file is a file, not a folder"):
        check_output(tmp_path / "file" / "a" / "b")
    with pytest.raises(OSError, match=r"file"):
        atomic_write(tmp_path / "file" / "a", b"1")


def test_an_error_names_the_file_and_leaves_no_other(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "a"
    path.write_bytes(b"old")
    for function in ("write", "fsync"):
        with monkeypatch.context() as patch:

            def fail(*_: object) -> None:
                raise OSError(28, "No space left on device")

            patch.setattr(os, function, fail)
            with pytest.raises(OSError, match="No space left") as caught:
                atomic_write(path, b"new")
        assert (caught.value.errno, caught.value.filename) == (28, str(path))
        assert path.read_bytes() == b"old" and [*tmp_path.iterdir()] == [path]
    with monkeypatch.context() as patch:

        def interrupt(_: int) -> None:
            raise KeyboardInterrupt

        patch.setattr(os, "fsync", interrupt)
        with pytest.raises(KeyboardInterrupt):
            atomic_write(path, b"new")
    assert path.read_bytes() == b"old" and [*tmp_path.iterdir()] == [path]
    with pytest.raises(OSError, match="/proc"):
        atomic_write("/proc/none/a", b"1")


def test_a_link_under_the_temporary_name_is_not_followed(tmp_path: Path) -> None:
    (tmp_path / "victim").write_bytes(b"mine")
    (tmp_path / f"a.{os.getpid()}{TEMPORARY_SUFFIX}").symlink_to(tmp_path / "victim")
    atomic_write(tmp_path / "a", b"new")
    assert (tmp_path / "victim").read_bytes() == b"mine"
    atomic_write(tmp_path / ("n" * 255), b"the longest name")


def test_an_input_is_no_output(tmp_path: Path) -> None:
    source = tmp_path / "x.pth"
    source.write_bytes(b"1")
    (tmp_path / "link").symlink_to(source)
    os.link(source, tmp_path / "hard")
    for name in ("x.pth", "link", "hard"):
        with pytest.raises(UserInputError, match=rf"{name} is the same file as the input .*x\.pth; give another path"):
            check_output(tmp_path / name, [tmp_path / "none", source])
    check_output(tmp_path / "y.pth", [source])
    check_output("/dev/null", ["/dev/null"])


def test_a_growing_file_takes_its_name_at_the_end(tmp_path: Path) -> None:
    """Its link, its mode and what was there stay until then."""
    target, path = tmp_path / "target", tmp_path / "a"
    target.write_bytes(b"old")
    target.chmod(0o600)
    path.symlink_to(target)
    with growing_file(path) as file:
        file.write(b"new")
        file.flush()
        assert Path(file.name).read_bytes() == b"new" and Path(file.name).name.endswith(TEMPORARY_SUFFIX)
        assert path.read_bytes() == b"old"
    assert target.read_bytes() == b"new" and path.is_symlink()
    assert stat.S_IMODE(target.stat().st_mode) == 0o600
    assert {*tmp_path.iterdir()} == {target, path}


def test_a_growing_file_that_ends_early_stays_beside(tmp_path: Path) -> None:
    path = tmp_path / "new" / "a"

    def write_half() -> None:
        with growing_file(path) as file:
            file.write(b"half")
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        write_half()
    [part] = path.parent.iterdir()
    assert part.read_bytes() == b"half" and part.name.startswith("a.")


def test_a_growing_file_into_what_is_no_file(tmp_path: Path) -> None:
    code = "from lt_plugins.atomic_write import growing_file\nprint(1)\n"
    code += "with growing_file('/dev/stdout') as file: file.write(b'2\\n')\nprint(3)"
    done = subprocess.run([sys.executable, "-c", code], check=True, capture_output=True)
    assert done.stdout == b"1\n2\n3\n"
    with growing_file("/dev/null") as file:
        file.write(b"x")
    os.mkfifo(tmp_path / "fifo")
    found = []
    reader = threading.Thread(target=lambda: found.append((tmp_path / "fifo").read_bytes()))
    reader.start()
    with growing_file(tmp_path / "fifo") as file:
        file.write(b"y")
    reader.join(10)
    assert found == [b"y"]
