"""Environments are renewed at the milestones by the confidences of the epoch, on every process and after a resume."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from mmengine.hooks import Hook
from mmengine.runner import Runner
from torch import Tensor

from lt_plugins.clustering import environment_weights
from lt_plugins.datasets.labels import get_labels
from lt_plugins.engine.hooks import EnvironmentHook
from lt_plugins.engine.hooks.environment_hook import environment_samplers
from lt_plugins.errors import UserInputError
from tests.small_runs import MakeRunner


def ifl(environments: int = 2, **hook: Any) -> dict[str, Any]:
    """Overrides of a small run: as many environments, of which the last epoch's confidences stay."""
    companions = [{"type": "EnvironmentSampler", "environment": e} for e in range(1, environments)]
    return {
        "model.type": "AuxLossClassifier",
        "model.num_environments": environments,
        "model.aux_losses": {"environments": {"type": "EnvironmentRecorder"}},
        "train_dataloader.batch_size": 8,
        "train_dataloader.batch_sampler": {"type": "CompanionBatchSampler", "companions": companions},
        "custom_hooks": [{"type": "EnvironmentHook", **hook}],
    }


class Watch(Hook):
    """Notes confidences and weights at the end of each epoch."""

    def __init__(self) -> None:
        self.confidence: list[Tensor] = []
        self.weights: list[Tensor] = []

    def after_train_epoch(self, runner: Runner) -> None:
        recorder = runner.model.aux_losses["environments"]
        self.confidence.append(recorder.confidence.clone())
        self.weights.append(recorder.weights.clone())


def train(runner: Runner) -> Watch:
    watch = Watch()
    runner.register_hook(watch, "LOWEST")
    runner.train()
    return watch


def test_weights_follow_from_the_confidences_of_a_milestone(make_runner: MakeRunner) -> None:
    runner = make_runner(**ifl(3, milestones=[1], ratios=[2.0, 4.0]))
    watch = train(runner)
    labels = torch.from_numpy(get_labels(runner.train_dataloader.dataset))
    assert torch.equal(watch.weights[0], torch.ones(2, len(labels), dtype=torch.float64)), "uniform before"
    expected = torch.stack([environment_weights(watch.confidence[1], labels, ratio) for ratio in (2.0, 4.0)])
    assert torch.equal(watch.weights[1], expected)
    assert torch.equal(watch.weights[2], expected), "not renewed after the last milestone"
    assert not torch.equal(expected[0], expected[1])
    # Each image came in the first environment, which is a plain shuffle here.
    assert all(bool((confidence > 0).all()) for confidence in watch.confidence)
    assert not torch.equal(watch.confidence[1], watch.confidence[2]), "of each epoch by itself"


def test_environments_are_drawn_by_the_weights(make_runner: MakeRunner) -> None:
    runner = make_runner(**ifl(milestones=[0]))
    train(runner)
    [sampler] = environment_samplers(runner)
    weights = runner.model.aux_losses["environments"].weights[0]
    assert sampler.weights is not None
    np.testing.assert_allclose(sampler.weights, weights / weights.sum(), rtol=1e-12)
    weights = torch.zeros(len(weights)).index_fill_(0, torch.tensor([3, 5]), 1.0)
    sampler.set_weights(weights)
    for batch in runner.train_dataloader.batch_sampler:
        assert set(batch[len(batch) // 2 :]) <= {3, 5}
        assert len(set(batch[: len(batch) // 2])) == len(batch) // 2


def test_one_environment_needs_no_weights(make_runner: MakeRunner) -> None:
    """Without a recorder the hook has nothing to do."""
    runner = make_runner(**{"custom_hooks": [{"type": "EnvironmentHook", "milestones": [0]}]})
    runner.train()


def test_a_new_run_does_not_inherit_environments(make_runner: MakeRunner, tmp_path: Path) -> None:
    """Also where it starts from the weights of a run that had them."""
    first = make_runner(**ifl(milestones=[0]))
    train(first)
    assert not bool((first.model.aux_losses["environments"].weights == 1).all())
    start = {"load_from": str(tmp_path / "run/epoch_3.pth"), "work_dir": str(tmp_path / "again")}
    again = make_runner(**ifl(milestones=[2]), **start)
    watch = train(again)
    assert bool((watch.weights[0] == 1).all())


def test_other_environments_than_ratios(make_runner: MakeRunner) -> None:
    with pytest.raises(UserInputError, match=r"ratios=\[4\.0\] .* the environments \[1\], and .* are \[1, 2\]"):
        make_runner(**ifl(3, milestones=[1])).train()


def test_when_weights_are_renewed() -> None:
    assert [epoch for epoch in range(9) if EnvironmentHook(milestones=[2, 5]).is_due(epoch)] == [2, 5]
    assert [epoch for epoch in range(9) if EnvironmentHook(interval=3).is_due(epoch)] == [2, 5, 8]
    assert not EnvironmentHook(milestones=[]).is_due(0)


@pytest.mark.parametrize(
    ("arguments", "line"),
    [
        ({"milestones": [-1]}, r"milestones=\[-1\] must be epochs from 0 on"),
        ({"ratios": []}, r"ratios=\[\] one for each environment beside the first"),
        ({"interval": 0}, r"interval=0 1 or more"),
        ({"ratios": [4.0, 0.5]}, r"ratio=0\.5 of an environment must be 1 or more"),
        ({"gamma_range": [1.0]}, r"gamma_range=\(1\.0,\) must be two positive numbers"),
        ({"unseen": "drop"}, r"unseen='drop' must be one of"),
    ],
)
def test_errors(arguments: dict[str, Any], line: str) -> None:
    with pytest.raises(UserInputError, match=line):
        EnvironmentHook(**arguments)
