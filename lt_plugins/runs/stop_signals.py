"""Ending a command by Ctrl-C, SIGTERM or SIGHUP without a traceback, during imports and in data-loader workers too."""

from __future__ import annotations

import os
import signal
import sys
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from types import FrameType, TracebackType
from typing import Any

_ENDING = (signal.SIGTERM, signal.SIGHUP)
_IMPORT_SYSTEM = "<frozen importlib._bootstrap>"
_end_import: Callable[[int], None] | None = None  # of the tool that is running


class Stopped(KeyboardInterrupt):
    """Exception of a signal that asks this process to end.

    Args:
        number (int): The signal.
    """

    def __init__(self, number: int) -> None:
        super().__init__()
        self.number = number


@contextmanager
def stop_signals(end_import: Callable[[int], None]) -> Iterator[None]:
    """Let the signals that end a process raise :class:`Stopped`; Ctrl-C raises KeyboardInterrupt.

    A signal that is ignored (nohup) stays so. Processes that torchrun has started keep its way: it terminates them, and
    a handler of Python would wait for the collective operation that they hang in.

    Args:
        end_import (Callable): Gets the number of a signal that comes while a module is imported, and ends the process.
            An exception could be caught, or printed, by whatever library is at work, and nothing needs cleaning up.
    """
    global _end_import
    mine = threading.current_thread() is threading.main_thread()
    defaults: dict[int, Any] = {signal.SIGINT: signal.default_int_handler}
    if "TORCHELASTIC_RUN_ID" not in os.environ:
        defaults |= dict.fromkeys(_ENDING, signal.SIG_DFL)
    taken = {number: default for number, default in defaults.items() if mine and signal.getsignal(number) is default}
    for number in taken:
        signal.signal(number, _raise)
    before, _end_import = _end_import, end_import
    try:
        yield
    finally:
        _end_import = before
        for number, default in taken.items():
            if signal.getsignal(number) is _raise:
                signal.signal(number, default)


def stopping_signal(stop: KeyboardInterrupt) -> int:
    """Find the signal that ended the command.

    Args:
        stop (KeyboardInterrupt): What was raised.

    Returns:
        int: Its number.
    """
    return stop.number if isinstance(stop, Stopped) else signal.SIGINT


def _raise(number: int, frame: FrameType | None) -> None:
    if _end_import is not None and _is_importing(frame):
        _end_import(number)
    if number == signal.SIGINT:
        raise KeyboardInterrupt
    signal.signal(number, signal.SIG_DFL)  # a second one ends the process at once
    raise Stopped(number)


def _is_importing(frame: FrameType | None) -> bool:
    while frame is not None and frame.f_code.co_filename != _IMPORT_SYSTEM:
        frame = frame.f_back
    return frame is not None


def _report_unless_disconnected(kind: type[BaseException], error: BaseException, trace: TracebackType | None) -> None:
    """Report errors of a worker's threads, except that the main process has ended."""
    if not issubclass(kind, ConnectionError | EOFError):
        sys.__excepthook__(kind, error, trace)


def _in_child() -> None:
    """End a worker with its main process, silently."""
    if _end_import is not None:
        sys.excepthook = _report_unless_disconnected
        signal.signal(signal.SIGINT, signal.SIG_IGN)
        for number in _ENDING:
            if signal.getsignal(number) is _raise:
                signal.signal(number, signal.SIG_DFL)


os.register_at_fork(after_in_child=_in_child)
