"""Fixture of a run on a few digits, small enough to be trained in a test; conftest.py hands it to all tests."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from mmengine.runner import Runner

from lt_plugins.runs.config import load_config
from lt_plugins.runs.quiet_runner import QuietRunner
from tests.tool_process import ROOT

MakeRunner = Callable[..., Runner]


@pytest.fixture
def make_runner(tmp_path: Path) -> MakeRunner:
    """Build a runner of the digits config with overrides; every call is an experiment of its own."""
    built: list[Runner] = []

    def make(**overrides: Any) -> Runner:
        cfg = load_config(str(ROOT / "configs/ce/ce_r32_digits.py"))
        cfg.merge_from_dict(
            {
                "work_dir": str(tmp_path / "run"),
                "experiment_name": f"{tmp_path.name}_{len(built)}",
                "log_level": "ERROR",
                "model.backbone.depth": 20,
                "train_dataloader.dataset.max_count": 8,
                "train_dataloader.dataset.imbalance_factor": 8,
                "train_cfg.max_epochs": 3,
                "train_cfg.val_interval": 9,
            }
        )
        cfg.merge_from_dict(overrides)
        built.append(QuietRunner.from_cfg(cfg))
        return built[-1]

    return make
