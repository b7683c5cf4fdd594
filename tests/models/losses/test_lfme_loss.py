"""The self-paced distillation of LFME against slow loops in float64."""

from __future__ import annotations

import copy
from typing import Any

import pytest
import torch
from torch import Tensor

from lt_plugins.errors import UserInputError
from lt_plugins.models.losses import KDLoss, LFMELoss
from lt_plugins.models.losses.lfme_loss import expert_weights
from tests.battery import noise
from tests.models.losses.test_kd_loss import outputs, slow_distillation

CLASSES = [torch.tensor([0, 2, 5]), torch.tensor([1, 6]), torch.tensor([3, 4, 2])]


def build(classes: list[Tensor] = CLASSES, **arguments: Any) -> LFMELoss:
    loss = LFMELoss(**arguments).double()
    loss.set_experts(classes)
    return loss


def logits(count: int = 4) -> list[Tensor]:
    """Of a student and three experts, seven classes."""
    return [3 * noise(count, 7, seed=seed).double() for seed in range(4)]


@pytest.mark.parametrize("square", [False, True])
def test_equals_the_formula(square: bool) -> None:
    """Each expert on its slice of the student's logits; experts may share a class."""
    student, *experts = logits()
    loss = build(temperature=1.5, square_temperature=square, loss_weight=0.7)
    loss.weights.copy_(torch.tensor([1.0, 0.25, 0.5]))
    expected = sum(
        weight * slow_distillation(student[:, classes], expert[:, classes], 1.5)
        for weight, classes, expert in zip([1.0, 0.25, 0.5], CLASSES, experts, strict=True)
    )
    found = loss(outputs(student), [outputs(expert) for expert in experts])
    assert found.item() == pytest.approx(0.7 * (1.5**2 if square else 1) * expected, rel=1e-12)


def test_what_lies_outside_of_the_slice_does_not_matter() -> None:
    """Neither to the loss nor to its gradient."""
    student, *experts = logits()
    student.requires_grad_()
    loss = build([CLASSES[1]])
    first = loss(outputs(student), [outputs(experts[0])])
    first.backward()
    assert student.grad is not None
    assert not student.grad[:, [0, 2, 3, 4, 5]].any()
    experts[0][:, [0, 2, 3, 4, 5]] += 9
    assert torch.equal(first, loss(outputs(student), [outputs(experts[0])]))


def test_one_expert_of_all_classes_is_plain_distillation() -> None:
    student, expert, *_ = logits()
    found = build([torch.arange(7)], temperature=3.0)(outputs(student), [outputs(expert)])
    assert torch.equal(found, KDLoss(3.0, square_temperature=False)(outputs(student), [outputs(expert)]))


def test_experts_of_weight_zero_teach_nothing() -> None:
    student, *experts = logits()
    student.requires_grad_()
    loss = build()
    loss.weights.zero_()
    found = loss(outputs(student), [outputs(expert) for expert in experts])
    found.backward()
    assert found.item() == 0
    assert student.grad is not None
    assert not student.grad.any()


def slow_weight(student: float, expert: float, decay_from: float) -> float:
    """Weight of an expert, case by case."""
    if expert == 0:
        return 0.0
    if student < decay_from * expert:
        return 1.0
    return max((expert - student) / expert / (1 - decay_from), 0.0)


@pytest.mark.parametrize("decay_from", [0.0, 0.3, 0.8])
def test_weights_fall_as_the_student_comes_near(decay_from: float) -> None:
    pairs = [(s, e) for s in (0.0, 0.1, 0.21, 0.3, 0.5, 0.69, 0.7, 0.9, 1.0) for e in (0.0, 0.3, 0.7, 1.0)]
    student, expert = torch.tensor(pairs, dtype=torch.float64).T
    expected = [slow_weight(s, e, decay_from) for s, e in zip(student.tolist(), expert.tolist(), strict=True)]
    torch.testing.assert_close(
        expert_weights(student, expert, decay_from), torch.tensor(expected, dtype=torch.float64), rtol=1e-12, atol=1e-15
    )


def test_accuracies_set_the_weights_and_the_state_keeps_them() -> None:
    loss, other = build(), build(CLASSES[:2])
    assert loss.weights.tolist() == [1, 1, 1]
    loss.expert_accuracy.copy_(torch.tensor([0.8, 0.5, 0.4]))
    loss.set_accuracies(torch.tensor([0.1, 0.5, 0.2]))
    assert loss.weights.tolist() == pytest.approx([1, 0, 0.5 / 0.7])
    loss.set_experts(CLASSES)
    assert loss.weights.tolist() == pytest.approx([1, 0, 0.5 / 0.7]), "the same number of experts keeps them"
    assert {*loss.state_dict()} == {"expert_accuracy", "weights"}, "classes are those of the experts"
    other.load_state_dict(loss.state_dict())
    assert torch.equal(other.weights, loss.weights)
    assert torch.equal(copy.deepcopy(loss).classes[2], CLASSES[2])


def test_errors() -> None:
    for temperature in (0.0, float("nan")):
        with pytest.raises(UserInputError, match=r"temperature=.* of LFMELoss must be positive"):
            LFMELoss(temperature=temperature)
    for decay_from in (-0.1, 1.0):
        with pytest.raises(UserInputError, match=r"decay_from=.* of LFMELoss must be from 0 to below 1"):
            LFMELoss(decay_from=decay_from)
    student, *experts = logits()
    with pytest.raises(UserInputError, match="LFMELoss got 1 experts and knows the classes of 3"):
        build()(outputs(student), [outputs(experts[0])])
