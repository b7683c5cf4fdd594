"""Averaged copies of a model with buffers that a clustering sizes, and of one whose gradients are accumulated."""

from __future__ import annotations

import copy
from pathlib import Path
from typing import Any

import pytest
import torch
from mmengine.hooks import EMAHook
from mmengine.model import MMDistributedDataParallel
from torch.optim.swa_utils import AveragedModel

from lt_plugins.checkpoints.checkpoint import load_checkpoint
from lt_plugins.engine.sized_buffers import copy_sized_buffers
from lt_plugins.models.losses import SBCLLoss
from tests.engine.hooks.test_subclass_hooks import make_sbcl_runner
from tests.gloo import run_gloo
from tests.small_runs import MakeRunner

AVERAGES: dict[str, dict[str, Any]] = {
    "EMA": {"momentum": 0.1},
    "EMA of buffers": {"momentum": 0.1, "update_buffers": True},
    "EMA from the second epoch": {"momentum": 0.1, "begin_epoch": 2},
    "SWA": {"ema_type": "StochasticWeightAverage"},
}
SCHEDULE = {
    "train_dataloader.batch_size": 26,
    "custom_hooks.0.start": 1,
    "custom_hooks.0.interval": 1,
    "train_cfg.max_epochs": 3,
}


def train_with(average: dict[str, Any], work_dir: Path, **overrides: Any) -> Any:
    runner = make_sbcl_runner(work_dir, **{**SCHEDULE, **overrides})
    hook = EMAHook(**copy.deepcopy(average))
    runner.register_hook(hook)
    runner.train()
    return runner, hook


@pytest.mark.parametrize("name", AVERAGES)
def test_sbcl_is_averaged_and_resumed(name: str, tmp_path: Path) -> None:
    """Subclasses come after the first epoch and change in the third; validation exchanges the models."""
    runner, hook = train_with(AVERAGES[name], tmp_path, **{"train_cfg.val_interval": 1})
    loss, averaged = runner.model.head.loss_module, hook.ema_model.module.head.loss_module
    assert torch.equal(averaged.subclass, loss.subclass)
    assert averaged.tau2.shape == loss.tau2.shape == (10,)
    assert not torch.equal(hook.ema_model.module.backbone.conv1.weight, runner.model.backbone.conv1.weight)
    saved = load_checkpoint(tmp_path / "epoch_2.pth")
    assert saved["state_dict"]["head.loss_module.subclass"].shape == loss.subclass.shape

    expected = load_checkpoint(tmp_path / "epoch_3.pth")
    train_with(AVERAGES[name], tmp_path, resume=True, load_from=f"{tmp_path}/epoch_2.pth")
    found = load_checkpoint(tmp_path / "epoch_3.pth")
    for part in ("state_dict", "ema_state_dict"):
        for key, value in expected[part].items():
            assert torch.equal(found[part][key], value), f"{part} {key}"


@pytest.mark.parametrize("name", AVERAGES)
def test_class_counts_of_a_loss_without_num_classes(name: str, make_runner: MakeRunner) -> None:
    """The average is copied before the counts are known; validation exchanges the models."""
    head = {"type": "CosineClsHead", "num_classes": 10, "in_channels": 64, "loss": {"type": "LDAMLoss"}}
    runner = make_runner(**{"model.head": {**head, "_delete_": True}, "train_cfg.val_interval": 1})
    hook = EMAHook(**copy.deepcopy(AVERAGES[name]))
    runner.register_hook(hook)
    runner.train()
    counts = runner.model.class_distribution.counts
    for model in (runner.model, hook.ema_model.module):
        assert torch.equal(model.head.loss_module.class_distribution.counts, counts)
    saved = load_checkpoint(f"{runner.work_dir}/epoch_3.pth")
    assert torch.equal(saved["state_dict"]["head.loss_module.class_distribution.counts"], counts)
    resumed = make_runner(
        **{"model.head": {**head, "_delete_": True}, "train_cfg.max_epochs": 4},
        resume=True,
        load_from=f"{runner.work_dir}/epoch_3.pth",
    )
    resumed.register_hook(EMAHook(**copy.deepcopy(AVERAGES[name])))
    resumed.train()


@pytest.mark.parametrize("counts", [1, 4])
def test_the_average_takes_the_weights_once_a_step(counts: int, make_runner: MakeRunner) -> None:
    overrides = {"train_dataloader.batch_size": 3, "optim_wrapper.accumulative_counts": counts}
    runner = make_runner(**overrides, **{"train_cfg.max_epochs": 2})
    hook = EMAHook(momentum=0.1)
    runner.register_hook(hook)
    runner.train()
    length = len(runner.train_dataloader)
    assert int(hook.ema_model.steps) == 2 * -(-length // counts)


def test_any_copy_can_be_brought_up_to_date() -> None:
    loss = SBCLLoss()
    model = torch.nn.Sequential(loss)
    average = AveragedModel(model)
    loss.set_subclasses(torch.arange(9))
    copy_sized_buffers(model, average.module)
    average.update_parameters(model)
    assert torch.equal(average.module.state_dict()["0.subclass"], torch.arange(9))
    clone = copy.deepcopy(model)
    clone.load_state_dict(model.state_dict())
    assert torch.equal(clone.state_dict()["0.subclass"], torch.arange(9))


def train_on_one_rank(work_dir: Path) -> dict[str, torch.Tensor]:
    """DistributedDataParallel that sends all buffers around in each forward pass."""
    runner = make_sbcl_runner(work_dir, **SCHEDULE)
    runner.model = MMDistributedDataParallel(runner.model, broadcast_buffers=True, find_unused_parameters=True)
    hook = EMAHook(**AVERAGES["EMA"])
    runner.register_hook(hook)
    runner.train()
    return dict(hook.ema_model.module.state_dict())


def test_two_processes_average_the_same(tmp_path: Path) -> None:
    first, second = run_gloo(train_on_one_rank, tmp_path / "run", folder=tmp_path)
    assert first["head.loss_module.subclass"].shape == (78,)
    # Running statistics of batch norm are those of each process's own batches after the last exchange.
    for name in [name for name in first if "running" not in name]:
        assert torch.equal(first[name], second[name]), name
