"""Time that is left of a run in all its stages, from the steps and evaluations so far."""

from __future__ import annotations

import math
import time
from collections import deque
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from mmengine.config import Config

RECENT_EPOCHS = 5  # a method may cost more from some epoch on
FORWARD_SHARE = 1 / 3  # of a training step: the backward pass costs twice as much


@dataclass(frozen=True)
class Work:
    """Work: what a training has to do.

    Args:
        images (float): Images that it passes in training, all epochs together.
        evaluations (int): How often it is evaluated.
    """

    images: float
    evaluations: int


def planned_work(cfg: Config, num_images: int) -> Work:
    """Work of a stage that has not begun.

    Args:
        cfg (Config): Its config.
        num_images (int): Training images of an epoch, as far as they are known.
    """
    train = cfg.train_cfg
    interval = train.get("val_interval", 1)
    if "max_iters" in train:
        images = train.max_iters * cfg.train_dataloader.get("batch_size", 1)
        return Work(images, math.ceil(train.max_iters / interval) if cfg.get("val_dataloader") else 0)
    epochs = train.get("max_epochs", 1)
    return Work(epochs * num_images, evaluations_between(0, epochs, train) if cfg.get("val_dataloader") else 0)


def evaluations_between(done: int, total: int, settings: Mapping[str, Any]) -> int:
    """Count the evaluations of mmengine's loop after epoch (or iteration) ``done``, up to ``total``.

    Args:
        done (int): How many are done.
        total (int): How many there will be.
        settings (Mapping): ``val_interval``, ``val_begin`` and ``dynamic_intervals`` of ``train_cfg``.
    """
    begin, interval = max(done + 1, settings.get("val_begin", 1)), settings.get("val_interval", 1)
    if begin > total:
        return 0
    milestones: Sequence[tuple[int, int]] = settings.get("dynamic_intervals") or ()
    if not milestones:
        return total // interval - (begin - 1) // interval + (total % interval > 0)
    count = 0
    for epoch in range(begin, total + 1):
        valid = [later for milestone, later in milestones if epoch + 1 >= milestone]
        count += epoch == total or epoch % (valid[-1] if valid else interval) == 0
    return count


class TimeLeft:
    """Time left: extrapolates seconds a step and an evaluation to the end of all stages.

    The time between two steps counts as training, with all that hooks do there, as clustering and checkpoints; the
    first step, which also starts workers and libraries, is left out. It looks at a clock and never at the device.

    Args:
        step_images (int): Images of a step.
        val_images (int): Images of an evaluation.
        later (Sequence[Work]): Work of the stages that follow.
        clock (Callable): Gives the time in seconds. Defaults to the monotonic clock.
    """

    def __init__(
        self, step_images: int, val_images: int, later: Sequence[Work] = (), clock: Callable[[], float] = time.monotonic
    ) -> None:
        self._step_images, self._val_images, self._later, self._clock = step_images, val_images, later, clock
        self._start = clock()
        self._evaluating, self._eval_started = 0.0, 0.0
        self.num_evaluations = 0
        self.num_steps = 0
        self._marks: deque[tuple[int, float]] = deque(maxlen=RECENT_EPOCHS)

    @property
    def elapsed(self) -> float:
        """Seconds since the start."""
        return self._clock() - self._start

    @property
    def seconds_per_step(self) -> float | None:
        """Seconds of a step, over the last epochs; None before the second step."""
        if not self._marks or self.num_steps == self._marks[0][0]:
            return None
        steps, seconds = self._marks[0]
        return (self.elapsed - self._evaluating - seconds) / (self.num_steps - steps)

    @property
    def seconds_per_evaluation(self) -> float | None:
        """Seconds of an evaluation: measured, or before the first one by its images; None if nothing is known."""
        if self.num_evaluations:
            return self._evaluating / self.num_evaluations
        step = self.seconds_per_step
        return None if step is None else step / self._step_images * self._val_images * FORWARD_SHARE

    def step(self, ends_epoch: bool = False) -> None:
        """Count a training step.

        Args:
            ends_epoch (bool): Whether it is the last one of its epoch. Defaults to False.
        """
        self.num_steps += 1
        if self.num_steps == 1 or ends_epoch:
            self._marks.append((self.num_steps, self.elapsed - self._evaluating))

    def begin_evaluation(self) -> None:
        """Begin an evaluation."""
        self._eval_started = self._clock()

    def end_evaluation(self) -> None:
        """End an evaluation."""
        self._evaluating += self._clock() - self._eval_started
        self.num_evaluations += 1

    def seconds(self, steps: int, evaluations: int) -> float | None:
        """Seconds until the end of the run.

        Args:
            steps (int): Steps that are left of this stage.
            evaluations (int): Evaluations that are left of this stage.

        Returns:
            float | None: None if too little is known.
        """
        step, evaluation = self.seconds_per_step, self.seconds_per_evaluation
        if step is None or evaluation is None:
            return None
        images = sum(work.images for work in self._later) / self._step_images
        evaluations += sum(work.evaluations for work in self._later)
        return step * (steps + images) + evaluation * evaluations


def show_duration(seconds: float) -> str:
    """Write a duration for people: ``45 s``, ``12 min``, ``3 h 05 min``, ``2 d 4 h``.

    Args:
        seconds (float): The duration.
    """
    whole = round(seconds)
    if whole < 100:
        return f"{whole} s"
    minutes = round(seconds / 60)
    if minutes < 100:
        return f"{minutes} min"
    if minutes < 48 * 60:
        return f"{minutes // 60} h {minutes % 60:02} min"
    hours = round(seconds / 3600)
    return f"{hours // 24} d {hours % 24} h"
