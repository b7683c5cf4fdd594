"""Progress of a run: one line with the time left on a terminal, the time left in the log, an estimate at the start."""

from __future__ import annotations

import re
import shutil
import sys
import time
from collections.abc import Mapping, Sequence
from contextlib import suppress
from datetime import datetime, timedelta
from typing import Any, NamedTuple

import torch
from mmengine.hooks import Hook
from mmengine.runner import EpochBasedTrainLoop, Runner

from lt_plugins.datasets.loader_order import batch_parts
from lt_plugins.errors import UserInputError
from lt_plugins.runs.console import ConsoleHandler
from lt_plugins.runs.run_folder import RunFolder
from lt_plugins.runs.short_names import short_names
from lt_plugins.runs.time_left import TimeLeft, Work, evaluations_between, show_duration
from lt_plugins.terminal import StatusLine, raw_stream

SECONDS_BETWEEN_LINES = 0.2
MEASURED_STEPS = 11  # after the first one; FiniteTrainingHook waits for the device after every tenth
PATIENCE = 20.0  # seconds after which fewer steps are enough for an estimate
GROUPS = ("many", "medium", "few")
_LOSS = re.compile(r"\bloss: (\S+)")


class Best(NamedTuple):
    """Best evaluation so far.

    Args:
        epoch (int): Its epoch.
        score (float): Its mean class accuracy in percent.
    """

    epoch: int
    score: float


class ProgressHook(Hook):
    """Progress hook: shows where a run stands and when all its stages will have ended.

    On a terminal one line, which the next one replaces, takes the place of mmengine's lines: stage, epoch, step, share,
    time left, loss, the accuracies of the last evaluation and the best epoch so far. Each evaluation leaves a line. In
    a file the lines are mmengine's, and their ``eta`` is the time left of the whole run. After a few steps the log gets
    an estimate. It looks at a clock and at what has been logged; no step waits for it.

    Args:
        number (int): Which stage it is. Defaults to 1.
        total (int): Number of stages. Defaults to 1.
        later (Sequence[Work]): Work of the stages that follow. Defaults to none.
    """

    # After IterTimerHook, whose time left it replaces, and before LoggerHook, which logs it.
    priority = "NORMAL"

    def __init__(self, number: int = 1, total: int = 1, later: Sequence[Work] = ()) -> None:
        self._stage, self._later = f"stage {number}/{total}" if total > 1 else "", later
        self._loss, self._scores = "", {}  # type: str, Mapping[str, float]
        self._best: Best | None = None
        self._is_drawing, self._has_estimated, self._drawn_at = False, False, 0.0
        self._started_at = 0
        self._left: float | None = None

    def before_train(self, runner: Runner) -> None:
        """Start the clock.

        Args:
            runner (Runner): The runner of the training process.
        """
        loader, val = runner.train_dataloader, runner.val_loop
        batch, parts = batch_parts(loader)
        images = max(1, batch * parts * runner.world_size)
        self._time = TimeLeft(images, len(val.dataloader.dataset) if val else 0, self._later)
        self._started_at = runner.iter
        if runner._resume:
            self._best = _logged_best(runner)
        self._is_drawing = raw_stream(sys.stdout).isatty()
        if self._is_drawing:
            ConsoleHandler.progress = self

    def after_train_iter(
        self,
        runner: Runner,
        batch_idx: int,
        data_batch: Any = None,  # noqa: ARG002 (mmengine's signature)
        outputs: dict | None = None,  # noqa: ARG002
    ) -> None:
        """Count a step and show the time left.

        Args:
            runner (Runner): The runner of the training process.
            batch_idx (int): Position of the batch in its epoch.
            data_batch (Any): Unused.
            outputs (dict, optional): Unused.
        """
        num_steps = len(runner.train_dataloader)
        self._time.step(ends_epoch=batch_idx + 1 == num_steps)
        left = self._seconds_left(runner)
        if left is not None:
            runner.message_hub.update_info("eta", left)
            is_measured = self._time.num_steps > MEASURED_STEPS
            if not self._has_estimated and (is_measured or self._time.elapsed > PATIENCE):
                self._has_estimated = True
                runner.logger.info(self._estimate(runner, left))
        self._left = left
        self._draw(f"step {batch_idx + 1}/{num_steps}", runner, runner.epoch + 1)

    def before_val_epoch(self, runner: Runner) -> None:  # noqa: ARG002
        """Stop the clock of the training.

        Args:
            runner (Runner): Unused.
        """
        self._time.begin_evaluation()

    def after_val_iter(
        self,
        runner: Runner,
        batch_idx: int,
        data_batch: Any = None,  # noqa: ARG002 (mmengine's signature)
        outputs: Any = None,  # noqa: ARG002
    ) -> None:
        """Show how far an evaluation is.

        Args:
            runner (Runner): The runner of the training process.
            batch_idx (int): Position of the batch.
            data_batch (Any): Unused.
            outputs (Any): Unused.
        """
        self._draw(f"evaluation {batch_idx + 1}/{len(runner.val_dataloader)}", runner, runner.epoch)

    def after_val_epoch(self, runner: Runner, metrics: dict[str, float] | None = None) -> None:
        """Take in the metrics; on a terminal show them.

        Args:
            runner (Runner): The runner of the training process.
            metrics (dict): Metrics of the evaluation.
        """
        self._time.end_evaluation()
        self._scores = short_names(metrics or {})
        where = runner.epoch if isinstance(runner.train_loop, EpochBasedTrainLoop) else runner.iter
        score = self._scores.get("balanced")
        if score is not None and (self._best is None or score > self._best.score):
            self._best = Best(where, score)
        if self._is_drawing:
            shown = "  ".join(f"{name} {value:.1f}" for name, value in self._scores.items())
            best = "" if self._best is None else f"  (best balanced: {self._best.score:.1f}, epoch {self._best.epoch})"
            runner.logger.info(f"{self._where(runner, where)}  {shown}{best}")

    def after_train(self, runner: Runner) -> None:  # noqa: ARG002
        """Take the line away.

        Args:
            runner (Runner): Unused.
        """
        if self._is_drawing:
            ConsoleHandler.progress, self._is_drawing = None, False
            with suppress(OSError):
                StatusLine.erase()

    def note(self, text: str) -> None:
        """Take in a line of mmengine that is not shown.

        Args:
            text (str): The line.
        """
        if match := _LOSS.search(text):
            self._loss = match[1]

    def _seconds_left(self, runner: Runner) -> float | None:
        """Seconds until the end of all stages, after the step that is being counted."""
        loop = runner.train_loop
        is_by_epoch = isinstance(loop, EpochBasedTrainLoop)
        done, total = (runner.epoch, runner.max_epochs) if is_by_epoch else (runner.iter, runner.max_iters)
        evaluations = evaluations_between(done, total, runner.cfg.train_cfg) if runner.val_loop is not None else 0
        return self._time.seconds(runner.max_iters - runner.iter - 1, evaluations)

    def _estimate(self, runner: Runner, left: float) -> str:
        """Line about the time that the run will take, and the memory that it has taken."""
        step, evaluation = self._time.seconds_per_step or 0.0, self._time.seconds_per_evaluation or 0.0
        end = datetime.now() + timedelta(seconds=left)
        steps = runner.max_iters - self._started_at
        parts = [f"{steps} steps of {step:.2g} s"]
        if runner.val_loop is not None:
            parts.append(f"evaluations of {'' if self._time.num_evaluations else 'about '}{evaluation:.2g} s")
        if self._later:
            parts.append("and the stages that follow")
        day = "" if left < 12 * 3600 else f"{end:%a} "
        return (
            f"time      about {show_duration(left)} left, until {day}{end:%H:%M}: {', '.join(parts)}; "
            f"{_memory(runner)} of memory so far"
        )

    def _draw(self, step: str, runner: Runner, epoch: int) -> None:
        now = time.monotonic()
        if not self._is_drawing or now - self._drawn_at < SECONDS_BETWEEN_LINES:
            return
        self._drawn_at = now
        is_by_epoch = isinstance(runner.train_loop, EpochBasedTrainLoop)
        done, left = self._time.elapsed, self._left
        groups = ", ".join(f"{name} {self._scores[name]:.1f}" for name in GROUPS if name in self._scores)
        parts = {
            "where": self._where(runner, epoch if is_by_epoch else runner.iter + 1),
            "step": step if is_by_epoch or step.startswith("evaluation") else "",
            "share": "" if left is None else f"{100 * done / (done + left):.0f} %",
            "left": "" if left is None else f"{show_duration(left)} left",
            "loss": f"loss {self._loss}" if self._loss else "",
            "balanced": f"balanced {self._scores['balanced']:.1f}" if "balanced" in self._scores else "",
            "groups": f"({groups})" if groups else "",
            "best": f"best {self._best.score:.1f} in epoch {self._best.epoch}" if self._best else "",
        }
        with suppress(OSError):
            StatusLine.draw(fit_line(parts))

    def _where(self, runner: Runner, position: int) -> str:
        is_by_epoch = isinstance(runner.train_loop, EpochBasedTrainLoop)
        unit, total = ("epoch", runner.max_epochs) if is_by_epoch else ("step", runner.max_iters)
        return f"{self._stage}  {unit} {position}/{total}".strip()


