"""End of a command line tool: by itself, by a user error, by a signal, or by a bug."""

from __future__ import annotations

import os
import re
import signal
import sys
import traceback
from collections.abc import Callable, Iterator
from contextlib import contextmanager, redirect_stderr, redirect_stdout
from functools import partial
from typing import Any, NoReturn

from lt_plugins.resources import spell_tools
from lt_plugins.runs.console import warnings_to_log
from lt_plugins.runs.error_line import error_line
from lt_plugins.runs.stop_signals import stop_signals, stopping_signal
from lt_plugins.terminal import PrintableStream, StatusLine, displayable, one_line, raw_stream

DEBUG_VARIABLE = "LT_PLUGINS_DEBUG"
# Set by tools/dist_run.py, which says why a process of its was killed, and tells a lost connection by this exit code.
LAUNCHER_VARIABLE = "LT_PLUGINS_LAUNCHER"
LOST_CONNECTION_CODE = 75

BUG_HINT = "this is a bug of the program and not of your input; please report it with the command and the lines above."
Continues = str | Callable[[], str]
_CRASHED_WORKER = re.compile(r"DataLoader worker .*(Bus error|Segmentation fault|Floating point)")
_LOST_CONNECTION = re.compile(
    r"gloo/transport|NCCL.*(remote|system error|internal error)|[Cc]onnection (closed|reset|refused|was likely closed)"
    r"|Broken pipe|Socket|[Rr]emote process exited|failed to connect|[Tt]imed out"
)


@contextmanager
def user_errors(continues: Continues = "") -> Iterator[None]:
    """Print user errors as one line and exit with 1.

    What the user can fix becomes one line ``error: ...`` on stderr and exit code 1. Ctrl-C and SIGTERM become one line
    and exit code 130 or 143, also during imports and with data-loader workers. If nobody reads the output any more
    (``tool | head``), the tool ends quietly. A bug keeps its traceback, and says that it is one. With several processes
    the line appears once, and every process exits with 1. Whatever is printed shows control characters instead of
    obeying them. ``LT_PLUGINS_DEBUG=1`` shows the traceback of all errors.

    Args:
        continues (str | Callable): What continues a stopped tool, as in "--resume", or a function that says it.
            Defaults to nothing.
    """
    with _printable_output(), warnings_to_log(), stop_signals(partial(_end_import, continues)):
        try:
            try:
                yield
            except SystemExit:  # --help
                sys.stdout.flush()
                raise
            sys.stdout.flush()
        except KeyboardInterrupt as stop:
            _end_by_signal(stop, continues)
        except Exception as error:
            line = error_line(error)
            if line is not None:
                _end(line, error)
            if _is_connected() and _count_reports(0) > 0:  # another process stopped, and has said why
                raise SystemExit(1) from error
            if _is_connected() and isinstance(error, RuntimeError) and _LOST_CONNECTION.search(str(error)):
                _end_by_lost_connection(error, continues)
            _end_by_bug(error)


@contextmanager
def _printable_output() -> Iterator[None]:
    out, err = (PrintableStream(raw_stream(stream)) for stream in (sys.stdout, sys.stderr))
    typed: Any = redirect_stdout(out), redirect_stderr(err)
    with typed[0], typed[1]:
        yield


def _end(line: str, error: BaseException) -> NoReturn:
    StatusLine.end()
    if os.environ.get(DEBUG_VARIABLE) == "1":
        traceback.print_exception(error)
    if _is_first_to_report():
        if _CRASHED_WORKER.search(line):
            _say("")  # the worker has reported it too, in a line that ends in a NUL byte after the line feed
        _say(f"error: {line}")
    raise SystemExit(1) from error


def _end_by_signal(stop: KeyboardInterrupt, continues: Continues) -> NoReturn:
    number = stopping_signal(stop)
    signal.signal(signal.SIGINT, signal.SIG_DFL)  # a second Ctrl-C ends the process at once
    _say_stopped(number, continues)
    raise SystemExit(128 + number) from stop


def _end_import(continues: Continues, number: int) -> NoReturn:
    _say_stopped(number, continues)
    sys.stdout.flush()
    os._exit(128 + number)


def _say_stopped(number: int, continues: Continues) -> None:
    StatusLine.end()
    is_first = _is_first_to_report() if _is_connected() else os.environ.get("RANK", "0") == "0"
    if is_first and LAUNCHER_VARIABLE not in os.environ:
        name = "Ctrl-C" if number == signal.SIGINT else signal.Signals(number).name
        line = displayable(f"stopped by {name}{_advice(continues)}")  # the spaces of a command stay as they are
        print(line, file=sys.stderr, flush=True)  # noqa: T201


def _advice(continues: Continues) -> str:
    text = continues() if callable(continues) else continues
    return f"; {text}" if text else ""


def _end_by_lost_connection(error: BaseException, continues: Continues) -> NoReturn:
    """End after the connection to another process is lost, which was killed."""
    if LAUNCHER_VARIABLE in os.environ:
        raise SystemExit(LOST_CONNECTION_CODE) from error
    _end(
        "another process of this run was killed (memory exhausted?) or lost its machine, and the connection to it broke"
        + (_advice(continues) or "."),
        error,
    )


def _end_by_bug(error: Exception) -> NoReturn:
    StatusLine.end()
    if not _is_connected() or _is_first_to_report():
        traceback.print_exception(error)
        _say(BUG_HINT)
    raise SystemExit(1) from error


def _say(text: str) -> None:
    print(one_line(spell_tools(text)), file=sys.stderr, flush=True)  # noqa: T201


def _is_connected() -> bool:
    """Whether the processes know of each other, for which torch must have been imported."""
    is_initialized = getattr(sys.modules.get("torch.distributed"), "is_initialized", None)
    return is_initialized is not None and is_initialized()


def _is_first_to_report() -> bool:
    """Check whether this process should print: the first that fails, or rank 0 before the processes are connected."""
    if _is_connected():
        return _count_reports(1) == 1
    return os.environ.get("RANK", os.environ.get("SLURM_PROCID", "0")) == "0"


def _count_reports(more: int) -> int:
    """Count the processes that have failed."""
    import torch.distributed as dist

    try:
        return dist.distributed_c10d._get_default_store().add("lt_plugins/errors", more)
    except dist.DistError:  # the first process, which keeps the count, has gone: it failed and has said so
        return 2
