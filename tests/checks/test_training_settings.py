"""A training that would do nothing does not start."""

from __future__ import annotations

import math
from pathlib import Path
from typing import Any

import pytest
import torch

from lt_plugins.checks.training_settings import check_training_settings
from lt_plugins.errors import UserInputError
from lt_plugins.runs.config import load_config
from tests.small_runs import MakeRunner
from tests.tool_process import ROOT

CASES: dict[str, Any] = {
    "train_cfg.max_epochs": (0, -3),
    "train_cfg.max_iters": (0,),
    "optim_wrapper.optimizer.lr": (math.nan, math.inf, 0.0),
    "optim_wrapper.optimizer.dampening": (math.nan, -math.inf),
    "optim_wrapper.optimizer.weight_decay": (math.nan,),
    "optim_wrapper.clip_grad.max_norm": (math.nan,),
    "optim_wrapper.paramwise_cfg.custom_keys.backbone.lr_mult": (math.nan,),
    "param_scheduler.1.eta_min": (math.nan, math.inf),
    "model.head.loss.loss_weight": (math.nan,),
}


@pytest.mark.parametrize(("key", "value"), [(key, value) for key, values in CASES.items() for value in values])
def test_settings_that_train_nothing_are_refused(key: str, value: float) -> None:
    cfg = load_config(str(ROOT / "configs/ce/ce_r32_digits.py"))
    check_training_settings(cfg)
    cfg.merge_from_dict({key: value})
    with pytest.raises(UserInputError, match=rf"^{key}={value} "):
        check_training_settings(cfg)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"train_cfg.max_epochs": 0}, "train_cfg.max_epochs=0 would train nothing"),
        ({"optim_wrapper.optimizer.lr": 0.0}, "learning rate of every parameter is 0"),
        ({"optim_wrapper.optimizer.lr": math.nan}, "learning rate is nan"),
    ],
)
def test_a_runner_that_was_built_by_hand_is_stopped_too(
    options: dict[str, Any], message: str, make_runner: MakeRunner
) -> None:
    with pytest.raises(UserInputError, match=message):
        make_runner(**options, param_scheduler=None).train()


def test_a_frozen_model_is_not_trained(make_runner: MakeRunner, tmp_path: Path) -> None:
    runner = make_runner(load_from=str(tmp_path / "start.pth"))
    torch.save({"state_dict": runner.model.state_dict()}, tmp_path / "start.pth")
    runner.model.requires_grad_(False)
    with pytest.raises(UserInputError, match="all are frozen"):
        runner.train()


@pytest.mark.parametrize("max_epochs", [1, 2])
def test_a_finished_run_is_not_resumed(max_epochs: int, make_runner: MakeRunner) -> None:
    runner = make_runner(**{"train_cfg.max_epochs": 2})
    runner.train()
    last = f"{runner.work_dir}/epoch_2.pth"
    with pytest.raises(UserInputError, match=rf"{last} holds 2 finished epochs and train_cfg.max_epochs={max_epochs};"):
        make_runner(resume=True, load_from=last, **{"train_cfg.max_epochs": max_epochs}).train()
