"""Time left of a run: counts of evaluations against mmengine's loop, and an extrapolation by a clock of our own."""

from __future__ import annotations

import itertools
from typing import Any

import pytest
from mmengine.config import Config
from mmengine.runner.utils import calc_dynamic_intervals

from lt_plugins.runs.time_left import TimeLeft, Work, evaluations_between, planned_work, show_duration


def mmengine_evaluations(done: int, total: int, settings: dict[str, Any]) -> int:
    """The condition of ``EpochBasedTrainLoop.run``, epoch by epoch."""
    milestones, intervals = calc_dynamic_intervals(settings.get("val_interval", 1), settings.get("dynamic_intervals"))
    count = 0
    for epoch in range(1, total + 1):
        interval = intervals[max(i for i, milestone in enumerate(milestones) if milestone <= epoch + 1)]
        due = epoch >= settings.get("val_begin", 1) and (epoch % interval == 0 or epoch == total)
        count += due and epoch > done
    return count


def test_evaluations_are_those_of_mmengine() -> None:
    for interval, begin, total, done in itertools.product((1, 2, 3, 7, 50), (1, 4, 11), (1, 7, 12), (0, 3, 7)):
        for dynamic in (None, [(5, 2)], [(3, 4), (8, 1)]):
            settings = {"val_interval": interval, "val_begin": begin, "dynamic_intervals": dynamic}
            counted = evaluations_between(done, total, settings)
            assert counted == mmengine_evaluations(done, total, settings), (settings, total, done)


def test_extrapolation() -> None:
    """10 s for the first step, then 2 s a step, and 6 s an evaluation."""
    now = 0.0
    left = TimeLeft(step_images=8, val_images=12, later=[Work(images=80, evaluations=2)], clock=lambda: now)
    assert left.seconds(9, 1) is None
    now += 10
    left.step()
    assert left.seconds(9, 1) is None, "the first step tells nothing"
    now += 2
    left.step()
    # An evaluation of 12 images, not measured yet: 12 / 8 of a step, a third of its cost.
    assert left.seconds(8, 1) == pytest.approx(2 * 8 + 1 + 2 * 10 + 2 * 1)
    now += 2
    left.step(ends_epoch=True)
    left.begin_evaluation()
    now += 6
    left.end_evaluation()
    assert left.seconds(7, 0) == pytest.approx(2 * 7 + 2 * 10 + 2 * 6)
    assert left.elapsed == 20
    for _ in range(10):  # a method that costs more from some epoch on
        now += 5
        left.step(ends_epoch=True)
    assert left.seconds_per_step == pytest.approx(5)


def test_planned_work() -> None:
    train = {"max_epochs": 10, "val_interval": 4}
    cfg = Config({"train_cfg": train, "val_dataloader": {"batch_size": 1}, "train_dataloader": {"batch_size": 16}})
    assert planned_work(cfg, 100) == Work(1000, 3)
    cfg.val_dataloader = None
    assert planned_work(cfg, 100) == Work(1000, 0)
    cfg.train_cfg = {"max_iters": 50, "val_interval": 20}
    assert planned_work(cfg, 100) == Work(800, 0)


@pytest.mark.parametrize(
    ("seconds", "shown"),
    [(0.3, "0 s"), (99.4, "99 s"), (100, "2 min"), (3600, "60 min"), (5970, "1 h 40 min"), (86400 * 2.2, "2 d 5 h")],
)
def test_durations(seconds: float, shown: str) -> None:
    assert show_duration(seconds) == shown