def fit_line(parts: Mapping[str, str], width: int | None = None) -> str:
    """Join parts of a line; those that matter least go first where the terminal is too narrow.

    Args:
        parts (Mapping[str, str]): In their order; empty ones are left out.
        width (int | None): Columns. Defaults to those of the terminal.
    """
    width = shutil.get_terminal_size().columns - 1 if width is None else width
    shown = {name: text for name, text in parts.items() if text}
    for dropped in ("share", "loss", "best", "step", "groups", "balanced"):
        if len("  ".join(shown.values())) <= width:
            break
        shown.pop(dropped, None)
    return "  ".join(shown.values())


def _memory(runner: Runner) -> str:
    """Peak memory of the device, or of the process where there is no GPU."""
    if torch.cuda.is_available():
        megabytes = torch.cuda.max_memory_allocated() / 2**20
    else:
        megabytes = runner.message_hub.get_scalar("train/memory").current()
    return f"{megabytes / 1024:.1f} GB" if megabytes >= 1024 else f"{megabytes:.0f} MB"


def _logged_best(runner: Runner) -> Best | None:
    """Best evaluation of the earlier starts of a run."""
    with suppress(UserInputError, OSError):
        rows = RunFolder(runner.work_dir).log().metrics
        known = [Best(int(row["step"]), row["shot/balanced"]) for row in rows if "shot/balanced" in row]
        return max(known, key=lambda best: best.score, default=None)
    return None
