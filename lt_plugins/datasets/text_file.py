"""Text files that people write: lists of images, names of classes."""

from __future__ import annotations

from pathlib import Path

from lt_plugins.errors import UserInputError
from lt_plugins.terminal import displayable

MAX_LINE_LENGTH = 16_384  # four times the longest path of Linux
EXCERPT_LENGTH = 60
MAX_PATH_SHOWN = 400
_HEAD = 2**20
_UTF16_OR_32 = (b"\xff\xfe", b"\xfe\xff", b"\x00\x00\xfe\xff")


def read_lines(path: str | Path, what: str, hint: str) -> list[str]:
    r"""Lines of a UTF-8 text file, from any editor: with or without a byte order mark, ended by LF, CRLF or CR.

    Args:
        path (str | Path): The file; an address with ``://`` is read through mmengine's file backends.
        what (str): What the file is, for messages, like ``'list file'``.
        hint (str): What to do if it is missing.

    Returns:
        list[str]: The lines without their ends. Other than ``str.splitlines`` it keeps the form feeds and separators
        of Unicode that a file name may hold.

    Raises:
        UserInputError: If the file is missing, no regular file, not UTF-8, holds NUL bytes or has a line of more than
            :data:`MAX_LINE_LENGTH` characters; it names the line, and shows no more of it than an excerpt.
    """
    name = show_path(path) or "''"
    if "://" in str(path):
        from mmengine.fileio import get

        data = get(str(path))
    else:
        _require_regular_file(Path(path), what, name, hint)
        data = _read_text(Path(path))
    if data.startswith(_UTF16_OR_32):
        raise UserInputError(f"{what} {name} is UTF-16 or UTF-32; save it as UTF-8")
    if (nul := data.find(b"\0")) >= 0:
        number, shown = _line_at(data, nul)
        raise UserInputError(
            f"{what} {name}, line {number}: {shown} holds a NUL byte, so it is binary or UTF-16; save it as UTF-8 text"
        )
    try:
        text = data.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        # The position counts from after the byte order mark.
        number, shown = _line_at(data, error.start + len(data) - len(error.object))
        raise UserInputError(f"{what} {name}, line {number}: {shown} is not UTF-8; save the file as UTF-8") from error
    if "\r" in text:
        text = text.replace("\r\n", "\n").replace("\r", "\n")
    if "\ufeff" in text:
        text = text.replace("\n\ufeff", "\n")  # where files with a byte order mark were put together
    lines = text.split("\n")
    if len(max(lines, key=len)) > MAX_LINE_LENGTH:
        number, line = next((i, line) for i, line in enumerate(lines, start=1) if len(line) > MAX_LINE_LENGTH)
        raise UserInputError(
            f"{what} {name}, line {number}: {excerpt(line)} has {len(line):,} characters, more than "
            f"{MAX_LINE_LENGTH:,}; is it another kind of file?"
        )
    if not lines[-1]:
        lines.pop()
    return lines


def read_class_names(path: str | Path) -> tuple[str, ...]:
    """Names of classes from a text file with one a line, in label order.

    Args:
        path (str | Path): The file. Empty lines at its end are left out.

    Raises:
        UserInputError: As :func:`read_lines`, or if a line is blank or there is none.
    """
    hint = "classes is the path of a file with one name a line, or a list of names: classes=['cat'] for a single one"
    names = [line.strip() for line in read_lines(path, "class names file", hint)]
    while names and not names[-1]:
        names.pop()
    if not names:
        raise UserInputError(f"class names file {show_path(path)} is empty; write one class a line, in label order")
    if "" in names:
        raise UserInputError(
            f"class names file {show_path(path)}, line {names.index('') + 1} is blank, which would shift all labels "
            "after it; write one class a line"
        )
    return tuple(names)


def excerpt(text: str, length: int = EXCERPT_LENGTH) -> str:
    """A quoted piece of a text that one may print: shortened, with control characters escaped.

    Args:
        text (str): Any text.
        length (int): How many characters of it are shown. Defaults to :data:`EXCERPT_LENGTH`.
    """
    shown = repr(text[:length])
    return shown if len(text) <= length else f"{shown[:-1]}...{shown[-1]}"


def show_path(path: str | Path) -> str:
    """A path for a message: displayable, and shortened if it is longer than any sensible one.

    Args:
        path (str | Path): The path.
    """
    text = displayable(str(path))
    return text if len(text) <= MAX_PATH_SHOWN else f"{text[: MAX_PATH_SHOWN // 2]}...{text[-MAX_PATH_SHOWN // 2 :]}"


def is_regular_file(path: Path) -> bool:
    """Whether a path is a file or a link to one, also of names that no file system takes.

    Args:
        path (Path): The path.
    """
    try:
        return path.is_file()
    except (OSError, ValueError):  # a name that is too long, or holds a NUL byte
        return False


def _require_regular_file(path: Path, what: str, name: str, hint: str) -> None:
    if is_regular_file(path):
        return
    try:
        exists = path.exists()
    except OSError:
        exists = False
    if not exists:
        raise UserInputError(f"{what} {name} not found; {hint}")
    kind = "a folder" if path.is_dir() else "a device, pipe or socket"
    raise UserInputError(f"{what} {name} is {kind}, expected a text file; {hint}")


def _read_text(path: Path) -> bytes:
    """The content; only its beginning if that is binary already, since such a file may have any size."""
    with path.open("rb") as file:
        head = file.read(_HEAD)
        return head if b"\0" in head else head + file.read()


def _line_at(data: bytes, position: int) -> tuple[int, str]:
    """Number of the line that holds a byte, and an excerpt that ends shortly after that byte."""
    start = data.rfind(b"\n", 0, position) + 1
    start = max(start, position - EXCERPT_LENGTH // 2)
    piece = data[start : start + EXCERPT_LENGTH].split(b"\n")[0]
    return data.count(b"\n", 0, position) + 1, excerpt(piece.decode("utf-8", "surrogateescape"))
