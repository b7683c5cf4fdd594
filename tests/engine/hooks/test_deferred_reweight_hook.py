"""When classes are weighted, and by how much."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from mmengine.hooks import Hook
from mmengine.runner import Runner

from lt_plugins.engine.hooks import DeferredReweightHook
from lt_plugins.errors import UserInputError
from lt_plugins.models.structures import ClassDistribution
from tests.small_runs import MakeRunner

LDAM = {
    "type": "CosineClsHead",
    "num_classes": 10,
    "in_channels": 64,
    "loss": {"type": "LDAMLoss", "num_classes": 10},
    "_delete_": True,
}


class Recorder(Hook):
    """Notes the weights that each epoch is trained with."""

    def __init__(self) -> None:
        self.weights: dict[int, torch.Tensor] = {}

    def before_train_iter(self, runner: Runner, batch_idx: int, data_batch: Any = None) -> None:
        self.weights[runner.epoch] = runner.model.head.loss_module.class_weight.clone()


def record(runner: Runner, start: int) -> dict[int, torch.Tensor]:
    recorder = Recorder()
    for hook in (DeferredReweightHook(start=start), recorder):
        runner.register_hook(hook)
    runner.train()
    return recorder.weights


def slow_weights(counts: list[int], beta: float) -> list[float]:
    """Cui et al., with the effective number as the sum of the geometric series that it is."""
    inverse = [1 / sum(beta**i for i in range(n)) for n in counts]
    return [value * len(counts) / sum(inverse) for value in inverse]


def test_weights_start_with_the_epoch_and_again_after_a_resume(make_runner: MakeRunner) -> None:
    options = {"model.head": LDAM, "train_cfg.max_epochs": 3}
    runner = make_runner(**options)
    weights = record(runner, start=2)
    counts = runner.model.class_distribution.counts.tolist()
    assert weights[0].tolist() == weights[1].tolist() == [1.0] * 10
    assert weights[2].tolist() == pytest.approx(slow_weights(counts, 0.9999), rel=1e-6)
    resumed = record(make_runner(**options, resume=True, load_from=f"{runner.work_dir}/epoch_2.pth"), start=2)
    assert list(resumed) == [2]
    assert torch.equal(resumed[2], weights[2])


def test_start_0_reweights_from_the_first_epoch(make_runner: MakeRunner) -> None:
    runner = make_runner(**{"model.head": LDAM, "train_cfg.max_epochs": 1})
    [weights] = record(runner, start=0).values()
    assert float(weights.max()) > 1 > float(weights.min())


def test_a_loss_without_class_weights_is_refused_before_training(make_runner: MakeRunner) -> None:
    with pytest.raises(UserInputError, match="class_weight, and CrossEntropyLoss has none"):
        record(make_runner(), start=0)


@pytest.mark.parametrize("bad", [{"start": -1}, {"start": 0, "beta": 1.0}, {"start": 0, "beta": -0.1}])
def test_settings_without_meaning_are_refused(bad: dict[str, Any]) -> None:
    with pytest.raises(UserInputError, match=r"beta=.* in \[0, 1\)"):
        DeferredReweightHook(**bad)


@pytest.mark.parametrize("beta", [0.0, 0.9, 0.999, 0.9999])
def test_class_balanced_weights(beta: float) -> None:
    distribution = ClassDistribution(4)
    distribution.set_counts([500, 60, 7, 1])
    weights = distribution.class_balanced_weights(beta)
    assert weights.tolist() == pytest.approx(slow_weights([500, 60, 7, 1], beta), rel=1e-6)
    assert float(weights.mean()) == pytest.approx(1.0)


def test_an_empty_class_has_the_weight_of_the_rarest() -> None:
    distribution = ClassDistribution(3)
    distribution.set_counts([50, 0, 2])
    weights = distribution.class_balanced_weights(0.99)
    assert torch.isfinite(weights).all()
    assert weights[1] == weights[2] > weights[0]


def test_weights_of_unknown_counts_are_refused() -> None:
    with pytest.raises(UserInputError, match="ClassDistributionHook"):
        ClassDistribution(3).class_balanced_weights(0.99)
    distribution = ClassDistribution(3)
    distribution.set_counts([1, 1, 1])
    with pytest.raises(UserInputError, match="beta=1"):
        distribution.class_balanced_weights(1)
