"""Atomic writing: writes a file completely or not at all."""

from __future__ import annotations

import errno
import os
import stat
import sys
from collections.abc import Iterable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import BinaryIO

from lt_plugins.errors import UserInputError

TEMPORARY_SUFFIX = ".incomplete"

_MAX_LINKS = 40  # as many as Linux follows
# Of a file name; a longer one is shortened before the suffix is added.
_MAX_NAME_BYTES = 200


def atomic_write(path: str | Path, data: bytes) -> None:
    """Write ``data`` to ``path`` so that a kill, a crash or a full disk never leaves a cut-off file there.

    The bytes go to ``<path>.<process>.incomplete`` beside it, reach the disk, and only then take the name ``path`` in
    one step. A file that was at ``path`` before stays as it was until then, and its mode and owner stay for good; a new
    one gets the mode that the umask allows. A symbolic link stays, and the file it points at is written. What is no
    file but takes bytes (a terminal, ``/dev/stdout``, ``/dev/null``, a FIFO that is read) is written to directly.

    Args:
        path (str | Path): The file to write; its folder is made if missing.
        data (bytes): The content.

    Raises:
        UserInputError: If ``path`` is something that is never written to: a folder, a disk, a socket.
        OSError: If the data cannot be written; names ``path``, which is untouched then, and no temporary file is left.
    """
    path = Path(path)
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        target = _follow_links(path)
        if _is_descriptor(target):
            _write_to_descriptor(int(target.name), data)
            return
        before = target.stat() if target.exists() else None
        if before is not None and not stat.S_ISREG(before.st_mode):
            _write_to_device(path, before.st_mode, data)
            return
        if before is not None and not os.access(target, os.W_OK):
            raise PermissionError(errno.EACCES, os.strerror(errno.EACCES))
        _replace(target, data, before)
    except OSError as error:
        # Writes name no file, and a failed rename the temporary one.
        raise OSError(error.errno, error.strerror or str(error), str(path)) from error


@contextmanager
def growing_file(path: str | Path) -> Iterator[BinaryIO]:
    """Write a file of unknown size piece by piece, which takes its name once it is complete.

    The bytes go to ``<path>.<process>.incomplete`` beside it, which stays if the work ends early; whatever is at
    ``path`` stays until the end. What is no file but takes bytes is written to directly, as by :func:`atomic_write`.

    Args:
        path (str | Path): The file to write; its folder is made if missing.

    Yields:
        BinaryIO: An open file, whose ``name`` says where the bytes are.

    Raises:
        UserInputError: If ``path`` is something that is never written to: a folder, a disk, a socket.
    """
    path = Path(path)
    path.parent.mkdir(parents=True, exist_ok=True)
    target = _follow_links(path)
    if _is_descriptor(target):
        sys.stdout.flush()
        sys.stderr.flush()
        with os.fdopen(os.dup(int(target.name)), "wb") as file:
            yield file
        return
    before = target.stat() if target.exists() else None
    if before is not None and not stat.S_ISREG(before.st_mode):
        _require_writable_kind(path, before.st_mode)
        with path.open("wb") as file:
            yield file
        return
    temporary = _temporary(target)
    temporary.unlink(missing_ok=True)
    with temporary.open("xb") as file:
        yield file
        if before is not None:
            os.fchmod(file.fileno(), stat.S_IMODE(before.st_mode))
        file.flush()
        os.fsync(file.fileno())
    temporary.replace(target)
    _sync_folder(target.parent)


