"""BBN's head: cumulative learning of two branches, against slow loops in float64."""

from __future__ import annotations

import math
from typing import Any

import pytest
import torch
from torch import Tensor

from lt_plugins.errors import UserInputError
from lt_plugins.models.heads import BBNHead, LinearHead
from lt_plugins.models.structures import LabelBatch
from tests.battery import noise

CONVENTIONAL, BALANCED = noise(6, 4).double(), noise(3, 4, seed=1).double()
LABELS = LabelBatch(torch.tensor([0, 2, 1, 1, 0, 2, 2, 0, 2]))


def head(**settings: Any) -> BBNHead:
    """A head of three classes in float64, with weights far from 0."""
    made = BBNHead(num_classes=3, in_channels=4, **settings).double()
    torch.nn.init.normal_(made.fc.weight, generator=torch.Generator().manual_seed(2))
    return made


def cross_entropy(weight: Tensor, bias: Tensor, feature: list[float], label: int) -> float:
    """Of one image, one class at a time."""
    logits = [sum(w * x for w, x in zip(row, feature, strict=True)) + b for row, b in zip(weight, bias, strict=True)]
    return math.log(sum(math.exp(float(z)) for z in logits)) - float(logits[label])


def slow_loss(made: BBNHead, alpha: float, conventional: Tensor, labels: list[int]) -> float:
    """Mean over the pairs of conventional and re-balancing images; the latter come again for each environment."""
    total, weight, bias = 0.0, made.fc.weight.detach(), made.fc.bias.detach()
    for number, feature in enumerate(conventional.tolist()):
        place = number % len(BALANCED)
        other = BALANCED[place].tolist()
        mixed = [2 * alpha * x for x in feature] + [2 * (1 - alpha) * x for x in other]
        total += alpha * cross_entropy(weight, bias, mixed, labels[number])
        total += (1 - alpha) * cross_entropy(weight, bias, mixed, labels[len(conventional) + place])
    return total / len(conventional)


@pytest.mark.parametrize("environments", [1, 2])
@pytest.mark.parametrize(("epoch", "alpha"), [(0, 1.0), (50, 0.75), (90, 0.19), (99, 1 - 0.99**2)])
def test_equals_the_formula(epoch: int, alpha: float, environments: int) -> None:
    made = head()
    assert made.set_epoch(epoch, 100) == f"conventional branch {alpha:.3f}"
    assert made.alpha == pytest.approx(alpha, rel=1e-12)
    conventional = CONVENTIONAL[: 3 * environments]
    labels = LabelBatch(torch.cat([LABELS.one_label_each[: 3 * environments], LABELS.one_label_each[6:]]))
    loss = made.loss((conventional, BALANCED), labels)["loss"]
    assert loss.item() == pytest.approx(slow_loss(made, alpha, conventional, labels.one_label_each.tolist()), rel=1e-12)


def test_a_longer_horizon() -> None:
    """The released code lets 90 epochs end as if there were 100."""
    made = head(horizon=10 / 9)
    made.set_epoch(60, 90)
    assert made.alpha == pytest.approx(1 - 0.6**2, rel=1e-12)


def test_prediction_is_that_of_both_branches_at_one_half() -> None:
    made = head().eval()
    predicted = made((CONVENTIONAL[:3], BALANCED))
    made.alpha = 0.5
    torch.testing.assert_close(predicted, made.mix((CONVENTIONAL[:3], BALANCED)))
    weight, bias = made.affine()
    torch.testing.assert_close(predicted, made.pre_logits((CONVENTIONAL[:3], BALANCED)) @ weight.T + bias)


def test_in_the_first_epoch_it_is_a_linear_head_on_the_conventional_branch() -> None:
    made, plain = head(), LinearHead(num_classes=3, in_channels=4).double()
    plain.fc.weight.data.copy_(2 * made.fc.weight[:, :4])
    plain.fc.bias.data.copy_(made.fc.bias)
    expected = plain.loss((CONVENTIONAL,), LABELS[:6])["loss"]
    assert made.loss((CONVENTIONAL, BALANCED), LABELS)["loss"].item() == pytest.approx(expected.item(), rel=1e-12)


def test_mixed_labels_and_class_counts() -> None:
    """Shares of classes are those of the losses; any loss on logits does."""
    made = head(loss={"type": "BalancedSoftmaxLoss"})
    made.loss_module.class_distribution.set_counts([30, 7, 2])
    made.set_epoch(5, 10)
    shares = torch.nn.functional.one_hot(LABELS.one_label_each, 3).double()
    mixed = LabelBatch(LABELS.one_label_each, scores=0.3 * shares + 0.7 * shares[[1, 0, 3, 2, 5, 4, 7, 6, 8]])
    swapped = LabelBatch(LABELS.one_label_each[[1, 0, 3, 2, 5, 4, 7, 6, 8]])
    found, one, other = (made.loss((CONVENTIONAL, BALANCED), x)["loss"].item() for x in (mixed, LABELS, swapped))
    assert found == pytest.approx(0.3 * one + 0.7 * other, rel=1e-12)


def test_settings_are_checked() -> None:
    with pytest.raises(UserInputError, match=r"horizon=0.5 must be 1 or more"):
        BBNHead(num_classes=3, in_channels=4, horizon=0.5)
    with pytest.raises(UserInputError, match=r"classifies by two branches, and the backbone gives 1 map"):
        head()((CONVENTIONAL,))
