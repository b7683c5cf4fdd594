"""Accumulated gradients: four batches are one step, for weights, key encoder, queue and covariances alike."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import pytest
import torch
from mmengine.hooks import Hook
from mmpretrain.registry import MODELS
from torch import Tensor, nn
from torch.nn.modules.batchnorm import _BatchNorm

from lt_plugins.engine.hooks.accumulation_hook import AccumulationHook, check_intervals
from lt_plugins.errors import UserInputError
from lt_plugins.models.losses import LatentISDALoss
from lt_plugins.models.structures import FollowsSteps
from lt_plugins.models.unwrap import unwrap_model
from tests.battery import NUM_CLASSES, noise, samples
from tests.small_runs import MakeRunner

COUNTS = 4
PARTS = [slice(2 * k, 2 * k + 2) for k in range(COUNTS)]


@pytest.fixture
def float64() -> Any:
    torch.set_default_dtype(torch.float64)
    yield
    torch.set_default_dtype(torch.float32)


def build_momentum_classifier() -> Any:
    """Compares a query with its own key and the queue only, so that a large batch is the sum of its parts."""
    torch.manual_seed(0)
    model = MODELS.build(
        {
            "type": "MomentumClassifier",
            "backbone": {"type": "CIFARResNet", "depth": 20},
            "projector": {"type": "MLPProjector", "in_channels": 64, "hidden_channels": 16, "out_channels": 8},
            "head": {
                "type": "SupConHead",
                "num_classes": NUM_CLASSES,
                "in_channels": 64,
                "loss": {"type": "SupConLoss"},
            },
            "projection_dim": 8,
            "queue_size": 16,
            "momentum": 0.9,
            "compare_batch": False,
        }
    )
    model.init_weights()
    model.head.class_distribution.set_counts([9, 5, 3, 2])
    for module in model.modules():
        if isinstance(module, _BatchNorm):  # statistics of a batch are those of its own images
            module.eval()
    return model


def take_step(model: Any, seed: int, parts: list[slice]) -> None:
    """Forward and backward passes of one step, and plain gradient descent."""
    views = [noise(8, 3, 32, 32, seed=2 * seed + view) for view in (0, 1)]
    labels = torch.arange(8) % NUM_CLASSES
    data_samples = samples(labels)
    for number, part in enumerate(parts):
        model.starts_step, model.ends_step = number == 0, number == len(parts) - 1
        losses = model.loss([view[part] for view in views], data_samples[part])
        (sum(losses.values()) / len(parts)).backward()
    with torch.no_grad():
        for parameter in model.parameters():
            if parameter.grad is not None:
                parameter -= 0.1 * parameter.grad
                parameter.grad = None


def test_batches_of_a_step_are_one_large_batch(float64: None) -> None:
    """Weights, key encoder and queue after three steps."""
    large, accumulated = build_momentum_classifier(), build_momentum_classifier()
    for seed in range(3):
        take_step(large, seed, [slice(None)])
        take_step(accumulated, seed, PARTS)
    before = build_momentum_classifier().state_dict()
    found = accumulated.state_dict()
    for name, expected in large.state_dict().items():
        torch.testing.assert_close(found[name], expected, rtol=1e-9, atol=1e-12, msg=name)
    for name in ("queue.features", "queue.pointer", "key_encoder.projector.layers.0.weight", "backbone.conv1.weight"):
        if name in before:
            assert not torch.equal(before[name], found[name]), name


@pytest.mark.parametrize("source", ["assigned", "trajectory"])
def test_latent_covariances_take_the_batches_of_a_step_together(source: Any, float64: None) -> None:
    features, assignment = noise(8, 3, 6), noise(8, 3, 5, seed=1).softmax(dim=-1)
    large, accumulated = (LatentISDALoss(5, 6, source=source) for _ in range(2))
    for step in range(3):
        latents = noise(5, 6, seed=2 + step)
        large.observe((step + 1) * features, assignment)
        large.update(latents)
        for number, part in enumerate(PARTS):
            accumulated.starts_step, accumulated.ends_step = number == 0, number == COUNTS - 1
            accumulated.observe((step + 1) * features[part], assignment[part])
            accumulated.update(latents)
    for name, expected in large.state_dict().items():
        torch.testing.assert_close(accumulated.state_dict()[name], expected, msg=name)
    assert float(large.latent_covariance.abs().max()) > 0


class Recorder(Hook):
    """Where in a step each iteration lies, and the weights after it."""

    priority = "VERY_LOW"

    def __init__(self) -> None:
        self.rows: list[tuple[int, bool, bool]] = []
        self.weights: list[Tensor] = []

    def after_train_iter(self, runner, batch_idx, data_batch=None, outputs=None) -> None:
        model = unwrap_model(runner.model)
        self.rows.append((batch_idx, model.follower.starts_step, model.follower.ends_step))
        self.weights.append(model.head.fc.weight.detach().clone())


class Follower(nn.Module, FollowsSteps):
    """A module that does nothing but know where it is."""


def test_an_epoch_ends_with_a_step(make_runner: MakeRunner) -> None:
    """Ten batches of which four make a step: the third step of an epoch takes two, and none pends."""
    overrides = {"train_dataloader.batch_size": 3, "optim_wrapper.accumulative_counts": COUNTS}
    runner = make_runner(**overrides, **{"train_cfg.max_epochs": 2})
    runner.model.follower = Follower()
    recorder = Recorder()
    runner.register_hook(recorder)
    runner.train()
    length = len(runner.train_dataloader)
    assert length % COUNTS != 0, length
    expected = [
        (index, index % COUNTS == 0, index % COUNTS == COUNTS - 1 or index == length - 1) for index in range(length)
    ]
    assert recorder.rows == 2 * expected
    moved = [not torch.equal(*pair) for pair in zip(recorder.weights, recorder.weights[1:], strict=False)]
    assert moved == [ends for *_, ends in recorder.rows][1:]
    assert all(parameter.grad is None for parameter in runner.model.parameters())


def test_a_model_that_follows_steps_needs_the_hook(make_runner: MakeRunner) -> None:
    runner = make_runner(**{"optim_wrapper.accumulative_counts": 2})
    runner._hooks = [hook for hook in runner.hooks if not isinstance(hook, AccumulationHook)]
    runner.model.follower = Follower()
    with pytest.raises(UserInputError, match=r"state of Follower follows optimiser steps.*AccumulationHook"):
        runner.train()


@pytest.mark.parametrize(("interval", "stops"), [(50, True), (52, False), (-1, False)])
def test_checkpoints_by_iterations_fall_on_steps(interval: int, stops: bool, make_runner: MakeRunner) -> None:
    hook = next(hook for hook in make_runner().hooks if type(hook).__name__ == "SafeCheckpointHook")
    hook.by_epoch, hook.interval = False, interval
    runner: Any = SimpleNamespace(hooks=[hook], val_loop=None)
    if not stops:
        return check_intervals(runner, COUNTS)
    with pytest.raises(UserInputError, match=r"checkpoint.interval=50 writes .* like default_hooks.*=52\."):
        check_intervals(runner, COUNTS)
