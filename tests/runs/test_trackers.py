"""Experiment trackers: what the options add to a config, and one line where a package is missing."""

from __future__ import annotations

import argparse
from importlib.util import find_spec
from pathlib import Path

import pytest
from mmengine.config import Config
from mmengine.registry import VISBACKENDS

from lt_plugins.errors import UserInputError
from lt_plugins.runs.error_line import error_line
from lt_plugins.runs.trackers import TRACKERS, add_tracker_arguments, tracker_options, use_trackers
from tests.tool_process import ROOT, expect_errors, run_tool

CONFIG = ROOT / "configs/ce/ce_r32_digits.py"


def parse(*options: str) -> argparse.Namespace:
    parser = argparse.ArgumentParser()
    add_tracker_arguments(parser)
    return parser.parse_args(options)


def test_options_add_to_what_the_config_has() -> None:
    local = {"type": "LocalVisBackend"}
    cfg = Config({"work_dir": "work_dirs/ce/x", "visualizer": {"type": "UniversalVisualizer", "vis_backends": [local]}})
    for _ in range(2):
        use_trackers(cfg, parse("--tensorboard"))
        assert cfg.visualizer.to_dict() == {
            "type": "UniversalVisualizer",
            "vis_backends": [local, {"type": "TensorboardVisBackend"}],
        }
    assert tracker_options(parse("--wandb", "--tensorboard")) == ["--tensorboard", "--wandb"]
    before = cfg.to_dict()
    use_trackers(cfg, parse())
    assert cfg.to_dict() == before


def test_wandb_takes_project_and_name(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("lt_plugins.runs.trackers.find_spec", lambda _: True)
    cfg = Config({"work_dir": "work_dirs/sweep/ce/ce_seed0"})
    use_trackers(cfg, parse("--wandb"))
    settings = {"project": "lt_plugins", "name": "ce/ce_seed0", "dir": "work_dirs/sweep/ce/ce_seed0"}
    assert cfg.visualizer.vis_backends[1] == {"type": "WandbVisBackend", "init_kwargs": settings}
    monkeypatch.setenv("WANDB_PROJECT", "birds")
    cfg = Config({"work_dir": "x"})
    use_trackers(cfg, parse("--wandb"))
    assert cfg.visualizer.vis_backends[1].init_kwargs == {"project": "birds", "name": "x", "dir": "x"}


def test_every_tracker_of_mmengine_is_known() -> None:
    assert {name for name in VISBACKENDS.module_dict if name.endswith("VisBackend")} - {*TRACKERS} == {
        "LocalVisBackend"
    }


def test_a_missing_package_of_the_config(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("lt_plugins.runs.trackers.find_spec", lambda _: None)
    cfg = Config({"work_dir": "x", "visualizer": {"vis_backends": [{"type": "mmengine.MLflowVisBackend"}]}})
    with pytest.raises(UserInputError, match=r"MLflowVisBackend needs the package mlflow.*pip install mlflow, or drop"):
        use_trackers(cfg, parse())


def test_no_account() -> None:
    error = type("UsageError", (Exception,), {"__module__": "wandb.errors.errors"})
    line = error_line(error("No API key configured. Use `wandb login` to log in."))
    assert line is not None
    assert line.startswith("Weights & Biases: No API key configured.") and "WANDB_MODE=offline" in line


def test_tools(tmp_path: Path) -> None:
    small = ["train_cfg.max_epochs=1", "model.backbone.depth=20", "train_dataloader.dataset.imbalance_factor=8"]
    done = run_tool(
        "train.py", CONFIG, "--tensorboard", "--no-validate", "--work-dir", tmp_path / "run", "--cfg-options", *small,
        logs=tmp_path,
    )  # fmt: skip
    assert done.exit_code == 0, done.output
    assert list((tmp_path / "run").glob("*/vis_data/events.out.tfevents.*"))


@pytest.mark.skipif(find_spec("wandb") is not None, reason="W&B is installed")
@pytest.mark.parametrize("tool", ["train.py", "sweep.py"])
def test_missing_wandb_is_one_line_before_anything_is_written(tool: str, tmp_path: Path) -> None:
    arguments = (str(CONFIG), "--wandb", "--work-dir", tmp_path / "run")
    expect_errors(tool, {arguments: "the package wandb, which is not installed: pip install wandb"}, tmp_path / "logs")
    assert not (tmp_path / "run").exists()
