"""Label over-smoothing: the loss of the stage's head is that of its formula, against a loop in plain Python."""

from __future__ import annotations

import math

import pytest
import torch
from mmpretrain.registry import MODELS

from lt_plugins.models.structures import LabelBatch
from lt_plugins.runs.config import read_stages
from tests.tool_process import ROOT


def slow_loss(logits: list[list[float]], targets: list[list[float]], eps: float) -> float:
    """Mean cross-entropy to targets that are mixed with the uniform distribution."""
    total = 0.0
    for row, target in zip(logits, targets, strict=True):
        log_sum = math.log(sum(math.exp(value) for value in row))
        total -= sum(
            ((1 - eps) * share + eps / len(row)) * (value - log_sum) for share, value in zip(target, row, strict=True)
        )
    return total / len(logits)


@pytest.mark.parametrize("mixed", [False, True])
def test_loss_of_the_second_stage(mixed: bool) -> None:
    head = MODELS.build(read_stages(str(ROOT / "configs/los/los_r32_digits.py"))[1].model.head)
    torch.manual_seed(0)
    features = torch.randn(6, 64, dtype=torch.float64)
    head.double()
    labels = torch.tensor([0, 3, 9, 9, 1, 5])
    shares = torch.eye(10, dtype=torch.float64)[labels]
    if mixed:
        shares = 0.3 * shares + 0.7 * shares.flip(0)
    batch = LabelBatch(labels, scores=shares if mixed else None)
    loss = head.loss((features,), batch)["loss"]
    logits = (features @ head.fc.weight.T + head.fc.bias).tolist()
    assert loss.item() == pytest.approx(slow_loss(logits, shares.tolist(), 0.98), rel=1e-5)
