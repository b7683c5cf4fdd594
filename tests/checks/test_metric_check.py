"""Metrics, and the names of metrics that hooks watch, are tried before the first step."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch

from lt_plugins.checks.metric_check import check_metrics
from lt_plugins.errors import UserInputError
from tests.random_state import random_state_untouched
from tests.small_runs import MakeRunner

COUNTS = torch.tensor([8, 6, 5, 4, 3, 3, 2, 2, 1, 1])
EVALUATOR = [
    {"type": "ShotAccuracy", "many_threshold": 4, "few_threshold": 2},
    {"type": "CalibrationError"},
    {"type": "Accuracy", "topk": (1, 5)},
]


def run(make_runner: MakeRunner, **overrides: Any) -> Any:
    """A run with its loops and hooks, not begun."""
    runner = make_runner(**{"val_evaluator": EVALUATOR, "train_cfg.val_interval": 1, **overrides})
    runner._val_loop = runner.build_val_loop(runner._val_loop)
    return runner


def test_names_that_are_watched(make_runner: MakeRunner) -> None:
    for name in ("shot/few", "shot/medium", "shot/many", "shot/accuracy_top1", "accuracy/top5", "calibration/ece"):
        hooks = {"default_hooks.checkpoint.save_best": name, "default_hooks.checkpoint.rule": "greater"}
        runner = run(make_runner, **hooks)
        with random_state_untouched():
            check_metrics(runner, COUNTS)
    assert not list(Path(runner.work_dir).rglob("per_class.csv")), "a trial writes nothing"
    assert all(not metric.results for metric in runner.val_evaluator.metrics)


@pytest.mark.parametrize(
    ("overrides", "message"),
    [
        ({"default_hooks.checkpoint.save_best": "shot/acuracy_top1"}, "save_best='shot/acuracy_top1' is no metric of"),
        ({"default_hooks.checkpoint.save_best": "accuracy/top3"}, "did you mean 'accuracy/top"),
        ({"custom_hooks": [{"type": "EarlyStoppingHook", "monitor": "shot/accuracy"}]}, "monitor='shot/accuracy'"),
        (
            {"val_evaluator": [{"type": "Accuracy", "topk": (1, 50)}]},
            "Accuracy of val_evaluator cannot be computed for",
        ),
        ({"val_evaluator": [{"type": "ShotAccuracy", "topk": (1, 50)}]}, "exceeds the 10 classes"),
    ],
)
def test_what_would_fail_after_the_first_epoch(
    overrides: dict[str, Any], message: str, make_runner: MakeRunner
) -> None:
    runner = run(make_runner, **overrides)
    with pytest.raises(UserInputError, match=message) as caught:
        check_metrics(runner, COUNTS)
    assert "\n" not in str(caught.value)


def test_training_is_stopped_before_its_first_step(make_runner: MakeRunner) -> None:
    runner = make_runner(**{"default_hooks.checkpoint.save_best": "shot/acuracy_top1"})
    with pytest.raises(UserInputError, match="did you mean 'shot/accuracy_top1'"):
        runner.train()
    assert runner.iter == 0
