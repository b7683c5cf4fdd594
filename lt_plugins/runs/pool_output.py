"""Output of several runs side by side: lines with the name of their run, or on a terminal an overview."""

from __future__ import annotations

import re
import sys
from collections import deque
from collections.abc import Mapping
from contextlib import AbstractContextManager
from dataclasses import dataclass, field
from threading import RLock
from types import TracebackType

from rich.box import SIMPLE_HEAD
from rich.console import Console
from rich.live import Live
from rich.table import Table
from rich.text import Text

from lt_plugins.terminal import drawing_stream, one_line, raw_stream

_STEP = re.compile(r"(?:Epoch|Iter)\(train\)\s+(?:\[\s*(?P<epoch>\d+)\])?\[\s*(?P<step>\d+)/(?P<steps>\d+)\]")
_ETA = re.compile(r"\beta: (\d[\w ,]*:\d\d:\d\d)")
_LOSS = re.compile(r"\bloss: (\S+)")
_LENGTH = re.compile(r"schedule\s+(\d+) epochs of")
_STAGE = re.compile(r"stage (\d+) of (\d+): ")
_OVERALL = re.compile(r"\((?:val|test)\).*?accuracy_top1: (\S+)")
_WARNING = re.compile(r"warning: |ERROR: |CRITICAL: ")
_KEPT_LINES = 30  # of a run, to show where it ends without a reason


class PoolOutput(AbstractContextManager["PoolOutput"]):
    """Pool output: prints each line of a run with the run's name before it."""

    def __init__(self) -> None:
        self._lock = RLock()

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """End the output."""

    def say(self, text: str) -> None:
        """Print a line, or several, of the tool itself.

        Args:
            text (str): The text, without a line feed at its end.
        """
        with self._lock:
            sys.stdout.write(f"{text}\n")
            sys.stdout.flush()

    def started(self, name: str) -> None:
        """Begin with a run.

        Args:
            name (str): Its name.
        """

    def show(self, name: str, line: str) -> None:
        """Show a line that a run has written.

        Args:
            name (str): The run's name.
            line (str): The line.
        """
        self.say(f"{name} | {line}")

    def ended(self, name: str, failed: bool) -> None:
        """End with a run.

        Args:
            name (str): Its name.
            failed (bool): Whether it failed.
        """


@dataclass
class RunState:
    """State of a run, read from its lines.

    Args:
        stage (str): As in ``"1/2"``, empty for a run of one stage.
        epochs (str): Number of epochs of the stage.
        progress (str): Epoch, and where it is known their number; of runs by iterations, the iteration.
        eta (str): Time that is left of the stage.
        loss (str): Last logged loss.
        overall (str): Last overall accuracy.
        lines (deque[str]): What it wrote last.
    """

    stage: str = ""
    epochs: str = ""
    progress: str = "starts"
    eta: str = ""
    loss: str = ""
    overall: str = ""
    lines: deque[str] = field(default_factory=lambda: deque(maxlen=_KEPT_LINES))

    def read(self, line: str) -> None:
        """Take in a line.

        Args:
            line (str): As the console of a run shows it.
        """
        self.lines.append(line)
        if match := _STAGE.match(line):  # of skipped stages too, before that of the one that trains
            self.stage = f"{match[1]}/{match[2]}"
        elif match := _LENGTH.match(line):
            self.epochs, self.progress = match[1], f"epoch 1/{match[1]}"
        elif match := _STEP.match(line):
            if match["epoch"]:
                self.progress = f"epoch {match['epoch']}" + (f"/{self.epochs}" if self.epochs else "")
            else:
                self.progress = f"step {match['step']}/{match['steps']}"
            self.eta = found[1] if (found := _ETA.search(line)) else ""
            self.loss = found[1] if (found := _LOSS.search(line)) else ""
        elif match := _OVERALL.search(line):
            self.overall = match[1]


class LiveOverview(PoolOutput):
    """Live overview: a table of the runs that run, on a terminal; warnings and news stand above it.

    Args:
        console (Console): The terminal.
    """

    def __init__(self, console: Console) -> None:
        super().__init__()
        self._console = console
        self._states: dict[str, RunState] = {}
        self._live = Live(
            console=console, get_renderable=self._table, transient=True, redirect_stdout=False, redirect_stderr=False
        )

    def __enter__(self) -> LiveOverview:
        """Show the table."""
        self._live.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Take the table away."""
        self._live.stop()

    def say(self, text: str) -> None:
        """Print above the table.

        Args:
            text (str): The text.
        """
        with self._lock:
            self._console.print(Text("\n".join(map(one_line, text.split("\n")))), soft_wrap=True)

    def started(self, name: str) -> None:
        """Add a row.

        Args:
            name (str): The run's name.
        """
        with self._lock:
            self._states = {**self._states, name: RunState()}

    def show(self, name: str, line: str) -> None:
        """Update the row of a run; a warning is printed.

        Args:
            name (str): The run's name.
            line (str): A line that it has written.
        """
        with self._lock:
            self._states[name].read(line)
        if _WARNING.match(line):
            super().show(name, line)

    def ended(self, name: str, failed: bool) -> None:
        """Take the row away; of a run that failed, print what it wrote last.

        Args:
            name (str): The run's name.
            failed (bool): Whether it failed.
        """
        with self._lock:
            state = self._states.get(name, RunState())
            self._states = {other: kept for other, kept in self._states.items() if other != name}
        if failed:
            for line in state.lines:
                super().show(name, line)

    def _table(self) -> Table | Text:
        return overview(self._states) if self._states else Text()


def overview(states: Mapping[str, RunState]) -> Table:
    """Table of the runs that run.

    Args:
        states (Mapping[str, RunState]): Their states by name.
    """
    table = Table(box=SIMPLE_HEAD, pad_edge=False)
    for column in ("run", "stage", "progress", "left", "loss", "overall"):
        table.add_column(column, no_wrap=True, overflow="ellipsis")
    for name, state in states.items():
        table.add_row(*map(Text, (name, state.stage, state.progress, state.eta, state.loss, state.overall)))
    return table


def pool_output(jobs: int) -> PoolOutput:
    """Choose the output: an overview for several runs on a terminal, else lines.

    Args:
        jobs (int): Number of runs at a time.
    """
    if jobs > 1 and raw_stream(sys.stdout).isatty():
        return LiveOverview(Console(file=drawing_stream(sys.stdout)))
    return PoolOutput()
