"""The second pass of a step is of the same batch, the same random numbers and the same state, and leaves no trace."""

from __future__ import annotations

import copy
from collections.abc import Callable
from typing import Any

import mmpretrain.registry
import pytest
import torch
from mmengine.model import BaseModel
from torch import Tensor, nn

from lt_plugins.engine.optim_wrappers.two_passes import TwoPasses
from lt_plugins.errors import UserInputError
from tests import battery

LABELS = torch.tensor([0, 1, 3, 3, 0, 1])


class Alone(BaseModel):
    """A model of one part, which is fed as the battery does."""

    def __init__(self, name: str) -> None:
        super().__init__()
        entry = battery.MODULES[name]
        torch.manual_seed(0)
        self.part: Any = mmpretrain.registry.MODELS.build(
            {"type": name, **copy.deepcopy({**entry.required, **entry.small})}
        )
        if hasattr(self.part, "init_weights"):
            self.part.init_weights()
        entry.prepare(self.part)
        self.step: Callable[[nn.Module, Tensor], battery.Fed] = entry.step
        self.train()

    def forward(self, inputs: Tensor) -> dict[str, Tensor]:
        return {"loss": self.step(self.part, inputs).loss}

    def state(self) -> dict[str, Tensor]:
        """Everything that a step of an optimiser with a learning rate of 0 may have moved."""
        if hasattr(self.part, "update_covariance"):  # what CovarianceHook does after an iteration
            self.part.update_covariance()
        return {name: value.clone() for name, value in (*self.named_buffers(), *self.named_parameters())}


def step_plainly(model: Alone) -> Tensor:
    return model(inputs=LABELS)["loss"]


def step_twice(model: Alone, updates_batch_norm: bool = False) -> Tensor:
    passes = TwoPasses(model, updates_batch_norm)
    with passes.first():
        first = model(inputs=LABELS)["loss"]
    with passes.second() as second:
        assert torch.equal(second, first), "the second pass, at the same weights, is of another state or draws others"
    return second


@pytest.mark.parametrize("name", sorted(set(battery.registered("MODELS")) & set(battery.MODULES)))
def test_state_is_that_of_a_plain_step(name: str) -> None:
    """A part with state that moves in forward passes must read ``repeats_batch``, of ``FollowsSteps``."""
    plain, twice = Alone(name), Alone(name)
    for step in range(2):
        results = []
        for take, model in ((step_plainly, plain), (step_twice, twice)):
            torch.manual_seed(step)
            results.append((take(model), torch.get_rng_state()))
        assert torch.equal(*(loss for loss, _ in results)), f"loss of step {step}"
        assert torch.equal(*(state for _, state in results)), "random numbers of the next step"
        expected, actual = plain.state(), twice.state()
        assert expected.keys() == actual.keys()
        for key, value in expected.items():
            assert torch.equal(actual[key], value), f"{key} after step {step}"


def test_legacy_batch_norm_takes_both_passes_in() -> None:
    once, twice, legacy = Alone("CIFARResNet"), Alone("CIFARResNet"), Alone("CIFARResNet")
    for _ in range(2):
        step_plainly(twice)
    step_plainly(once)
    step_twice(legacy, updates_batch_norm=True)
    for key, value in legacy.state().items():
        assert torch.equal(value, twice.state()[key]), key
    assert not torch.equal(twice.state()["part.bn1.running_mean"], once.state()["part.bn1.running_mean"])


class Dropped(BaseModel):
    """Draws random numbers, and notes what it is given and gives."""

    def __init__(self) -> None:
        super().__init__()
        self.dropout = nn.Dropout(0.5)
        self.seen: list[tuple[Tensor, Tensor]] = []

    def forward(self, inputs: Tensor, mode: str) -> dict[str, Tensor]:
        assert mode == "loss"
        outputs = self.dropout(inputs)
        self.seen.append((inputs, outputs))
        return {"loss": outputs.mean(), "accuracy": torch.tensor(7.0)}


def test_same_batch_and_same_random_numbers() -> None:
    model, images = Dropped().train(), battery.noise(4, 9)
    torch.manual_seed(1)
    model(inputs=images, mode="loss")
    expected = torch.rand(3)
    torch.manual_seed(1)
    passes = TwoPasses(model, updates_batch_norm=False)
    with passes.first():
        model(inputs=images, mode="loss")
    with passes.second() as loss:
        pass
    assert torch.equal(torch.rand(3), expected), "the second pass draws no random numbers of the next step"
    (_, plain), (_, first), (again, second) = model.seen
    assert again is images
    assert torch.equal(first, plain)
    assert torch.equal(second, first)
    assert torch.equal(loss, second.mean()), "what is no loss is not descended"


def test_without_a_batch() -> None:
    passes = TwoPasses(Dropped(), updates_batch_norm=False)
    with passes.first():
        pass
    with (
        pytest.raises(UserInputError, match=r"needs its batch; call the model itself inside of optim_wrapper\."),
        passes.second(),
    ):
        pass
