"""SHIKE's loss against its formula in plain Python, and what is left of it without its parts."""

from __future__ import annotations

import itertools
import math

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor

from lt_plugins.errors import UserInputError
from lt_plugins.models.losses import SHIKELoss
from lt_plugins.models.losses.shike_loss import negative_teacher
from tests import battery

LABELS = torch.tensor([0, 3, 1, 4, 0, 2])
LOGITS = 3 * battery.noise(6, 3, 5).double()


def slow_softmax(row: list[float]) -> list[float]:
    total = math.fsum(math.exp(value) for value in row)
    return [math.exp(value) / total for value in row]


def slow_divergence(target: list[float], other: list[float]) -> float:
    return math.fsum(p * math.log(p / q) for p, q in zip(target, other, strict=True))


def slow_teacher(experts: list[list[float]], label: int) -> list[float]:
    """METHODS_BEYOND 4: largest logit of a negative class, but the mean of the hardest one; the true class has 0."""
    negatives = [c for c in range(len(experts[0])) if c != label]
    means = {c: sum(row[c] for row in experts) / len(experts) for c in negatives}
    hardest = max(negatives, key=means.__getitem__)
    teacher = [0.0] * len(experts[0])
    for c in negatives:
        teacher[c] = means[c] if c == hardest else max(row[c] for row in experts)
    return teacher


def slow_parts(experts: list[list[float]], label: int) -> tuple[float, float, float]:
    """Cross-entropy, divergence from the teacher of the negatives, and between the experts, of one image."""
    probabilities = [slow_softmax(row) for row in experts]
    cross_entropy = -sum(math.log(row[label]) for row in probabilities)
    teacher = slow_softmax(slow_teacher(experts, label))
    masked = [[-30.0 if c == label else value for c, value in enumerate(row)] for row in experts]
    hard = sum(slow_divergence(teacher, slow_softmax(row)) for row in masked)
    mutual = sum(slow_divergence(p, q) for p, q in itertools.permutations(probabilities, 2))
    return cross_entropy, hard, mutual


@pytest.mark.parametrize(("reduction", "divisor"), [("elementmean", 5), ("batchmean", 1)])
@pytest.mark.parametrize(("negative_weight", "mutual_weight"), [(10.0, 1.0), (0.0, 1.0), (2.0, 0.0)])
def test_equals_its_formula(reduction: str, divisor: int, negative_weight: float, mutual_weight: float) -> None:
    expected = 0.0
    for experts, label in zip(LOGITS.tolist(), LABELS.tolist(), strict=True):
        cross_entropy, hard, mutual = slow_parts(experts, label)
        expected += cross_entropy + (negative_weight * hard + mutual_weight * mutual) / divisor
    loss = SHIKELoss(negative_weight, mutual_weight, reduction)  # type: ignore[arg-type]
    assert float(loss(LOGITS, LABELS)) == pytest.approx(expected / 6, rel=1e-10)


def test_the_hardest_negative_class_keeps_its_mean() -> None:
    logits = torch.tensor([[[9.0, 4.0, 1.0], [9.0, 2.0, 2.5]]])
    assert negative_teacher(logits, torch.tensor([0])).tolist() == [[0.0, 3.0, 2.5]]


def test_the_true_class_is_never_the_hardest_negative() -> None:
    """Also where all others are below -30, the logit that hides it elsewhere."""
    logits = torch.tensor([[[0.0, -40.0, -50.0], [0.0, -40.0, -35.0]]])
    assert negative_teacher(logits, torch.tensor([0])).tolist() == [[0.0, -40.0, -35.0]]


def test_equal_experts_teach_each_other_nothing() -> None:
    logits = LOGITS[:, :1].expand(-1, 3, -1)
    plain, mutual = SHIKELoss(0.0, 0.0), SHIKELoss(0.0, 7.0)
    assert float(mutual(logits, LABELS)) == pytest.approx(float(plain(logits, LABELS)), rel=1e-12)


def test_without_its_parts_it_is_the_sum_of_cross_entropies() -> None:
    expected = sum(F.cross_entropy(LOGITS[:, expert], LABELS) for expert in range(3))
    assert float(SHIKELoss(0.0, 0.0)(LOGITS, LABELS)) == pytest.approx(float(expected), rel=1e-12)


def test_gradients_reach_the_teachers() -> None:
    """With one expert's logits as the largest of all negatives, its loss alone would leave the others out of it."""

    def hard_part(logits: Tensor) -> Tensor:
        return SHIKELoss(1.0, 0.0)(logits, LABELS) - SHIKELoss(0.0, 0.0)(logits, LABELS)

    logits = LOGITS.clone().requires_grad_()
    assert torch.autograd.gradcheck(hard_part, logits)


def test_it_is_finite_where_a_float32_softmax_underflows() -> None:
    logits = (40 * battery.noise(6, 3, 5)).requires_grad_()
    value = SHIKELoss()(logits, LABELS)
    value.backward()
    assert logits.grad is not None
    assert torch.isfinite(value)
    assert torch.isfinite(logits.grad).all()


def test_mistakes_are_refused() -> None:
    with pytest.raises(UserInputError, match=r"negative_weight=-1 and mutual_weight=1\.0 must be 0 or more"):
        SHIKELoss(negative_weight=-1)
    with pytest.raises(UserInputError, match="reduction='mean' must be one of elementmean, batchmean"):
        SHIKELoss(reduction="mean")  # type: ignore[arg-type]
