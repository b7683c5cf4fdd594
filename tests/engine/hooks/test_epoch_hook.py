"""What changes over training is told the epoch: before each one, also after a resume."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch
from mmengine.hooks import Hook
from mmengine.runner import Runner
from torch import Tensor, nn

from lt_plugins.engine.hooks import EpochHook
from lt_plugins.errors import UserInputError
from tests.models.structures.test_class_distribution import slow_weights
from tests.small_runs import MakeRunner


def ldam(**settings: Any) -> dict[str, Any]:
    """A head whose loss is re-weighted."""
    loss = {"type": "LDAMLoss", "class_weight": "effective_number", **settings}
    return {"type": "CosineClsHead", "num_classes": 10, "in_channels": 64, "loss": loss, "_delete_": True}


class Recorder(Hook):
    """Notes the weights that each epoch is trained with."""

    def __init__(self) -> None:
        self.weights: dict[int, Tensor | None] = {}

    def before_train_iter(self, runner: Runner, batch_idx: int, data_batch: Any = None) -> None:
        self.weights[runner.epoch] = runner.model.head.loss_module.current_weight()


def record(runner: Runner) -> dict[int, Tensor | None]:
    recorder = Recorder()
    runner.register_hook(recorder)
    runner.train()
    return recorder.weights


def test_weights_start_with_the_epoch_and_again_after_a_resume(make_runner: MakeRunner) -> None:
    options = {"model.head": ldam(reweight_from=2), "train_cfg.max_epochs": 3, "log_level": "INFO"}
    runner = make_runner(**options)
    weights = record(runner)
    counts = runner.model.class_distribution.counts.tolist()
    assert weights[0] is weights[1] is None
    assert weights[2] is not None
    assert weights[2].tolist() == pytest.approx(slow_weights(counts, 0.9999), rel=1e-6)
    (log,) = Path(runner.work_dir).glob("*/*.log")
    lines = [line for line in log.read_text().splitlines() if "LDAMLoss (head.loss_module)" in line]
    low, high = (f"{value:.3g}" for value in (min(weights[2].tolist()), max(weights[2].tolist())))
    assert [line.partition("loss_module) ")[2] for line in lines] == [
        "from epoch 1 on: equal class weights.",
        f"from epoch 3 on: class weights from {low} to {high}.",
    ]

    resumed = make_runner(**options, resume=True, load_from=f"{runner.work_dir}/epoch_2.pth")
    again = record(resumed)
    assert list(again) == [2]
    assert again[2] is not None
    assert torch.equal(again[2], weights[2])
    for name, value in resumed.model.state_dict().items():
        assert torch.equal(value, runner.model.state_dict()[name]), f"{name} is another one after the resume"


@pytest.mark.parametrize(
    "loss",
    [
        dict(type="VectorScalingLoss", gamma=0.3, switch_from=1, late_tau=0.5, class_weight="inverse", reweight_from=1),
        dict(type="GCLLoss", gamma=1.0),
    ],
    ids=lambda loss: loss["type"],
)
def test_a_second_phase_and_noise_are_repeated_after_a_resume(make_runner: MakeRunner, loss: dict[str, Any]) -> None:
    head = {"type": "CosineClsHead", "num_classes": 10, "in_channels": 64, "loss": loss, "_delete_": True}
    options = {"model.head": head, "train_cfg.max_epochs": 2}
    runner = make_runner(**options)
    runner.train()
    resumed = make_runner(**options, resume=True, load_from=f"{runner.work_dir}/epoch_1.pth")
    torch.manual_seed(7)  # another state of the generator than that of the first run
    resumed.train()
    for name, value in resumed.model.state_dict().items():
        assert torch.equal(value, runner.model.state_dict()[name]), f"{name} is another one after the resume"


def test_weights_from_the_first_epoch(make_runner: MakeRunner) -> None:
    [weights] = record(make_runner(**{"model.head": ldam(), "train_cfg.max_epochs": 1})).values()
    assert weights is not None
    assert float(weights.max()) > 1 > float(weights.min())


def test_a_run_without_the_hook_stops(make_runner: MakeRunner) -> None:
    runner = make_runner(**{"model.head": ldam(reweight_from=2), "model.data_preprocessor.type": "ClsDataPreprocessor"})
    runner._hooks = [hook for hook in runner.hooks if not isinstance(hook, EpochHook)]
    with pytest.raises(UserInputError, match=r"LDAMLoss needs EpochHook: add dict\(type='EpochHook'\) to custom_hooks"):
        runner.train()


class Follower(nn.Module):
    """Notes what it is told."""

    def __init__(self) -> None:
        super().__init__()
        self.told: list[tuple[int, int]] = []

    def set_epoch(self, epoch: int, max_epochs: int) -> None:
        self.told.append((epoch, max_epochs))


def test_any_module_of_the_model_is_told(make_runner: MakeRunner) -> None:
    runner = make_runner(**{"train_cfg.max_epochs": 2})
    follower = Follower()
    runner.model.backbone.follower = follower
    assert sum(isinstance(hook, EpochHook) for hook in runner.hooks) == 1, "it is one of the default hooks"
    runner.train()
    assert follower.told == [(0, 2), (1, 2)]
