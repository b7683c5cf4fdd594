"""Commands of several threads: what they write, why they stopped, and that they end together."""

from __future__ import annotations

import sys
import time
from concurrent.futures import ThreadPoolExecutor

import pytest

from lt_plugins.runs.child_processes import ChildProcesses, ChildrenStoppedError

WAIT = "import sys, time; print('ready', flush=True); time.sleep(3600)"
PYTHON = [sys.executable, "-S", "-c"]


def test_lines_environment_and_reason() -> None:
    lines: list[str] = []
    program = (
        "import os, sys; print('a'); print(os.environ['SHARE']); sys.stdout.flush(); print(file=sys.stderr);"
        "print('error: no image', file=sys.stderr); print('last', file=sys.stderr); sys.exit(3)"
    )
    assert ChildProcesses().run([*PYTHON, program], {"SHARE": "half"}, lines.append) == (3, "no image")
    assert lines == ["a", "half", "", "last"]


def test_without_show_it_writes_where_this_process_writes(capfd: pytest.CaptureFixture[str]) -> None:
    program = "import sys; print('out'); print('err', file=sys.stderr); print('error: x', file=sys.stderr); sys.exit(1)"
    assert ChildProcesses().run([*PYTHON, program]) == (1, "x")
    assert tuple(capfd.readouterr()) == ("out\n", "err\n")


@pytest.mark.parametrize(
    ("program", "result"),
    [
        ("import os; os.kill(os.getpid(), 9)", (-9, "")),
        ("print('stopped by SIGTERM; --resume continues'); raise SystemExit(143)", (143, "it was stopped by SIGTERM")),
    ],
)
def test_a_run_that_somebody_stops(program: str, result: tuple[int, str]) -> None:
    assert ChildProcesses().run([*PYTHON, program], show=lambda _: None) == result


def test_stop_ends_all_and_starts_no_more() -> None:
    children, lines = ChildProcesses(), list[str]()
    with ThreadPoolExecutor(2) as executor:
        futures = [executor.submit(children.run, [*PYTHON, WAIT], show=lines.append) for _ in range(2)]
        end = time.monotonic() + 60
        while lines != ["ready", "ready"] and time.monotonic() < end:
            time.sleep(0.01)
        children.stop()
        for future in futures:
            with pytest.raises(ChildrenStoppedError):
                future.result()
    with pytest.raises(ChildrenStoppedError):
        children.run([*PYTHON, WAIT])


def test_a_command_that_does_not_end_is_killed() -> None:
    children, lines = ChildProcesses(), list[str]()
    program = f"import signal; signal.signal(signal.SIGTERM, signal.SIG_IGN); {WAIT}"
    with ThreadPoolExecutor(1) as executor:
        future = executor.submit(children.run, [*PYTHON, program], show=lines.append)
        end = time.monotonic() + 60
        while lines != ["ready"] and time.monotonic() < end:
            time.sleep(0.01)
        children.stop(patience=0.1)
        with pytest.raises(ChildrenStoppedError):
            future.result(timeout=30)


def test_an_output_that_cannot_be_shown_ends_the_command() -> None:
    def fail(line: str) -> None:
        raise BrokenPipeError(line)

    with pytest.raises(BrokenPipeError, match="ready"):
        ChildProcesses().run([*PYTHON, WAIT], show=fail)
