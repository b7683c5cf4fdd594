"""Terminal output of text of unknown origin: file names, class names, messages of other programs."""

from __future__ import annotations

import errno
import os
import re
import shutil
import sys
from collections.abc import Iterable
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from rich.progress import Progress

# Control characters but tab and line feed, the line separators of Unicode, what turns the direction of writing, and
# halves of surrogate pairs (bytes of a file name that are not UTF-8).
_UNPRINTABLE = re.compile("[\x00-\x08\x0b-\x1f\x7f-\x9f\u2028\u2029\u202a-\u202e\u2066-\u2069\ud800-\udfff]")


def printable(text: str) -> str:
    r"""Escape the control characters of a text.

    Args:
        text (str): Any text.

    Returns:
        str: The same with ``\x1b`` for an escape, ``\udcff`` for a byte of a file name that is no UTF-8, and so on.
    """
    return _UNPRINTABLE.sub(lambda match: repr(match[0])[1:-1], text)


def displayable(name: str) -> str:
    r"""Convert a name of the file system to text that can be printed and written to any file.

    Bytes that are not UTF-8 (which Python keeps as surrogates) are written like ``\\udce9``, control characters like
    ``\\x1b``. A name without such characters stays as it is.

    Args:
        name (str): Name of a file, folder or class.
    """
    return printable(name).replace("\n", r"\n").replace("\t", r"\t")


def one_line(text: str) -> str:
    """Convert a message to one printable line.

    Args:
        text (str): Any text.
    """
    return printable(" ".join(text.split()))


class StatusLine:
    """Status line: the last line of the terminal that stdout is, which the next one replaces."""

    _is_open = False

    @classmethod
    def draw(cls, text: str) -> None:
        """Replace the line.

        Args:
            text (str): The line; what exceeds the width of the terminal is cut off.
        """
        stream = raw_stream(sys.stdout)
        stream.write(f"\r\x1b[2K{displayable(text)[: shutil.get_terminal_size().columns - 1]}")
        stream.flush()
        cls._is_open = True

    @classmethod
    def erase(cls) -> None:
        """Erase the line, if there is one."""
        cls._close("\r\x1b[2K")

    @classmethod
    def end(cls) -> None:
        """Leave the line as it is, if there is one, and begin a new one."""
        cls._close("\n")

    @classmethod
    def _close(cls, text: str) -> None:
        if cls._is_open:
            cls._is_open = False
            raw_stream(sys.stdout).write(text)
            raw_stream(sys.stdout).flush()


class OutputClosed(SystemExit):
    """Error of an output that nobody reads, as after ``tool | head``; ends the process like SIGPIPE would."""

    def __init__(self) -> None:
        super().__init__(128 + 13)


class PrintableStream:
    """Printable stream: escapes the control characters of everything that is written to it.

    Args:
        raw: The stream to write to, such as ``sys.stdout``. What may use escape codes (progress bars) writes there.
    """

    def __init__(self, raw: Any) -> None:
        self.raw = raw

    def write(self, text: str) -> int:
        """Write text.

        Args:
            text (str): The text.

        Raises:
            OutputClosed: If nobody reads it.
            OSError: If it cannot be written, with the stream's name as ``filename``.
        """
        encoding = getattr(self.raw, "encoding", None) or "utf-8"
        self._attempt(self.raw.write, printable(text).encode(encoding, "backslashreplace").decode(encoding))
        return len(text)

    def writelines(self, lines: Iterable[str]) -> None:
        """Write several texts.

        Args:
            lines (Iterable[str]): The texts.
        """
        for line in lines:
            self.write(line)

    def flush(self) -> None:
        """Flush the buffer; raises as :meth:`write` does."""
        self._attempt(self.raw.flush)

    def __getattr__(self, name: str) -> Any:
        return getattr(self.raw, name)

    def _attempt(self, action: Any, *arguments: Any) -> None:
        try:
            action(*arguments)
        except OSError as error:
            self._give_up()
            if error.errno == errno.EPIPE:
                raise OutputClosed from error
            raise OSError(error.errno, error.strerror, "the output") from error

    def _give_up(self) -> None:
        """Discard the buffer, which the interpreter would write again at exit, and complain."""
        try:
            nowhere = os.open(os.devnull, os.O_WRONLY)
            os.dup2(nowhere, self.raw.fileno())
            os.close(nowhere)
        except (OSError, ValueError):  # a stream without a file
            pass


def raw_stream(stream: Any) -> Any:
    """Return the stream below a :class:`PrintableStream`.

    Args:
        stream: Any stream.
    """
    return stream.raw if isinstance(stream, PrintableStream) else stream


def drawing_stream(stream: Any) -> Any:
    """Choose the stream of tables and progress bars, with escape codes: the raw one of a terminal, else ``stream``.

    Args:
        stream: Any stream.
    """
    return raw_stream(stream) if stream.isatty() else stream


def progress_bar() -> Progress:
    """Build a progress bar on stderr for the main process of a run; none where stderr is no terminal."""
    from rich.console import Console
    from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

    from lt_plugins.distributed import rank_and_world_size  # which imports torch

    StatusLine.erase()
    # Only on a terminal: a log file gets neither bars nor empty lines.
    console = Console(file=drawing_stream(sys.stderr))
    return Progress(
        TextColumn("{task.description}"),
        BarColumn(),
        MofNCompleteColumn(),
        TimeRemainingColumn(),
        console=console,
        transient=True,
        disable=not (rank_and_world_size()[0] == 0 and console.is_terminal),
    )