def check_output(path: str | Path, inputs: Iterable[str | Path] = ()) -> None:
    """Check an output path before any work: refuses what :func:`atomic_write` would refuse, and files that are read.

    Args:
        path (str | Path): Where the output is to go.
        inputs (Iterable[str | Path]): Files that are read; those that do not exist are passed over.

    Raises:
        UserInputError: If it is one of ``inputs``, under whatever name, or cannot be a file.
    """
    path = Path(path)
    if path.is_dir():
        raise UserInputError(f"output {path} is a folder; give the path of a file in it.")
    if path.exists():
        _require_writable_kind(path, path.stat().st_mode)
        for source in inputs:
            if Path(source).exists() and path.samefile(source) and stat.S_ISREG(path.stat().st_mode):
                raise UserInputError(f"output {path} is the same file as the input {source}; give another path.")
    for folder in path.parents:
        if folder.exists():
            if not folder.is_dir():
                raise UserInputError(f"output {path} cannot be written: {folder} is a file, not a folder.")
            break


def _follow_links(path: Path) -> Path:
    """Follow links to their target, whether it exists or not; a descriptor (``/proc/N/fd/M``) is not followed."""
    for _ in range(_MAX_LINKS):
        path = Path(os.path.realpath(path.parent), path.name)
        if not path.is_symlink() or _is_descriptor(path):
            return path
        path = path.parent / path.readlink()
    raise OSError(errno.ELOOP, os.strerror(errno.ELOOP))


def _is_descriptor(path: Path) -> bool:
    """Check whether a path names an open file of this process: ``/dev/stdout``, ``/dev/fd/3``."""
    return path.parent == Path("/proc", str(os.getpid()), "fd") and path.name.isdigit()


def _write_to_descriptor(descriptor: int, data: bytes) -> None:
    """Write to an open file at its position, after what the process has printed."""
    sys.stdout.flush()
    sys.stderr.flush()
    _write_all(descriptor, data)


def _write_to_device(path: Path, mode: int, data: bytes) -> None:
    _require_writable_kind(path, mode)
    # Without O_NONBLOCK a FIFO that nobody reads would stop the process for good.
    descriptor = os.open(path, os.O_WRONLY | os.O_NONBLOCK | os.O_NOCTTY)
    try:
        os.set_blocking(descriptor, True)
        _write_all(descriptor, data)
    finally:
        os.close(descriptor)


def _require_writable_kind(path: Path, mode: int) -> None:
    if not (stat.S_ISREG(mode) or stat.S_ISCHR(mode) or stat.S_ISFIFO(mode)):
        kind = {stat.S_IFDIR: "a folder", stat.S_IFBLK: "a disk", stat.S_IFSOCK: "a socket"}.get(
            stat.S_IFMT(mode), "no file"
        )
        raise UserInputError(f"output {path} is {kind}, which is never written to; give the path of a file.")


def _write_all(descriptor: int, data: bytes) -> None:
    rest = memoryview(data)
    while rest:
        rest = rest[os.write(descriptor, rest) :]


def _temporary(target: Path) -> Path:
    """Where a file grows; by process, so that two that write the same file do not write into each other's."""
    name = os.fsdecode(os.fsencode(target.name)[:_MAX_NAME_BYTES])
    return target.with_name(f"{name}.{os.getpid()}{TEMPORARY_SUFFIX}")


def _replace(target: Path, data: bytes, before: os.stat_result | None) -> None:
    """Write a regular file under a temporary name and rename it; ``before`` is the state of the one it replaces."""
    temporary = _temporary(target)
    temporary.unlink(missing_ok=True)
    # O_EXCL: a link that lies in wait under this name is not followed.
    descriptor = os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o666)
    try:
        try:
            _write_all(descriptor, data)
            if before is not None:
                with suppress(PermissionError):  # only root gives files away
                    os.chown(descriptor, before.st_uid, before.st_gid)
                os.fchmod(descriptor, stat.S_IMODE(before.st_mode))
            os.fsync(descriptor)
        finally:
            os.close(descriptor)
        temporary.replace(target)
    except BaseException:
        temporary.unlink(missing_ok=True)
        raise
    _sync_folder(target.parent)


def _sync_folder(folder: Path) -> None:
    """Synchronise the folder, with which a rename reaches the disk (POSIX)."""
    if os.name != "posix":
        return
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
