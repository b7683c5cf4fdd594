"""The distillation loss against slow loops in float64."""

from __future__ import annotations

import math

import pytest
import torch
from torch import Tensor

from lt_plugins.errors import UserInputError
from lt_plugins.models.losses import KDLoss
from lt_plugins.models.structures import NetworkOutputs
from tests.battery import noise


def outputs(logits: Tensor) -> NetworkOutputs:
    """Outputs of a network whose features nobody reads."""
    return NetworkOutputs(logits.new_zeros(len(logits), 0), logits)


def softened(logits: list[float], temperature: float) -> list[float]:
    """Probabilities, one at a time."""
    powers = [math.exp(value / temperature) for value in logits]
    return [power / sum(powers) for power in powers]


def slow_distillation(student: Tensor, teacher: Tensor, temperature: float) -> float:
    """Sum over classes and mean over images of p_teacher log(p_teacher / p_student)."""
    total = 0.0
    for own, other in zip(student.tolist(), teacher.tolist(), strict=True):
        p, q = softened(other, temperature), softened(own, temperature)
        total += sum(a * math.log(a / b) for a, b in zip(p, q, strict=True))
    return total / len(student)


@pytest.mark.parametrize("temperature", [1.0, 1.5, 4.0])
def test_equals_the_formula(temperature: float) -> None:
    student, teacher = 3 * noise(5, 7).double(), 3 * noise(5, 7, seed=1).double()
    expected = slow_distillation(student, teacher, temperature)
    for square, factor in ((True, temperature**2), (False, 1.0)):
        loss = KDLoss(temperature, square_temperature=square, loss_weight=0.7)
        assert loss(outputs(student), [outputs(teacher)]).item() == pytest.approx(0.7 * factor * expected, rel=1e-12)


def test_several_experts_and_several_teachers() -> None:
    """The mean logits of experts learn from the mean logits of the teacher's; teachers count the same."""
    student, first, second = noise(4, 3, 6).double(), noise(4, 2, 6, seed=1).double(), noise(4, 6, seed=2).double()
    parts = [slow_distillation(student.mean(dim=1), teacher, 2.0) for teacher in (first.mean(dim=1), second)]
    loss = KDLoss(2.0)(outputs(student), [outputs(first), outputs(second)])
    assert loss.item() == pytest.approx(4 * sum(parts) / 2, rel=1e-12)


def test_nothing_to_learn_from_oneself() -> None:
    student = noise(4, 6).double().requires_grad_()
    loss = KDLoss(1.5)(outputs(student), [outputs(student.detach() + 5)])  # a constant changes no prediction
    loss.backward()
    assert loss.item() == pytest.approx(0, abs=1e-15)
    assert student.grad is not None
    assert student.grad.abs().max() < 1e-15


def test_gradient() -> None:
    """T (softmax(z / T) - softmax(t / T)) / B."""
    student, teacher, temperature = noise(4, 6).double().requires_grad_(), noise(4, 6, seed=1).double(), 3.0
    KDLoss(temperature)(outputs(student), [outputs(teacher)]).backward()
    difference = torch.softmax(student.detach() / temperature, 1) - torch.softmax(teacher / temperature, 1)
    torch.testing.assert_close(student.grad, temperature * difference / 4, rtol=1e-10, atol=1e-14)


def test_certain_predictions_stay_finite_in_half_precision() -> None:
    student = torch.tensor([[200.0, -200.0, 0.0]], dtype=torch.float16, requires_grad=True)
    loss = KDLoss(1.0)(outputs(student), [outputs(torch.tensor([[-200.0, 200.0, 0.0]], dtype=torch.float16))])
    loss.backward()
    assert loss.item() == pytest.approx(400, rel=1e-6)
    assert student.grad is not None
    assert student.grad.isfinite().all()


@pytest.mark.parametrize("temperature", [0.0, -1.0, math.inf, math.nan])
def test_temperature_is_checked(temperature: float) -> None:
    with pytest.raises(UserInputError, match=r"temperature=.* of KDLoss must be positive"):
        KDLoss(temperature)
