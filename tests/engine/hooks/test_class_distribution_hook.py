"""Class counts reach the model, the checkpoint and the metrics."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
import torch
from mmengine.evaluator import BaseMetric
from torch import Tensor, nn
from torch.utils.data import DataLoader

from lt_plugins.checkpoints.checkpoint import load_checkpoint
from lt_plugins.engine.hooks.class_distribution_hook import ClassDistributionHook, find_num_classes
from lt_plugins.errors import UserInputError
from lt_plugins.models.structures import ClassDistribution
from tests.small_runs import MakeRunner


class CountingMetric(BaseMetric):
    """Keeps the counts and the metainfo that it is given."""

    counts: Tensor | None = None
    metainfo: Mapping[str, Any] | None = None

    def set_class_counts(self, counts: Tensor) -> None:
        self.counts = counts

    def set_training_metainfo(self, metainfo: Mapping[str, Any]) -> None:
        self.metainfo = metainfo

    def process(self, data_batch: object, data_samples: object) -> None:
        self.results.append(0)

    def compute_metrics(self, results: list) -> dict[str, float]:
        return {"n": len(results)}


def test_counts_from_training_to_testing(make_runner: MakeRunner) -> None:
    runner = make_runner(**{"train_cfg.max_epochs": 1, "train_cfg.val_interval": 1})
    runner.model.head.loss_module.class_distribution = ClassDistribution(10)
    metric = CountingMetric()
    runner.val_evaluator.metrics.append(metric)
    runner.train()
    expected = torch.bincount(torch.tensor(runner.train_dataloader.dataset.get_gt_labels()))
    assert expected.sum() == len(runner.train_dataloader.dataset)
    assert torch.equal(runner.model.class_distribution.counts, expected)
    assert torch.equal(runner.model.head.loss_module.class_distribution.counts, expected)
    assert metric.counts is not None
    assert torch.equal(metric.counts, expected)
    assert metric.metainfo == runner.train_dataloader.dataset.metainfo

    path = Path(runner.work_dir, "epoch_1.pth")
    assert torch.equal(load_checkpoint(path)["state_dict"]["class_distribution.counts"], expected)

    # No training data at all: the counts come from the checkpoint.
    tester = make_runner(load_from=str(path), train_dataloader=None, train_cfg=None, optim_wrapper=None,
                         param_scheduler=None, auto_scale_lr=None)  # fmt: skip
    metric = CountingMetric()
    tester.test_evaluator.metrics.append(metric)
    tester.test()
    assert metric.counts is not None
    assert torch.equal(metric.counts, expected)
    assert metric.metainfo == runner.train_dataloader.dataset.metainfo


def test_repeated_images_count_once(make_runner: MakeRunner) -> None:
    digits = {"type": "DigitsDataset", "pipeline": [{"type": "LoadImage"}, {"type": "PackInputs"}]}
    repeated = {"type": "RepeatDataset", "times": 10, "dataset": digits}
    runner = make_runner(**{"train_dataloader.dataset": {"_delete_": True, **repeated}})
    assert len(runner.train_loop.dataloader.dataset) == 12970
    hook = ClassDistributionHook()
    hook.before_run(runner)
    hook.before_train(runner)
    assert runner.model.class_distribution.num_samples == 1297
    assert runner.model.class_distribution.counts.tolist() == [128, 132, 127, 133, 131, 132, 131, 129, 124, 130]


def test_counts_in_the_order_of_strings() -> None:
    """What losses of the released GLT code get: class 2 of 12 has the count of class 10."""
    model: Any = nn.Module()
    model.class_distribution, model.loss = ClassDistribution(12), nn.Module()
    model.loss.class_distribution = ClassDistribution()
    labels: Any = np.repeat(np.arange(12), np.arange(112, 100, -1))
    for hook, expected in (
        (ClassDistributionHook(), list(range(112, 100, -1))),
        (ClassDistributionHook(lexicographic_counts=True), [112, 111, 102, 101, *range(110, 102, -1)]),
    ):
        hook.before_train(SimpleNamespace(model=model, train_dataloader=DataLoader(labels)))
        assert model.class_distribution.counts.tolist() == list(range(112, 100, -1))
        assert model.loss.class_distribution.counts.tolist() == expected


def test_dataset_and_head_must_agree(make_runner: MakeRunner) -> None:
    with pytest.raises(UserInputError, match=r"10 classes, but model\.head\.num_classes=12"):
        make_runner(**{"model.head.num_classes": 12}).train()


def test_resume_on_other_data_is_refused(make_runner: MakeRunner) -> None:
    first = make_runner(**{"train_cfg.max_epochs": 1})
    first.train()
    number = len(first.train_dataloader.dataset)
    options = {"train_dataloader.dataset.max_count": 9, "load_from": f"{first.work_dir}/epoch_1.pth"}
    with pytest.raises(
        UserInputError, match=rf"trained on {number} images of 10 classes.* first at class 0 \(8 and 9\)"
    ):
        make_runner(resume=True, **options).train()
    # A new run from the same weights is fine.
    make_runner(resume=False, **options, work_dir=f"{first.work_dir}_2").train()


def test_find_num_classes() -> None:
    model = nn.Module()
    with pytest.raises(UserInputError, match=r"no head\.num_classes"):
        find_num_classes(model)
    model.loss = ClassDistribution(7)
    assert find_num_classes(model) == 7
    model.head = nn.Module()
    model.head.num_classes = 8  # type: ignore[assignment]
    assert find_num_classes(model) == 8
