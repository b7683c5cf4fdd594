"""Runs whose images are in memory."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch
from mmengine.runner import Runner

from lt_plugins.checks.preflight import Allowed, check_data
from lt_plugins.datasets.resident_dataset import ResidentDataset
from lt_plugins.errors import UserInputError
from lt_plugins.models.unwrap import unwrap_model
from lt_plugins.runs.config import load_config
from lt_plugins.runs.run_record import record_config
from tests.small_runs import MakeRunner
from tests.tool_process import ROOT, run_tool

PLAIN: list[dict] = [dict(type="LoadImage"), dict(type="PackInputs")]
DIGITS = str(ROOT / "configs/ce/ce_r32_digits.py")


def trained(runner: Runner) -> dict[str, torch.Tensor]:
    runner.train()
    return unwrap_model(runner.model).state_dict()


def test_without_augmentation_both_ways_take_the_same_steps(make_runner: MakeRunner, tmp_path: Path) -> None:
    """Bit for bit, in training and in evaluation."""
    common: dict[str, Any] = {"train_cfg.max_epochs": 2, "train_cfg.val_interval": 1}
    common["train_dataloader.dataset.dataset.pipeline"] = PLAIN
    runners, weights = [], []
    for resident in (True, False):
        runners.append(make_runner(resident=resident, work_dir=str(tmp_path / str(resident)), **common))
        weights.append(trained(runners[-1]))
    assert isinstance(runners[0].train_dataloader.dataset, ResidentDataset)
    assert not isinstance(runners[1].train_dataloader.dataset, ResidentDataset)
    assert [*weights[0]] == [*weights[1]]
    assert [name for name, value in weights[0].items() if not torch.equal(value, weights[1][name])] == []
    scores = [runner.message_hub.get_scalar("val/shot/accuracy_top1").data for runner in runners]
    assert (scores[0][0] == scores[1][0]).all()


def test_every_loader_is_resident_and_the_config_stays(make_runner: MakeRunner) -> None:
    runner = make_runner(resident=True, **{"train_cfg.max_epochs": 1, "train_dataloader.num_workers": 2})
    runner.train()
    for loader in (runner.train_dataloader, runner.val_dataloader):
        assert isinstance(loader.dataset, ResidentDataset)
        assert loader.num_workers == 0
    assert runner.cfg.train_dataloader.dataset.type == "LongTailDataset"
    assert runner.cfg.train_dataloader.num_workers == 2


def test_the_epoch_and_the_seed_reach_the_augmentation(make_runner: MakeRunner) -> None:
    runner = make_runner(resident=True, **{"train_cfg.max_epochs": 2, "randomness.seed": 7})
    runner.train()
    assert runner.train_dataloader.dataset.images._epoch == (7, 1)


def test_a_transform_without_batched_form_stops_before_training(make_runner: MakeRunner) -> None:
    lighting = dict(type="Lighting", eigval=[1.0, 1.0, 1.0], eigvec=[[1.0, 0.0, 0.0]] * 3)
    pipeline = [PLAIN[0], lighting, PLAIN[1]]
    runner = make_runner(resident=True, **{"train_dataloader.dataset.dataset.pipeline": pipeline})
    with pytest.raises(UserInputError, match="the transform Lighting has no batched form"):
        runner.train()
    assert runner.iter == 0


def test_data_check_reads_all_images(make_runner: MakeRunner) -> None:
    loader = make_runner(resident=True).build_dataloader(load_config(DIGITS).val_dataloader)
    assert loader.dataset._images is None
    check_data({"val": loader}, 10, Allowed())
    assert loader.dataset._images is not None


def test_record_tells_both_ways_apart() -> None:
    records = [record_config(load_config(DIGITS, overrides)) for overrides in ({"resident": True}, {"resident": False})]
    assert records[0].pop("resident") is True
    assert records[0] == records[1], "a run of version 0.1, without the key, goes on with --no-resident"


def test_own_data_are_not_resident_unless_asked_for(tmp_path: Path) -> None:
    for name in ("a", "b"):
        (tmp_path / "own" / name).mkdir(parents=True)
        for number in range(2):
            (tmp_path / "own" / name / f"{number}.png").touch()
    data = str(tmp_path / "own")
    config = str(ROOT / "configs/ce/ce_r32_cifar10-lt.py")
    assert not load_config(config, data=data).get("resident")
    assert load_config(config, {"resident": True}, data=data).resident is True


def test_options_of_the_tools(tmp_path: Path) -> None:
    small = ["train_cfg.max_epochs=1", "train_dataloader.dataset.max_count=8", "model.backbone.depth=20"]
    for option, wrapped in (("--resident", True), ("--no-resident", False)):
        work_dir = tmp_path / option
        arguments: list[str | Path] = [DIGITS, option, "--work-dir", work_dir, "--cfg-options", *small]
        arguments.append("train_dataloader.dataset.imbalance_factor=8")
        run = run_tool("train.py", *arguments, logs=tmp_path)
        assert run.exit_code == 0
        assert ("data      ResidentDataset(" in run.output) is wrapped
        test = run_tool("test.py", work_dir / "ce_r32_digits.py", work_dir, option, logs=tmp_path)
        assert test.exit_code == 0
