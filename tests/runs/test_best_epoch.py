"""Which metric chooses the best epoch, whose checkpoint is kept, and which stages can stop early."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from mmengine.config import Config

from lt_plugins.errors import UserInputError
from lt_plugins.runs.best_epoch import choose_by, keep_best_epoch, stop_early
from lt_plugins.runs.config import load_stages
from tests.miniatures import write_image
from tests.tool_process import ROOT, run_tool

CONFIG = ROOT / "configs/ce/ce_r32_digits.py"


def make(**changes: Any) -> Config:
    """A config with what is read of it."""
    cfg = {
        "train_cfg": {"by_epoch": True, "max_epochs": 3},
        "val_dataloader": {"batch_size": 1},
        "val_evaluator": [{"type": "CalibrationError"}, {"type": "mmpretrain.ShotAccuracy"}],
        "default_hooks": {"checkpoint": {"type": "SafeCheckpointHook"}},
    }
    return Config(cfg | changes, filename="a.py")


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


def test_own_images_keep_the_best(tmp_path: Path) -> None:
    for label, count in {"ant": 9, "bee": 6, "猫": 3}.items():
        for index in range(count):
            write_image(tmp_path / "photos" / label / f"{index}.png", seed=index + 10 * count, size=(32, 32))
    done = run_tool(
        "train.py", CONFIG, "--data", tmp_path / "photos", "--work-dir", tmp_path / "run", "--early-stop", "1",
        "--val-interval", "1", "--cfg-options", "model.backbone.depth=20", "train_dataloader.batch_size=6",
        "train_cfg.max_epochs=6", logs=tmp_path,
    )  # fmt: skip
    assert done.exit_code == 0, done.output
    [best] = (tmp_path / "run").glob("best_shot_balanced_epoch_*.pth")
    assert f"best  {best} (chosen by its mean class accuracy" in done.output
    assert "猫" in done.output or "No class has a wrong prediction." in done.output
