"""Ending a command by Ctrl-C, SIGTERM or SIGHUP without a traceback, in its data-loader workers too."""

from __future__ import annotations

import os
import signal
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from types import FrameType, TracebackType

_ENDING = (signal.SIGTERM, signal.SIGHUP)
_active = False


class Stopped(KeyboardInterrupt):
    """A signal that asks this process to end.

    Args:
        number (int): The signal.
    """

    def __init__(self, number: int) -> None:
        super().__init__()
        self.number = number


@contextmanager
def stop_signals() -> Iterator[None]:
    """Let the signals that end a process raise :class:`Stopped`; Ctrl-C raises KeyboardInterrupt as ever.

    A signal that is ignored (nohup) stays so. Processes that torchrun has started keep its way: it terminates them, and
    a handler of Python would wait for the collective operation that they hang in.
    """
    global _active
    mine = threading.current_thread() is threading.main_thread() and "TORCHELASTIC_RUN_ID" not in os.environ
    taken = [number for number in _ENDING if mine and signal.getsignal(number) is signal.SIG_DFL]
    for number in taken:
        signal.signal(number, _raise)
    before, _active = _active, True
    try:
        yield
    finally:
        _active = before
        for number in taken:
            signal.signal(number, signal.SIG_DFL)


def stopping_signal(stop: KeyboardInterrupt) -> int:
    """Which signal ended the command.

    Args:
        stop (KeyboardInterrupt): What was raised.

    Returns:
        int: Its number.
    """
    return stop.number if isinstance(stop, Stopped) else signal.SIGINT


def _raise(number: int, _: FrameType | None) -> None:
    signal.signal(number, signal.SIG_DFL)  # a second one ends the process at once
    raise Stopped(number)


def _report_unless_disconnected(kind: type[BaseException], error: BaseException, trace: TracebackType | None) -> None:
    """The thread in which a worker hands out its tensors reports a main process that ended in the middle of one."""
    if not issubclass(kind, ConnectionError | EOFError):
        sys.__excepthook__(kind, error, trace)


def _in_child() -> None:
    """Workers end when their main process does, and have nothing to say about it."""
    if _active:
        sys.excepthook = _report_unless_disconnected
        signal.signal(signal.SIGINT, signal.SIG_IGN)
        for number in _ENDING:
            if signal.getsignal(number) is _raise:
                signal.signal(number, signal.SIG_DFL)


os.register_at_fork(after_in_child=_in_child)
