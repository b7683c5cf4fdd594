"""Class weights within a ball: its radius, and the projection, against loops in plain Python."""

from __future__ import annotations

import math

import pytest
import torch

from lt_plugins.errors import UserInputError
from lt_plugins.models.heads import MaxNormHead


def make(rows: list[list[float]]) -> MaxNormHead:
    head = MaxNormHead(num_classes=len(rows), in_channels=len(rows[0]))
    with torch.no_grad():
        head.fc.weight.copy_(torch.tensor(rows))
        head.fc.bias.fill_(100.0)
    return head


def norms_of(rows: list[list[float]]) -> list[float]:
    return [math.sqrt(sum(value**2 for value in row)) for row in rows]


def test_radius_and_projection() -> None:
    torch.manual_seed(0)
    rows = (torch.randn(7, 5) * torch.logspace(-1, 1, 7)[:, None]).tolist()
    head = make(rows)
    head.set_max_norm(0.25)
    norms = norms_of(rows)
    radius = min(norms) + 0.25 * (max(norms) - min(norms))
    assert head.max_norm.item() == pytest.approx(radius, rel=1e-6)
    for _ in range(2):  # a second time it changes nothing
        head.project_weight()
        for row, norm, found in zip(rows, norms, head.fc.weight.tolist(), strict=True):
            assert found == pytest.approx([value * min(1, radius / norm) for value in row], rel=1e-5)
    assert sum(norm > radius for norm in norms) in range(1, 7), "some rows are within, some beyond"
    assert head.fc.bias.tolist() == [100.0] * 7
    assert head.fc.weight.requires_grad


def test_the_largest_norm_leaves_all_weights_and_the_smallest_makes_them_equal() -> None:
    rows = [[3.0, 4.0], [0.0, 1.0], [2.0, 0.0]]
    head = make(rows)
    head.set_max_norm(1.0)
    head.project_weight()
    assert head.fc.weight.tolist() == rows
    head.set_max_norm(0.0)
    head.project_weight()
    assert norms_of(head.fc.weight.tolist()) == pytest.approx([1.0] * 3)


def test_a_row_of_zeros_stays() -> None:
    head = make([[3.0, 4.0], [0.0, 0.0]])
    head.set_max_norm(0.5)
    head.project_weight()
    assert head.fc.weight.tolist()[1] == [0.0, 0.0]
    assert norms_of(head.fc.weight.tolist())[0] == pytest.approx(2.5)
    with pytest.raises(UserInputError, match="would leave no weight"):
        head.set_max_norm(0.0)
