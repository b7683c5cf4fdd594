"""Console of a run: shows summary, progress, metrics and warnings; the log file has everything."""

from __future__ import annotations

import logging
import re
import sys
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from types import FrameType
from typing import Any, Protocol

from lt_plugins.terminal import PrintableStream, StatusLine, one_line, raw_stream

PACKAGE = Path(__file__).resolve().parents[1]

# Their lines describe themselves (environment, hooks, deprecations, ...), apart from those of _SHOWN.
_INTERNAL = ("mmengine", "mmcv", "mmpretrain", "mmdet", "torch", "torchvision")
_LOGGING = ("logging", "mmengine.logging")
# Function that logs, beginnings of the lines to show; an empty one is any.
_SHOWN = {
    "after_train_iter": ("Epoch(train)", "Iter(train)"),
    "after_val_epoch": ("",),
    "after_test_epoch": ("",),
    "resume": ("resumed epoch",),
}
# Lines that the next one replaces on a terminal; those of evaluation only say that it is not yet done.
_COSTS = re.compile(r"\b(time|data_time|memory): \S+\s*")  # the width of a terminal is for losses
_PROGRESS = ("after_train_iter", "after_val_iter", "after_test_iter")


class Progress(Protocol):
    """What shows the progress of a run on a terminal."""

    def note(self, text: str) -> None:
        """Take in a line of mmengine that is not shown.

        Args:
            text (str): The line.
        """


class ConsoleHandler(logging.Handler):
    """Console handler: prints a run's summary, a line for each logged step, metrics, and warnings of this package.

    On a terminal the line of the next step replaces that of the one before, or :attr:`progress` shows something better.

    Args:
        level (int): Lowest level to show. Defaults to ``logging.INFO``.
    """

    progress: Progress | None = None  # draws the status line itself, in place of mmengine's lines

    def __init__(self, level: int = logging.INFO) -> None:
        super().__init__(level)

    def emit(self, record: logging.LogRecord) -> None:
        """Print a record that users should see.

        Args:
            record (LogRecord): The record.
        """
        stream = raw_stream(sys.stdout)
        on_terminal, of_mmengine = stream.isatty(), _origin().startswith("mmengine.")
        text = record.getMessage()
        is_progress = record.funcName in _PROGRESS and of_mmengine
        progress = ConsoleHandler.progress
        if progress is not None and of_mmengine and (is_progress or record.funcName == "after_val_epoch"):
            progress.note(text)
            return
        if not (_is_shown(record) or (is_progress and on_terminal and "Exp name" not in text)):
            return
        if record.levelno >= logging.WARNING:
            text = f"{record.levelname.lower() if record.levelno == logging.WARNING else record.levelname}: {text}"
        try:
            if is_progress and on_terminal:
                StatusLine.draw(one_line(_COSTS.sub("", text)))
                return
            if progress is None:
                StatusLine.end()
            else:
                StatusLine.erase()
            PrintableStream(stream).write(f"{text}\n")
            stream.flush()
        except (OSError, SystemExit):
            # Nobody reads the console any more, or it goes to a full disk. That is no reason to end a training.
            self.setLevel(logging.CRITICAL + 1)


def show_on_console(logger: logging.Logger) -> None:
    """Replace the console handler of a logger by :class:`ConsoleHandler`.

    Args:
        logger (Logger): One of mmengine's. Changed in place; its file gets everything as before.
    """
    for index, handler in enumerate(logger.handlers):
        if type(handler) is logging.StreamHandler:
            quiet = ConsoleHandler(handler.level)
            quiet.filters = handler.filters
            logger.handlers[index] = quiet


@contextmanager
def warnings_to_log() -> Iterator[None]:
    """Print warnings of this package in one line each; those of other packages go to the log of the run, if any."""

    def show(message: Warning | str, category: type[Warning], filename: str, lineno: int, *_: Any, **__: Any) -> None:
        if Path(filename).is_relative_to(PACKAGE):
            StatusLine.end()
            print(f"warning: {one_line(str(message))}", file=sys.stderr, flush=True)  # noqa: T201
        elif (loggers := getattr(sys.modules.get("mmengine.logging"), "MMLogger", None)) and loggers._instance_dict:
            text = f"{filename}:{lineno}: {category.__name__}: {message}"
            loggers.get_current_instance().warning(text, extra={"to_console": False})

    before = warnings.showwarning
    warnings.showwarning = show
    try:
        yield
    finally:
        warnings.showwarning = before


def _is_shown(record: logging.LogRecord) -> bool:
    if not getattr(record, "to_console", True):
        return False
    if record.levelno >= logging.ERROR:
        return True
    if not _origin().startswith(_INTERNAL):
        return True
    return record.getMessage().startswith(_SHOWN.get(record.funcName, ())) and record.levelno < logging.WARNING


def _origin() -> str:
    """Find the module of a log record, which ``print_log`` of mmengine hides."""
    frame: FrameType | None = sys._getframe(1)
    while frame is not None:
        name = frame.f_globals.get("__name__", "")
        if name != __name__ and not name.startswith(_LOGGING):
            return name
        frame = frame.f_back
    return ""
