"""LARS on the device: the steps of mmpretrain's, and those of the formula."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from mmpretrain.engine.optimizers import LARS
from torch import Tensor, nn

from lt_plugins.engine.optimizers import DeviceLARS
from tests.engine.test_no_waiting import noted_waits

SETTINGS = [
    {"momentum": 0.9, "weight_decay": 0.01},
    {"momentum": 0.9, "weight_decay": 0.01, "dampening": 0.3, "eta": 0.1},
    {"momentum": 0.9, "nesterov": True},
    {},
]


def parameters() -> list[nn.Parameter]:
    """Three; the last one starts at 0, where there is no ratio."""
    generator = torch.Generator().manual_seed(0)
    return [
        nn.Parameter(torch.randn(4, 3, generator=generator, dtype=torch.float64)),
        nn.Parameter(torch.randn(5, generator=generator, dtype=torch.float64)),
        nn.Parameter(torch.zeros(3, dtype=torch.float64)),
    ]


def gradients(step: int) -> list[Tensor | None]:
    """The second parameter has none in the second step."""
    generator = torch.Generator().manual_seed(10 + step)
    found = [torch.randn(p.shape, generator=generator, dtype=torch.float64) for p in parameters()]
    return [found[0], None if step == 1 else found[1], found[2]]


def train(kind: type[torch.optim.Optimizer], **settings: Any) -> list[nn.Parameter]:
    """Four steps; the second parameter is in a group that is excluded."""
    first, second, third = own = parameters()
    groups: list[dict[str, Any]] = [{"params": [first, third]}, {"params": [second], "lars_exclude": True, "lr": 0.05}]
    optimiser = kind(groups, lr=0.5, **settings)  # type: ignore[call-arg]
    for step in range(4):
        for parameter, gradient in zip(own, gradients(step), strict=True):
            parameter.grad = gradient
        optimiser.step()
    return own


@pytest.mark.parametrize("settings", SETTINGS)
def test_steps_are_those_of_mmpretrain(settings: dict[str, Any]) -> None:
    for own, other in zip(train(DeviceLARS, **settings), train(LARS, **settings), strict=True):
        torch.testing.assert_close(own, other, rtol=1e-12, atol=1e-14)


def test_against_the_formula() -> None:
    """Algorithm 1: v <- m v + lr * eta * |w| / (|g| + decay |w|) * (g + decay w), w <- w - v."""
    momentum, decay, eta, rate = 0.9, 0.01, 0.001, 0.5
    weight = parameters()[0].detach().clone()
    velocity = torch.zeros_like(weight)
    for step in range(4):
        (gradient, *_) = gradients(step)
        assert gradient is not None
        local = eta * weight.norm() / (gradient.norm() + decay * weight.norm())
        velocity = momentum * velocity + rate * local * (gradient + decay * weight)
        weight = weight - velocity
    torch.testing.assert_close(train(DeviceLARS, momentum=momentum, weight_decay=decay)[0].detach(), weight)


def test_asks_the_device_for_nothing() -> None:
    own = parameters()
    optimiser = DeviceLARS(own, lr=0.5, momentum=0.9)
    for parameter in own:
        parameter.grad = torch.ones_like(parameter)
    with noted_waits() as names:
        optimiser.step()
    assert names == []


def test_closure() -> None:
    (parameter, *_) = parameters()
    optimiser = DeviceLARS([parameter], lr=0.5)

    def closure() -> Tensor:
        optimiser.zero_grad()
        loss = parameter.pow(2).sum()
        loss.backward()
        return loss

    values = [optimiser.step(closure) for _ in range(2)]
    assert values[0] is not None
    assert values[1] is not None
    assert values[1] < values[0]
