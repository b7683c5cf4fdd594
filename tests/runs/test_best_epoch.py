"""Which metric chooses the best epoch, whose checkpoint is kept, and which stages can stop early."""

from __future__ import annotations

from typing import Any

import pytest
from mmengine.config import Config

from lt_plugins.errors import UserInputError
from lt_plugins.runs.best_epoch import choose_by, keep_best_epoch, stop_early
from lt_plugins.runs.config import load_stages
from tests.tool_process import ROOT


def make(**changes: Any) -> Config:
    """A config with what is read of it."""
    cfg = {
        "train_cfg": {"by_epoch": True, "max_epochs": 3},
        "val_dataloader": {"batch_size": 1},
        "val_evaluator": [{"type": "CalibrationError"}, {"type": "mmpretrain.ShotAccuracy"}],
        "default_hooks": {"checkpoint": {"type": "SafeCheckpointHook"}},
    }
    return Config(cfg | changes, filename=__file__)


@pytest.mark.parametrize(
    ("changes", "name"),
    [
        ({}, "shot/balanced"),
        ({"val_evaluator": {"type": "ShotAccuracy", "prefix": "birds"}}, "birds/balanced"),
        ({"val_evaluator": {"type": "GLTMetric"}}, None),
        ({"val_dataloader": None, "val_evaluator": None}, None),
        ({"train_cfg": {"by_epoch": False, "max_iters": 9}}, None),
        ({"train_cfg": {"type": "PosthocLoop", "max_epochs": 1}}, None),
    ],
)
def test_metric(changes: dict[str, Any], name: str | None) -> None:
    cfg = make(**changes)
    assert choose_by(cfg) == name
    keep_best_epoch(cfg)
    assert cfg.default_hooks.checkpoint.get("save_best") == name
    if name is None:
        with pytest.raises(UserInputError, match="--early-stop 4 needs a validation by ShotAccuracy"):
            stop_early([cfg, cfg], 4)
    else:
        other = make(val_dataloader=None)
        stop_early([other, cfg], 4)
        assert cfg.default_hooks.early_stop == {"type": "EarlyStopHook", "monitor": name, "patience": 4}
        assert "early_stop" not in other.default_hooks


@pytest.mark.parametrize("chosen", ["shot/few", None])
def test_what_a_config_says_stays(chosen: str | None) -> None:
    cfg = make(default_hooks={"checkpoint": {"type": "SafeCheckpointHook", "save_best": chosen}})
    keep_best_epoch(cfg)
    assert cfg.default_hooks.checkpoint == {"type": "SafeCheckpointHook", "save_best": chosen}


def test_papers_benchmarks_keep_the_last_only() -> None:
    for config in ("configs/paco/paco_r32_cifar100-lt.py", "configs/lpa/lpa_r32_digits.py"):
        for cfg in load_stages(str(ROOT / config), {}, ["train"]):
            assert not cfg.default_hooks.checkpoint.get("save_best")
