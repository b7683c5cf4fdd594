"""Child processes: commands that several threads run, and that end together."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Mapping, Sequence
from threading import Lock

ERROR, STOPPED = "error: ", "stopped by "
SECONDS_TO_STOP = 60.0  # after SIGTERM; torchrun gives its processes 30


class ChildrenStoppedError(Exception):
    """Error of a command that is not started, or has been ended, because the whole tool stops."""


class ChildProcesses:
    """Child processes: runs commands, from any thread, and ends all of them when the tool stops.

    They stay in the process group of the tool, so that Ctrl-C and a killed group reach them too.

    Attributes:
        is_stopped (bool): Whether :meth:`stop` was called.
    """

    def __init__(self) -> None:
        self._lock = Lock()
        self._running: set[subprocess.Popen[str]] = set()
        self.is_stopped = False

    def run(
        self,
        command: Sequence[str],
        environment: Mapping[str, str] | None = None,
        show: Callable[[str], None] | None = None,
    ) -> tuple[int, str]:
        """Run a command to its end.

        The line that says why it stopped is not shown: that is the caller's to do.

        Args:
            command (Sequence[str]): Program and arguments.
            environment (Mapping[str, str] | None): Variables in addition to those of this process. Defaults to none.
            show (Callable | None): Gets each line that it writes, without the line feed. Defaults to None: what it
                writes goes where this process writes.

        Returns:
            tuple[int, str]: Its exit code, negative for a signal; and why it stopped, from its last line ``error: ...``
            or ``stopped by ...``.

        Raises:
            ChildrenStoppedError: If :meth:`stop` was called.
        """
        piped = show is not None
        with self._lock:
            if self.is_stopped:
                raise ChildrenStoppedError
            process = subprocess.Popen(
                command,
                env={**os.environ, **(environment or {})},
                stdout=subprocess.PIPE if piped else None,
                stderr=subprocess.STDOUT if piped else subprocess.PIPE,
                text=True,
                errors="surrogateescape",
            )
            self._running.add(process)
        try:
            reason = self._read(process, show or _write_error)
            code = process.wait()
        except BaseException:  # Ctrl-C in this thread, or nobody reads the output any more
            process.terminate()
            process.wait()
            raise
        finally:
            with self._lock:
                self._running.discard(process)
        if self.is_stopped:
            raise ChildrenStoppedError
        return code, reason

    def stop(self, patience: float = SECONDS_TO_STOP) -> None:
        """End all commands by SIGTERM, wait for them, and start no others; from any thread.

        Args:
            patience (float): Seconds after which those that have not ended are killed. Defaults to 60.
        """
        with self._lock:
            self.is_stopped = True
            running = list(self._running)
        for process in running:
            process.terminate()
        end = time.monotonic() + patience
        for process in running:
            try:
                process.wait(max(0.0, end - time.monotonic()))
            except subprocess.TimeoutExpired:
                process.kill()
                process.wait()

    def _read(self, process: subprocess.Popen[str], show: Callable[[str], None]) -> str:
        """Pass on what a command writes until it ends."""
        reason = ""
        stream = process.stdout or process.stderr
        assert stream is not None
        with stream:
            for line in stream:
                if line.startswith(ERROR):
                    reason = line.removeprefix(ERROR).strip()
                elif line.startswith(STOPPED):
                    reason = f"it was {line.partition(';')[0].strip()}"
                elif not self.is_stopped:
                    show(line.removesuffix("\n"))
        return reason


def describe_exit(code: int) -> str:
    """Describe the exit code of a command that did not say why it stopped.

    Args:
        code (int): The code, negative for a signal.
    """
    if code >= 0:
        return f"it ended with exit code {code}, see above"
    name = signal.Signals(-code).name
    return f"it was killed by {name}" + (" (memory exhausted, or somebody stopped it)" if name == "SIGKILL" else "")


def _write_error(line: str) -> None:
    sys.stderr.write(f"{line}\n")
    sys.stderr.flush()
