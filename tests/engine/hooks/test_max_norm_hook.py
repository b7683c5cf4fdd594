"""The radius comes from the first weights and stays, on resuming too; each step or epoch ends within it."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from mmengine.hooks import Hook
from mmengine.runner import Runner

from lt_plugins.engine.hooks import MaxNormHook
from lt_plugins.errors import UserInputError
from tests.small_runs import MakeRunner, make_runner  # noqa: F401 (a fixture)

HEAD = {"_delete_": True, "type": "MaxNormHead", "num_classes": 10, "in_channels": 64}


def options(**hook: Any) -> dict[str, Any]:
    return {
        "model.head": HEAD,
        "train_dataloader.batch_size": 16,
        "optim_wrapper.optimizer.lr": 0.5,
        "custom_hooks": [{"type": "MaxNormHook", **hook}],
    }


class Recorder(Hook):
    """Notes the largest norm over the radius, after each step and at the end of each epoch."""

    priority = "VERY_LOW"

    def __init__(self) -> None:
        self.first: torch.Tensor | None = None
        self.steps: list[float] = []
        self.epochs: list[float] = []

    def before_train(self, runner: Runner) -> None:
        self.first = runner.model.head.fc.weight.detach().double().clone()

    def after_train_iter(self, runner: Runner, batch_idx: int, data_batch: Any = None, outputs: Any = None) -> None:
        self.steps.append(ratio(runner))

    def after_train_epoch(self, runner: Runner) -> None:
        self.epochs.append(ratio(runner))


def ratio(runner: Runner) -> float:
    head = runner.model.head
    return float(head.row_norms().max() / head.max_norm)


def record(runner: Runner) -> Recorder:
    recorder = Recorder()
    runner.register_hook(recorder)
    runner.train()
    return recorder


@pytest.mark.parametrize("by_epoch", [False, True])
def test_weights_stay_within_the_radius_of_the_first_ones(by_epoch: bool, make_runner: MakeRunner) -> None:  # noqa: F811
    runner = make_runner(**options(threshold=0.3, by_epoch=by_epoch))
    recorder = record(runner)
    assert recorder.first is not None
    norms = recorder.first.square().sum(dim=1).sqrt().tolist()
    radius = min(norms) + 0.3 * (max(norms) - min(norms))
    assert runner.model.head.max_norm.item() == pytest.approx(radius, rel=1e-6)
    assert recorder.epochs == pytest.approx([1.0] * 3, abs=1e-5), "steps are large: some class reaches it"
    assert len(recorder.steps) > 3
    assert (max(recorder.steps) > 1.01) == by_epoch, "beyond it between two ends of epochs only"


def test_a_resumed_run_keeps_the_radius(make_runner: MakeRunner) -> None:  # noqa: F811
    runner = make_runner(**options())
    runner.train()
    resumed = make_runner(**options(), resume=True, load_from=f"{runner.work_dir}/epoch_2.pth")
    resumed.train()
    for name, value in resumed.model.state_dict().items():
        assert torch.equal(value, runner.model.state_dict()[name]), f"{name} is another one after the resume"


def test_hook_and_head_need_each_other(make_runner: MakeRunner) -> None:  # noqa: F811
    with pytest.raises(UserInputError, match=r"MaxNormHead needs MaxNormHook: add dict\(type='MaxNormHook'\)"):
        make_runner(**{**options(), "custom_hooks": []}).train()
    with pytest.raises(UserInputError, match="the head is a LinearHead"):
        make_runner(**{**options(), "model.head": {**HEAD, "type": "LinearHead"}}).train()
    with pytest.raises(UserInputError, match=r"threshold=1.5 must be in \[0, 1\]"):
        MaxNormHook(threshold=1.5)
