"""Remix and CMO in a training: class counts, halves of a batch, accumulated gradients, mixed precision."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from mmengine.runner import Runner
from torch import Tensor

from lt_plugins.models.structures import LabelBatch
from tests.small_runs import MakeRunner

LOSS = {"type": "WeightedCrossEntropyLoss", "class_weight": "effective_number", "reweight_from": 1}
COMPANION = {"type": "CompanionBatchSampler", "companions": [{"type": "ClassBalancedSampler"}]}
WAYS: dict[str, dict[str, Any]] = {
    "images in memory, accumulated": {"resident": True, "optim_wrapper.accumulative_counts": 2},
    "image by image, mixed precision": {"resident": False},
}


def trained(make_runner: MakeRunner, **overrides: Any) -> tuple[Runner, list[tuple[Tensor, LabelBatch]]]:
    """A runner after three epochs, and the batches that its model got."""
    runner = make_runner(**{"train_dataloader.batch_size": 12, "model.head.loss": LOSS, **overrides})
    model: Any = runner.model
    batches, loss = [], model.loss

    def noted(inputs: Tensor, data_samples: LabelBatch) -> dict[str, Tensor]:
        batches.append((inputs, data_samples))
        return loss(inputs, data_samples)

    model.loss = noted
    runner.train()
    return runner, batches


@pytest.mark.parametrize("way", WAYS)
@pytest.mark.parametrize("method", ["Remix", "CMO"])
def test_trains(method: str, way: str, make_runner: MakeRunner) -> None:
    overrides = {"model.train_cfg": {"augments": {"type": method}}, **WAYS[way]}
    if method == "CMO":
        overrides["model.train_cfg"] = {"augments": {"type": "CMO", "prob": 1.0, "mix_from": 1, "mix_until": 2}}
        overrides["train_dataloader.batch_sampler"] = COMPANION
    with torch.autocast("cpu", torch.bfloat16, enabled="mixed" in way):  # mmengine's wrapper needs a GPU
        runner, batches = trained(make_runner, **overrides)
    model: Any = runner.model
    counts = model.class_distribution.counts
    steps, images = len(batches) // 3, int(counts.sum())
    for epoch in range(3):
        part = batches[epoch * steps : (epoch + 1) * steps]
        assert sum(len(inputs) for inputs, _ in part) == sum(len(labels) for _, labels in part) == images
        own = torch.cat([labels.one_label_each for _, labels in part])
        assert torch.equal(own.bincount(minlength=10), counts), "class counts of an epoch stay those of the images"
        is_mixed = torch.cat([(labels.target > 0).sum(dim=1) > 1 for _, labels in part])
        assert bool(is_mixed.any()) == (method == "Remix" or epoch == 1)
        assert {inputs.dtype for inputs, _ in part} == {labels.target.dtype for _, labels in part} == {torch.float32}
    assert all(torch.isfinite(value).all() for value in model.state_dict().values())
    if method == "Remix":
        assert torch.equal(model.data_preprocessor.mixing[0].class_distribution.counts, counts)
        assert "data_preprocessor.mixing.0.class_distribution.counts" in model.state_dict()


def test_foregrounds_are_of_all_classes_alike(make_runner: MakeRunner) -> None:
    """By the shares of the labels, next to backgrounds of a class eight times larger than another."""
    runner = make_runner(
        **{
            "model.train_cfg": {"augments": {"type": "CMO", "prob": 1.0}},
            "train_dataloader.batch_sampler": COMPANION,
            "train_dataloader.dataset.max_count": 64,
        }
    )
    model: Any = runner.model
    pasted, others = torch.zeros(10), torch.zeros(10)  # shares, and how often a foreground may be of another class
    for epoch in range(12):
        runner.train_dataloader.batch_sampler.set_epoch(epoch)
        for data in runner.train_dataloader:
            labels = model.data_preprocessor(data, training=True)["data_samples"]
            is_other = 1 - torch.eye(10)[labels.one_label_each]
            pasted += (labels.target * is_other).sum(dim=0)
            others += is_other.sum(dim=0)
    rates = pasted / others
    assert float(rates.max() / rates.min()) < 1.6, rates
