"""How a tool ends."""

from __future__ import annotations

import os
import signal
import sys
import warnings

import pytest
import torch.distributed as dist

from lt_plugins.errors import UserInputError
from lt_plugins.runs.stop_signals import Stopped
from lt_plugins.runs.user_errors import BUG_HINT, DEBUG_VARIABLE, user_errors


def end(error: BaseException, code: int, continues: str = "") -> None:
    """A tool that is ended by an error exits with this code."""
    with pytest.raises(SystemExit) as exit_info, user_errors(continues):
        raise error
    assert exit_info.value.code == code


def test_user_errors_are_one_line(capsys: pytest.CaptureFixture[str]) -> None:
    end(UserInputError("one\n  \x1b[31mthing"), 1)
    captured = capsys.readouterr()
    assert captured.err == "error: one \\x1b[31mthing\n"
    assert not captured.out


@pytest.mark.parametrize("error", [KeyError("a\x1b[2J"), TypeError("unsupported operand"), ZeroDivisionError()])
def test_bugs_keep_their_traceback(error: Exception, capsys: pytest.CaptureFixture[str]) -> None:
    end(error, 1)
    lines = capsys.readouterr().err.splitlines()
    assert lines[0].startswith("Traceback")
    assert lines[-2].startswith(type(error).__name__)
    assert lines[-1] == BUG_HINT
    assert not any("\x1b" in line or line.startswith("error: ") for line in lines)


def test_other_ranks_are_silent(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    monkeypatch.setenv("RANK", "1")
    end(UserInputError("said by rank 0"), 1)
    assert not capsys.readouterr().err


def test_traceback_on_request(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    monkeypatch.setenv(DEBUG_VARIABLE, "1")
    end(UserInputError("where?"), 1)
    assert "Traceback" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("stop", "code", "line"),
    [
        (KeyboardInterrupt(), 130, "stopped by Ctrl-C; --resume continues\n"),
        (Stopped(signal.SIGTERM), 143, "stopped by SIGTERM; --resume continues\n"),
        (Stopped(signal.SIGHUP), 129, "stopped by SIGHUP; --resume continues\n"),
    ],
)
def test_stops_are_one_line(stop: BaseException, code: int, line: str, capsys: pytest.CaptureFixture[str]) -> None:
    before = signal.getsignal(signal.SIGINT)
    try:
        end(stop, code, "--resume continues")
    finally:
        signal.signal(signal.SIGINT, before)
    assert capsys.readouterr().err == line


def test_a_signal_ends_the_tool_and_its_handler_is_put_back(capsys: pytest.CaptureFixture[str]) -> None:
    before = signal.getsignal(signal.SIGINT)
    try:
        with pytest.raises(SystemExit) as exit_info, user_errors():
            os.kill(os.getpid(), signal.SIGTERM)
    finally:
        signal.signal(signal.SIGINT, before)
    assert exit_info.value.code == 143
    assert capsys.readouterr().err == "stopped by SIGTERM\n"
    assert signal.getsignal(signal.SIGTERM) is signal.SIG_DFL


def test_an_ignored_signal_stays_ignored() -> None:
    signal.signal(signal.SIGHUP, signal.SIG_IGN)  # as nohup does
    try:
        with user_errors():
            os.kill(os.getpid(), signal.SIGHUP)
    finally:
        signal.signal(signal.SIGHUP, signal.SIG_DFL)


def test_workers_leave_ctrl_c_to_their_main_process() -> None:
    def child() -> bytes:
        read, write = os.pipe()
        if (pid := os.fork()) == 0:
            handlers = [signal.getsignal(number) for number in (signal.SIGINT, signal.SIGTERM)]
            os.write(write, b"quiet" if handlers == [signal.SIG_IGN, signal.SIG_DFL] else b"loud")
            os._exit(0)
        os.waitpid(pid, 0)
        os.close(write)
        with os.fdopen(read, "rb") as pipe:
            return pipe.read()

    # A suite in the background of a shell inherits SIG_IGN.
    before = signal.signal(signal.SIGINT, signal.default_int_handler)
    try:
        with user_errors():
            inside = child()
        assert (inside, child()) == (b"quiet", b"loud")
    finally:
        signal.signal(signal.SIGINT, before)


@pytest.mark.parametrize(("error", "is_told"), [(ConnectionResetError, False), (EOFError, False), (ValueError, True)])
def test_workers_do_not_report_that_their_main_process_has_ended(
    error: type[Exception], is_told: bool, capfd: pytest.CaptureFixture[str]
) -> None:
    """A thread of theirs hands out tensors; in the middle of one the main process may stop."""
    with user_errors():
        if (pid := os.fork()) == 0:
            sys.stderr = os.fdopen(2, "w")
            try:
                raise error
            except error:
                sys.excepthook(*sys.exc_info())  # as multiprocessing's thread does
            sys.stderr.flush()
            os._exit(0)
        os.waitpid(pid, 0)
    assert (error.__name__ in capfd.readouterr().err) == is_told


def test_warnings(capsys: pytest.CaptureFixture[str]) -> None:
    with warnings.catch_warnings(), user_errors():
        warnings.simplefilter("always")
        warnings.warn_explicit("of\nthis package", UserWarning, sys.modules[user_errors.__module__].__file__ or "", 1)
        warnings.warn_explicit("of another package", UserWarning, "/somewhere/else.py", 1)
    assert capsys.readouterr().err == "warning: of this package\n"


LOST = RuntimeError("[/pytorch/third_party/gloo/gloo/transport/tcp/pair.cc:547] Connection closed by peer [127.0.0.1]")


@pytest.mark.parametrize(
    ("reports", "launcher", "code", "line"),
    [
        (0, "", 1, "error: another process of this run was killed"),
        (0, "1", 75, ""),  # tools/dist_run.py says it
        (1, "", 1, ""),
    ],
)
def test_a_lost_connection(
    reports: int, launcher: str, code: int, line: str, monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:  # fmt: skip
    if launcher:
        monkeypatch.setenv("LT_PLUGINS_LAUNCHER", launcher)
    store = dist.HashStore()
    store.add("lt_plugins/errors", reports)
    dist.init_process_group("gloo", store=store, rank=0, world_size=1)
    monkeypatch.setattr(dist.distributed_c10d, "_get_default_store", lambda: store)
    try:
        end(LOST, code)
    finally:
        dist.destroy_process_group()
    captured = capsys.readouterr().err
    assert captured.startswith(line) if line else not captured
    assert captured.count("\n") == bool(line)
