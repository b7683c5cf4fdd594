"""CB-CE and CE-DRW against a loop in plain Python."""

from __future__ import annotations

import math

import pytest
import torch
from torch import Tensor

from lt_plugins.models.losses import WeightedCrossEntropyLoss
from tests import battery

COUNTS = [500, 81, 16, 1]
LABELS = torch.tensor([0, 3, 1, 2, 0, 0])


def cb_ce(logits: Tensor, labels: Tensor, beta: float) -> float:
    """METHODS 3.3: the mean over the weights of the batch of w / E_n times cross-entropy, E_n a geometric series."""
    inverse = [1 / sum(beta**i for i in range(n)) for n in COUNTS]
    total = mass = 0.0
    for row, label in zip(logits.tolist(), labels.tolist(), strict=True):
        weight = inverse[label] * len(COUNTS) / sum(inverse)
        total -= weight * math.log(math.exp(row[label]) / sum(map(math.exp, row)))
        mass += weight
    return total / mass


@pytest.mark.parametrize("beta", [0.0, 0.9, 0.9999])
def test_class_balanced_cross_entropy_from_an_epoch_on(beta: float) -> None:
    loss = WeightedCrossEntropyLoss(class_weight="effective_number", weight_beta=beta, reweight_from=160)
    loss.class_distribution.set_counts(COUNTS)
    logits = 2 * battery.noise(6, 4).double()
    for epoch, expected in ((159, cb_ce(logits, LABELS, 0.0)), (160, cb_ce(logits, LABELS, beta))):
        loss.set_epoch(epoch, 200)
        assert float(loss(logits, LABELS)) == pytest.approx(expected, rel=1e-9)


def test_needs_no_counts_without_weights() -> None:
    logits = battery.noise(6, 4)
    expected = torch.nn.CrossEntropyLoss()(logits, LABELS)
    torch.testing.assert_close(WeightedCrossEntropyLoss()(logits, LABELS), expected)
