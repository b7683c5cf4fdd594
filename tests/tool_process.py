"""Runs the command line tools in processes of their own, without importing torch and mmpretrain anew for each."""

from __future__ import annotations

import multiprocessing
import os
import runpy
import signal
import sys
import time
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path

from tests.fork_server import CONTEXT, ensure_server

ROOT = Path(__file__).resolve().parents[1]


@dataclass
class ToolProcess:
    """A started tool; ``log`` takes stdout, ``errors`` takes stderr."""

    process: multiprocessing.process.BaseProcess
    log: Path
    errors: Path

    def wait(self, timeout: float = 180) -> ToolProcess:
        """Wait for the end."""
        self.process.join(timeout)
        if self.process.is_alive():
            self.process.kill()
            raise TimeoutError(f"still running after {timeout} s:\n{self.output[-3000:]}")
        return self

    def wait_for_line(self, text: str, timeout: float = 180) -> None:
        """Wait until stdout contains ``text``."""
        end = time.monotonic() + timeout
        while text not in self.log.read_text():
            if not self.process.is_alive() or time.monotonic() > end:
                raise AssertionError(f"{text!r} never came:\n{self.output[-3000:]}")
            time.sleep(0.005)

    @property
    def output(self) -> str:
        """Stdout and stderr so far."""
        return self.log.read_text() + self.errors.read_text()

    @property
    def exit_code(self) -> int | None:
        """Exit code, negative for a signal, None while it runs."""
        return self.process.exitcode

    @property
    def error_lines(self) -> list[str]:
        """The ``error: ...`` lines."""
        return [line for line in self.errors.read_text().splitlines() if line.startswith("error: ")]


def start_tool(tool: str, *arguments: str | Path, logs: Path, env: dict[str, str] | None = None) -> ToolProcess:
    """Start ``tools/<tool>``, or another script by its absolute path; ``logs`` is the folder for its output."""
    logs.mkdir(parents=True, exist_ok=True)
    number = len(list(logs.glob("*.out")))
    log, errors = logs / f"{number}.out", logs / f"{number}.err"
    log.touch()
    errors.touch()
    ensure_server()
    process = CONTEXT.Process(
        target=_run, args=(str(ROOT / "tools" / tool), [str(value) for value in arguments], log, errors, env or {})
    )
    process.start()
    return ToolProcess(process, log, errors)


def run_tool(tool: str, *arguments: str | Path, logs: Path, env: dict[str, str] | None = None) -> ToolProcess:
    """Run ``tools/<tool>`` to its end."""
    return start_tool(tool, *arguments, logs=logs, env=env).wait()


def expect_errors(tool: str, messages: Mapping[tuple[str | Path, ...], str], logs: Path) -> None:
    """Each command line, by its arguments, ends with its message, in one line."""
    started = [start_tool(tool, *arguments, logs=logs / str(number)) for number, arguments in enumerate(messages)]
    for process, (arguments, message) in zip(started, messages.items(), strict=True):
        process.wait()
        assert process.exit_code == 1, arguments
        assert len(process.error_lines) == 1 and message in process.error_lines[0], process.output
        assert "Traceback" not in process.output


def run_ranks(tool: str, *arguments: str | Path, logs: Path, world_size: int, port: int) -> list[ToolProcess]:
    """Run a tool in several processes, with the environment that torchrun gives them."""
    ranks = [
        start_tool(
            tool,
            *arguments,
            "--launcher",
            "pytorch",
            logs=logs / str(rank),
            env={
                "RANK": str(rank),
                "LOCAL_RANK": str(rank),
                "WORLD_SIZE": str(world_size),
                "MASTER_ADDR": "127.0.0.1",
                "MASTER_PORT": str(port),
            },
        )
        for rank in range(world_size)
    ]
    return [rank.wait() for rank in ranks]


def _run(script: str, arguments: Iterable[str], log: Path, errors: Path, env: dict[str, str]) -> None:
    for descriptor, path in ((1, log), (2, errors)):
        os.dup2(os.open(path, os.O_WRONLY | os.O_APPEND), descriptor)
    # The server's own streams were closed or belong to pytest.
    sys.stdout, sys.stderr = open(1, "w", buffering=1), open(2, "w", buffering=1)  # noqa: SIM115
    signal.signal(signal.SIGINT, signal.default_int_handler)  # a suite in the background of a shell inherits SIG_IGN
    os.environ.update(env)
    sys.argv = [script, *arguments]
    searched = [str(Path(script).parent), *filter(None, env.get("PYTHONPATH", "").split(os.pathsep)), str(ROOT)]
    sys.path[:0] = [str(Path(folder).absolute()) for folder in searched]  # as Python does
    runpy.run_path(script, run_name="__main__")
