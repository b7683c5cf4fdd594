"""The strong recipe for CIFAR-LT: its schedule and pipelines are bases for any loss."""

from __future__ import annotations

import math
from pathlib import Path
from typing import Any

import pytest
import torch
from mmengine.config import Config
from mmengine.dataset import Compose
from mmengine.optim import OptimWrapper
from mmengine.registry import PARAM_SCHEDULERS, DefaultScope
from mmpretrain.registry import MODELS

from lt_plugins.datasets.batched_forms import pipeline_form
from lt_plugins.models.losses import MultiExpertLoss
from lt_plugins.runs.config import load_stages, read_config, read_stages
from tests import battery

ROOT = Path(__file__).resolve().parents[2]
BASES = ROOT / "configs/_base_"
PIPELINES = {"autoaugment": "autoaugment_train_pipeline", "randaugment": "randaugment_train_pipeline"}
LOSSES = sorted(name for name, cls in battery.registered("MODELS").items() if battery.is_logits_loss(cls))


def composed(tmp_path: Path, text: str = "", pipeline: str = "autoaugment", data: str = "cifar100-lt") -> Config:
    """A config of the bases, without any of ``configs/strong``, checked as for a run."""
    names = (f"datasets/{data}", f"pipelines/{pipeline}_cifar", "models/ce_r32", "schedules/cifar_400e_strong")
    bases = [str(BASES / f"{name}.py") for name in (*names, "small_images_runtime")]
    taken = f"train_dataloader = dict(dataset=dict(dataset=dict(pipeline=_base_.{PIPELINES[pipeline]})))"
    path = tmp_path / "config.py"
    path.write_text(f"_base_ = {bases}\n{taken}\n{text}\n")
    [cfg] = load_stages(str(path))
    return cfg


@pytest.mark.parametrize("name", LOSSES)
def test_any_loss_takes_the_schedule(name: str, tmp_path: Path) -> None:
    loss = f"loss=dict(_delete_=True, type={name!r}, class_weight='effective_number', reweight_from=320)"
    model, num_features = f"head=dict({loss})", 1
    if issubclass(battery.registered("MODELS")[name], MultiExpertLoss):
        model, num_features = f"backbone=dict(num_experts=3), head=dict(type='MultiExpertHead', {loss})", 3
    cfg = composed(tmp_path, f"model = dict({model})")
    with DefaultScope.overwrite_default_scope("mmpretrain"):
        head = MODELS.build(cfg.model.head)
    head.loss_module.class_distribution.set_counts([2] * 100)
    features = (battery.noise(4, 64),) * num_features
    value = head.loss(features, battery.samples(torch.arange(4)))["loss"]
    assert math.isfinite(float(value.detach()))
    head.loss_module.set_epoch(319, cfg.train_cfg.max_epochs)
    assert head.loss_module.current_weight() is None
    head.loss_module.set_epoch(320, cfg.train_cfg.max_epochs)
    assert head.loss_module.current_weight() is not None


@pytest.mark.parametrize("data", ["cifar10-lt", "cifar100-lt"])
@pytest.mark.parametrize("pipeline", PIPELINES)
def test_pipelines_augment_images_in_memory(pipeline: str, data: str, tmp_path: Path) -> None:
    classes = int(data.removesuffix("-lt").removeprefix("cifar"))
    cfg = composed(tmp_path, f"model = dict(head=dict(num_classes={classes}))", pipeline, data)
    assert cfg.resident
    with DefaultScope.overwrite_default_scope("mmpretrain"):
        form = pipeline_form(Compose(cfg.train_dataloader.dataset.dataset.pipeline).transforms)
    assert len(form.views) == 1


def test_the_rotation_of_autoaugment_has_one_direction() -> None:
    """To the left by 2 / 9 of 30 degrees, in one of the 25 sub-policies; else it is the policy of PaCo's views."""
    base = read_config(BASES / "pipelines/autoaugment_cifar.py")
    steps = [step for policy in base.autoaugment_train_pipeline[3].policies for step in policy]
    changed = [
        (step, plain)
        for step, plain in zip(steps, (step for policy in base.cifar_policies for step in policy), strict=True)
        if step != plain
    ]
    [(turned, plain)] = changed
    assert turned == {**plain, "angle": -30 * 2 / 9, "random_negative_prob": 0.0}


def rates(cfg: Config) -> list[float]:
    """Learning rate of each epoch, by mmengine's schedulers."""
    optimiser = OptimWrapper(torch.optim.SGD([torch.zeros(1, requires_grad=True)], lr=cfg.optim_wrapper.optimizer.lr))
    default: dict[str, Any] = {"optimizer": optimiser, "epoch_length": 1}
    schedulers = [PARAM_SCHEDULERS.build(dict(item), default_args=default) for item in cfg.param_scheduler]
    found = []
    for _ in range(cfg.train_cfg.max_epochs):
        found.append(optimiser.param_groups[0]["lr"])
        for scheduler in schedulers:
            scheduler.step()
    return found


def slow_rate(epoch: int, legacy: bool) -> float:
    """METHODS_BEYOND 1, of 400 epochs: epochs from 1, warm-up of 10 by e / 5 (released) or e / 10."""
    if epoch <= 10:
        return 0.1 * epoch / (5 if legacy else 10)
    return 0.1 if epoch <= 320 else 1e-3 if epoch <= 360 else 1e-5


@pytest.mark.parametrize("legacy", [False, True])
def test_learning_rates(legacy: bool) -> None:
    spec = f"{ROOT}/configs/strong/ce_r32_cifar100-lt.py{':released' if legacy else ''}"
    [cfg] = read_stages(spec)
    assert rates(cfg) == pytest.approx([slow_rate(epoch, legacy) for epoch in range(1, 401)])
    assert cfg.optim_wrapper.get("bn") == ("legacy" if legacy else None)


def test_a_shorter_training_has_the_same_phases() -> None:
    """Of SAM, of the loss and of its weights."""
    [cfg] = load_stages(f"{ROOT}/configs/strong/vs-adrw-tla_r32_cifar100-lt.py", shorten=10)
    loss = cfg.model.head.loss
    assert cfg.train_cfg.max_epochs == 40
    assert (loss.switch_from, loss.reweight_from, cfg.optim_wrapper.phases[0].start) == (32, 32, 32)
