"""IRM penalty: closed form against the gradient of a gradient, environments, experts, mixed labels, processes."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor

from lt_plugins.errors import UserInputError
from lt_plugins.models.losses import IRMPenalty
from lt_plugins.models.structures import LabelBatch
from tests.gloo import run_gloo

LABELS = torch.tensor([0, 3, 3, 1, 0, 2, 2, 1])
NUM_CLASSES = 4


def logits(*experts: int) -> Tensor:
    generator = torch.Generator().manual_seed(0)
    return torch.randn(len(LABELS), *experts, NUM_CLASSES, generator=generator, dtype=torch.float64).requires_grad_()


def shares() -> Tensor:
    one_hot = F.one_hot(LABELS, NUM_CLASSES).double()
    return 0.7 * one_hot + 0.3 * one_hot.roll(1, dims=0)


def penalty(scores: Tensor, target: Tensor, environments: int, **settings: str) -> Tensor:
    batch = LabelBatch(target) if target.ndim == 1 else LabelBatch(target.argmax(1), scores=target)
    value = IRMPenalty(weights=0.5, **settings)(scores.new_zeros(len(scores), 1), scores, batch, environments)  # type: ignore[arg-type]
    assert value is not None
    return value


def slow(scores: Tensor, target: Tensor, environments: int) -> Tensor:
    """The gradient of the risk at a scale of 1, squared, environment by environment, by automatic differentiation."""
    found = []
    size = len(scores) // environments
    for environment in range(environments):
        chosen = slice(environment * size, (environment + 1) * size)
        scale = torch.ones((), dtype=torch.float64, requires_grad=True)
        experts = scores[chosen].reshape(size, -1, NUM_CLASSES)
        risks = [F.cross_entropy(scale * expert, target[chosen]) for expert in experts.unbind(1)]
        (slope,) = torch.autograd.grad(torch.stack(risks).mean(), scale, create_graph=True)
        found.append(slope**2)
    return 0.5 * torch.stack(found).sum() / environments


@pytest.mark.parametrize("environments", [1, 2, 4])
@pytest.mark.parametrize("target", [LABELS, shares()], ids=["one label", "mixed"])
@pytest.mark.parametrize("experts", [(), (3,)], ids=["one", "three"])
def test_value_and_gradient(environments: int, target: Tensor, experts: tuple[int, ...]) -> None:
    scores, other = logits(*experts), logits(*experts)
    value, expected = penalty(scores, target, environments), slow(other, target, environments)
    value.backward()
    expected.backward()
    torch.testing.assert_close(value, expected)
    torch.testing.assert_close(scores.grad, other.grad)


def test_environments_are_told_apart() -> None:
    """Slopes of opposite signs cancel in the whole batch only."""
    scores = torch.tensor([[2.0, 0.0], [0.0, 2.0]], dtype=torch.float64)
    both = torch.tensor([0, 0])
    lone = [penalty(scores[i : i + 1], both[i : i + 1], 1) for i in range(2)]
    torch.testing.assert_close(penalty(scores, both, 2), (lone[0] + lone[1]) / 2)
    assert float(penalty(scores, both, 1)) < float(penalty(scores, both, 2))


def test_the_scale_of_each_class() -> None:
    """What the released code of IFL compares with: an L1 norm, environments together."""
    scores, other = logits(), logits()
    value = penalty(scores, LABELS, 2, form="class_scale")
    scale = torch.ones(1, NUM_CLASSES, dtype=torch.float64, requires_grad=True)
    (slope,) = torch.autograd.grad(F.cross_entropy(other * scale, LABELS), scale, create_graph=True)
    expected = 0.5 * slope.abs().sum()
    value.backward()
    expected.backward()
    torch.testing.assert_close(value, expected)
    torch.testing.assert_close(scores.grad, other.grad)


def test_a_classifier_that_is_best_everywhere_has_none() -> None:
    """Logits whose scale minimises the risk of both environments: the labels occur as often as the softmax says."""
    scores = torch.tensor([[3.0, 1.0]], dtype=torch.float64).log().expand(4, 2)
    assert float(penalty(torch.cat([scores, scores]), torch.tensor([0, 0, 0, 1] * 2), 2)) == pytest.approx(0, abs=1e-30)


def ranks_gradients() -> list[Tensor]:
    rank = torch.distributed.get_rank()
    found = []
    for form in ("environment", "class_scale"):
        scores = logits()
        # Of each environment of four images a process has two.
        own = torch.arange(len(LABELS)).view(2, 2, 2)[:, rank].flatten()
        value = penalty(scores[own], LABELS[own], 2, form=form)
        value.backward()
        assert scores.grad is not None
        found += [value.detach(), scores.grad / 2]  # DistributedDataParallel takes the mean
    return found


def test_two_processes_are_one(tmp_path: Path) -> None:
    first, second = run_gloo(ranks_gradients, folder=tmp_path)
    for index, form in enumerate(("environment", "class_scale")):
        scores = logits()
        value = penalty(scores, LABELS, 2, form=form)
        value.backward()
        for found in (first, second):
            torch.testing.assert_close(found[2 * index], value.detach())
        torch.testing.assert_close(first[2 * index + 1] + second[2 * index + 1], scores.grad)


def test_an_unknown_form_is_refused() -> None:
    with pytest.raises(UserInputError, match="form='vector' must be one of"):
        IRMPenalty(form="vector")  # type: ignore[arg-type]
