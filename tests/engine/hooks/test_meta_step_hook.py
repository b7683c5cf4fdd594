"""Looking ahead in a run: the optimiser, the meta set that is named, learned weights on the sampler, refusals."""

from __future__ import annotations

import logging
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from mmengine.hooks import Hook
from mmengine.runner import Runner
from torch import nn

from lt_plugins.datasets.loader_order import all_samplers
from lt_plugins.datasets.samplers import MetaSampler
from lt_plugins.engine.hooks.meta_step_hook import describe_meta_set
from lt_plugins.errors import UserInputError
from tests.small_runs import MakeRunner

DIGITS = {"type": "DigitsDataset", "split": "train"}
HOOKS = [{"type": "CovarianceHook"}, {"type": "MetaStepHook"}]
COMPANION = {"type": "CompanionBatchSampler", "companions": [{"type": "ClassAwareSampler"}]}


def balms(**head: Any) -> dict[str, Any]:
    """Overrides of a small run whose meta set is the training set."""
    return {
        "model.head": {"_delete_": True, "type": "BALMSHead", "num_classes": 10, "in_channels": 64, **head},
        "train_dataloader.batch_size": 8,
        "train_dataloader.sampler": {"_delete_": True, "type": "MetaSampler"},
        "train_dataloader.batch_sampler": COMPANION,
        "custom_hooks": HOOKS,
    }


class Watch(Hook):
    """Notes the weights that a sampler draws by, and the learned ones after the epoch."""

    def __init__(self) -> None:
        self.drawn: list[np.ndarray] = []
        self.learned: list[np.ndarray] = []

    def before_train_iter(self, runner: Runner, batch_idx: int, data_batch: Any = None) -> None:
        [sampler] = [part for part in all_samplers(runner.train_dataloader) if isinstance(part, MetaSampler)]
        if batch_idx == 0:
            assert sampler.class_weights is not None
            self.drawn.append(sampler.class_weights)

    def after_train_epoch(self, runner: Runner) -> None:
        self.learned.append(torch.sigmoid(runner.model.head.sampling.logits).numpy())


def test_draws_follow_the_weights_at_the_start_of_an_epoch(make_runner: MakeRunner) -> None:
    runner = make_runner(**balms(meta_lr=0.5))
    watch = Watch()
    runner.register_hook(watch, "LOWEST")
    runner.train()
    assert watch.drawn[0].tolist() == [0.5] * 10
    for learned, drawn in zip(watch.learned[:-1], watch.drawn[1:], strict=True):
        np.testing.assert_allclose(drawn, learned, rtol=1e-6)
        assert np.ptp(drawn) > 0.01


def joined(meta: dict[str, Any]) -> dict[str, Any]:
    """Overrides of a run with a meta set in a part of its own."""
    training = {"imbalance_factor": 8, "max_count": 8}
    parts = [{"type": "LongTailDataset", "dataset": dict(DIGITS, pipeline=[]), **part} for part in (training, meta)]
    return {"train_dataloader.dataset": {"_delete_": True, "type": "ConcatDataset", "datasets": parts}}


@pytest.mark.parametrize(
    ("overrides", "line"),
    [
        (
            {"train_dataloader.dataset.meta_per_class": 4},
            "a meta set of 40 images, 4 a class, none of which is a training image: labels that other methods do",
        ),
        (
            joined({"imbalance_factor": 1, "max_count": 4}),
            "a meta set of 40 images, 4 a class, 26 of which are training images",
        ),
    ],
)
def test_meta_set_is_named(overrides: dict[str, Any], line: str, make_runner: MakeRunner) -> None:
    part = {"type": "PartSampler", "sampler": {"type": "DefaultSampler"}}
    companion = {"type": "CompanionBatchSampler", "companions": [{"type": "DefaultSampler", "part": 1}]}
    samplers = {"train_dataloader.sampler": {"_delete_": True, **part}, "train_dataloader.batch_sampler": companion}
    runner = make_runner(**overrides, **samplers, resident=False)
    assert line in describe_meta_set(runner.build_dataloader(runner._train_dataloader))


def test_meta_set_of_training_images(make_runner: MakeRunner, caplog: pytest.LogCaptureFixture) -> None:
    runner = make_runner(**balms())
    with caplog.at_level(logging.INFO):
        loader = runner.build_dataloader(runner._train_dataloader)
    assert describe_meta_set(loader).endswith("images, 1 to 8 a class, all of which are training images")


@pytest.mark.parametrize(
    ("overrides", "line"),
    [
        ({"optim_wrapper.accumulative_counts": 2}, "accumulative_counts=2: BALMSHead looks ahead by the step of each"),
        ({"optim_wrapper.optimizer": {"_delete_": True, "type": "Adam"}}, "the optimiser is Adam; set optim_wrapper"),
        ({"train_dataloader.sampler": {"_delete_": True, "type": "DefaultSampler"}}, "weights that no sampler draws"),
        ({"custom_hooks": []}, r"MetaStepHook"),
        ({"train_dataloader.batch_sampler": None}, "BALMSHead reads a batch in 2 parts, but it comes in 1"),
    ],
)
def test_refusals(overrides: dict[str, Any], line: str, make_runner: MakeRunner) -> None:
    with pytest.raises(UserInputError, match=line):
        make_runner(**balms() | overrides).train()


def test_synchronised_batch_norms_are_refused(make_runner: MakeRunner) -> None:
    runner = make_runner(**balms())
    runner.model.extra = nn.SyncBatchNorm(3)
    with pytest.raises(UserInputError, match=r"by torch\.func, which SyncBatchNorm does not take; leave out sync_bn"):
        runner.train()


def test_nothing_to_do(make_runner: MakeRunner) -> None:
    make_runner(**{"custom_hooks": [{"type": "MetaStepHook"}], "train_cfg.max_epochs": 1}).train()


def test_resumed_runs_end_with_the_same_bits(make_runner: MakeRunner, tmp_path: Path) -> None:
    """Weights, learned sampling, and the noise of its gradient."""
    alone = make_runner(**balms(meta_lr=0.5))
    alone.train()
    start = {"load_from": str(tmp_path / "run/epoch_2.pth"), "resume": True, "work_dir": str(tmp_path / "again")}
    again = make_runner(**balms(meta_lr=0.5), **start)
    again.train()
    assert again.epoch == alone.epoch == 3
    for (key, value), other in zip(again.model.state_dict().items(), alone.model.state_dict().values(), strict=True):
        assert torch.equal(value, other), key
