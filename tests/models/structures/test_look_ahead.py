"""The meta-gradient against finite differences of the whole two-step objective, and the step of SGD against torch's."""

from __future__ import annotations

import copy
import pickle
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor, nn

from lt_plugins.errors import UserInputError
from lt_plugins.models.structures import LooksAhead
from lt_plugins.models.structures.look_ahead import Parameters, detached, meta_gradient, trained_parameters
from tests.gloo import run_gloo


class Ahead(LooksAhead, nn.Linear):
    """A layer that can look ahead."""


SETTINGS: list[dict[str, Any]] = [
    {},
    {"momentum": 0.9, "weight_decay": 0.1},
    {"momentum": 0.9, "dampening": 0.3},
    {"momentum": 0.8, "weight_decay": 0.2, "nesterov": True},
]


def numbers(*shape: int, seed: int = 0) -> Tensor:
    return torch.randn(*shape, dtype=torch.float64, generator=torch.Generator().manual_seed(seed))


def layer(settings: dict[str, Any]) -> tuple[Ahead, torch.optim.SGD]:
    """A layer, and an optimiser that has taken a step."""
    module = Ahead(3, 2, dtype=torch.float64)
    with torch.no_grad():
        module.weight.copy_(numbers(2, 3, seed=5))
        module.bias.copy_(numbers(2, seed=6))
    optimizer = torch.optim.SGD(module.parameters(), lr=0.3, **settings)
    module(numbers(4, 3, seed=7)).square().mean().backward()
    optimizer.step()
    optimizer.zero_grad()
    module.set_optimizer(optimizer)
    return module, optimizer


@pytest.mark.parametrize("settings", SETTINGS)
@pytest.mark.parametrize("is_first", [True, False])
def test_step_is_that_of_the_optimiser(settings: dict[str, Any], is_first: bool) -> None:
    module, optimizer = layer(settings)
    if is_first:
        optimizer.state.clear()
    named = trained_parameters(module)
    gradients = {name: numbers(*parameter.shape, seed=8) for name, parameter in named.items()}
    before = copy.deepcopy(optimizer.state_dict())
    ahead, plain = module.sgd_step(named)(gradients), module.sgd_step(named, momentum=False)(gradients)
    for name, parameter in named.items():
        assert torch.equal(plain[name], parameter.detach() - 0.3 * gradients[name])
        parameter.grad = gradients[name]
    assert str(optimizer.state_dict()) == str(before)
    optimizer.step()
    for name, parameter in named.items():
        torch.testing.assert_close(ahead[name], parameter.detach(), rtol=1e-12, atol=1e-12)


def problem(module: Ahead, rows: slice = slice(None)) -> tuple[Callable[..., Tensor], Callable[[Parameters], Tensor]]:
    """An inner loss that depends on eight numbers in a way that is not linear, and an outer one."""
    images, others = numbers(8, 3, seed=1)[rows], numbers(8, 3, seed=2)[rows]

    def inner(values: Parameters, learned: Tensor) -> Tensor:
        outputs = (images @ values["weight"].T + values["bias"]).tanh()
        return (outputs * learned[rows, None].exp()).square().mean()

    def outer(values: Parameters) -> Tensor:
        return (others @ values["weight"].T + values["bias"]).cos().mean()

    return inner, outer


@pytest.mark.parametrize("settings", SETTINGS)
def test_meta_gradient_is_that_of_finite_differences(settings: dict[str, Any]) -> None:
    """The two-step objective is spelt out by autograd and the optimiser itself."""
    module, optimizer = layer(settings)
    inner, outer = problem(module)
    learned, named = numbers(8, seed=3), trained_parameters(module)
    state, weights = copy.deepcopy(optimizer.state_dict()), copy.deepcopy(module.state_dict())

    def objective(values: Tensor) -> float:
        module.load_state_dict(weights)
        optimizer.load_state_dict(copy.deepcopy(state))
        optimizer.zero_grad()
        inner(dict(named), values).backward()
        optimizer.step()
        return float(outer(dict(named)).detach())

    expected = []
    for place in torch.eye(8, dtype=torch.float64):
        expected.append((objective(learned + 1e-5 * place) - objective(learned - 1e-5 * place)) / 2e-5)
    module.load_state_dict(weights)
    optimizer.load_state_dict(state)
    actual = meta_gradient(inner, outer, detached(named), learned, module.sgd_step(named))
    torch.testing.assert_close(actual, torch.tensor(expected, dtype=torch.float64), rtol=1e-6, atol=1e-9)
    assert all(parameter.grad is None or not parameter.grad.requires_grad for parameter in named.values())


def gradient_of_rank() -> Tensor:
    rank = torch.distributed.get_rank()
    module, _ = layer(SETTINGS[1])
    inner, outer = problem(module, slice(rank * 4, rank * 4 + 4))
    named = trained_parameters(module)
    return meta_gradient(inner, outer, detached(named), numbers(8, seed=3), module.sgd_step(named))


def test_two_processes_equal_one(tmp_path: Path) -> None:
    module, _ = layer(SETTINGS[1])
    named = trained_parameters(module)
    expected = meta_gradient(*problem(module), detached(named), numbers(8, seed=3), module.sgd_step(named))
    for actual in run_gloo(gradient_of_rank, folder=tmp_path):
        torch.testing.assert_close(actual, expected, rtol=1e-12, atol=1e-14)


def test_copies_leave_the_optimiser_behind() -> None:
    module, _ = layer({})
    for other in (copy.deepcopy(module), pickle.loads(pickle.dumps(module))):
        with pytest.raises(
            UserInputError, match=r"Ahead does not know the optimiser .* add dict\(type='MetaStepHook'\)"
        ):
            other.sgd_step(trained_parameters(other))


def test_what_cannot_be_looked_ahead() -> None:
    module, optimizer = layer({})
    with pytest.raises(UserInputError, match="one step of SGD ahead, and the optimiser is Adam; set optim_wrapper"):
        module.set_optimizer(torch.optim.Adam(module.parameters()))
    with pytest.raises(UserInputError, match=r"the optimiser is SGD\(maximize=True\)"):
        module.set_optimizer(torch.optim.SGD(module.parameters(), lr=1.0, maximize=True))
    optimizer.param_groups[0]["params"].pop()
    with pytest.raises(UserInputError, match="the optimiser does not train bias"):
        module.sgd_step(trained_parameters(module))
