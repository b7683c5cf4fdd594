"""Range loss: against a loop over classes and pairs, where distances are 0, and in two processes."""

from __future__ import annotations

import itertools
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor

from lt_plugins.errors import UserInputError
from lt_plugins.models.losses import RangeLoss
from lt_plugins.models.structures import LabelBatch
from tests.gloo import run_gloo

CHANNELS = 7
LABELS = torch.tensor([0, 3, 3, 1, 0, 3, 4, 3, 0, 1])  # class 2 is absent, class 4 is one image
SETTINGS: dict[str, Any] = {"alpha": 0.3, "beta": 0.7, "margin": 9.0}


def features(seed: int = 0, images: int = len(LABELS)) -> Tensor:
    return torch.randn(images, CHANNELS, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)


def value(rows: Tensor, labels: Tensor, **settings: Any) -> Tensor:
    return RangeLoss(**{**SETTINGS, **settings})(rows, rows.new_zeros(len(rows), 5), LabelBatch(labels))


def slow(rows: Tensor, labels: Tensor, alpha: float, beta: float, margin: float, k: int) -> Tensor:
    """Class by class and pair by pair."""

    def squared(a: Tensor, b: Tensor) -> Tensor:
        return torch.stack([(x - y) ** 2 for x, y in zip(a, b, strict=True)]).sum()

    classes = sorted(set(labels.tolist()))
    images = {c: [row for row, label in zip(rows, labels.tolist(), strict=True) if label == c] for c in classes}
    total = rows.new_zeros(())
    for c in classes:
        distances = sorted((squared(a, b) for a, b in itertools.combinations(images[c], 2)), reverse=True)[:k]
        if distances:
            total = total + alpha * len(distances) / torch.stack([1 / d for d in distances]).sum()
    means = [torch.stack(images[c]).mean(dim=0) for c in classes]
    between = [squared(a, b) for a, b in itertools.combinations(means, 2)]
    if between:
        total = total + beta * max(margin - min(between), rows.new_zeros(()))
    return total


@pytest.mark.parametrize("k", [1, 2, 3, 50])
@pytest.mark.parametrize("margin", [0.5, 9.0])
def test_value_and_gradient_are_those_of_the_formula(k: int, margin: float) -> None:
    for seed in range(5):
        rows, other = features(seed).requires_grad_(), features(seed).requires_grad_()
        fast = value(rows, LABELS, k=k, margin=margin)
        expected = slow(other, LABELS, **{**SETTINGS, "margin": margin}, k=k)
        torch.testing.assert_close(fast, expected)
        fast.backward()
        expected.backward()
        torch.testing.assert_close(rows.grad, other.grad)


def test_the_gradient_is_the_derivative() -> None:
    assert torch.autograd.gradcheck(lambda rows: value(rows, LABELS), features().requires_grad_())


@pytest.mark.parametrize("labels", [torch.zeros(6, dtype=torch.int64), torch.arange(6), torch.tensor([1, 1, 0, 0, 2])])
def test_one_class_one_image_a_class_and_a_batch_of_pairs(labels: Tensor) -> None:
    rows = features(1, len(labels))
    torch.testing.assert_close(value(rows, labels), slow(rows, labels, **SETTINGS, k=2))
    torch.testing.assert_close(value(rows[:1], labels[:1]), torch.zeros((), dtype=torch.float64))


def test_k_of_one_is_the_largest_distance_and_the_margin_a_hinge() -> None:
    rows, labels = features(2, 4), torch.zeros(4, dtype=torch.int64)
    torch.testing.assert_close(value(rows, labels, k=1), 0.3 * torch.cdist(rows, rows).max() ** 2)
    apart = torch.tensor([[0.0, 0], [0, 2]], dtype=torch.float64)
    for margin, expected in ((4.5, 0.5), (4.0, 0.0), (3.0, 0.0)):
        torch.testing.assert_close(float(value(apart, torch.tensor([0, 1]), margin=margin)), 0.7 * expected)


def test_equal_features_have_a_finite_gradient() -> None:
    for rows in (torch.ones(10, CHANNELS), torch.zeros(10, CHANNELS), torch.ones(10, CHANNELS, dtype=torch.bfloat16)):
        rows.requires_grad_()
        loss = value(rows, LABELS)
        loss.backward()
        assert rows.grad is not None
        assert rows.grad.isfinite().all()
        assert float(loss.detach()) == pytest.approx(0.7 * 9)
    near = features().float()
    near[4] = near[0]  # one pair of class 0 at distance 0; the other two of its pairs are the largest
    near.requires_grad_()
    value(near, LABELS, k=3).backward()
    assert near.grad is not None
    assert near.grad.isfinite().all()


def test_without_weight_there_is_no_loss_and_no_gradient() -> None:
    loss = RangeLoss(weights=[(1, 2.0)])
    rows = features().requires_grad_()
    assert not loss(rows, rows, LabelBatch(LABELS)).requires_grad
    loss.set_epoch(1, 3)
    expected = RangeLoss(weights=2.0)(rows, rows, LabelBatch(LABELS))
    torch.testing.assert_close(loss(rows, rows, LabelBatch(LABELS)), expected)
    assert not loss.state_dict()


def ranks_value(rank_labels: list[Tensor]) -> tuple[Tensor, Tensor]:
    rank = torch.distributed.get_rank()
    rows = features()[rank::2].clone().requires_grad_()
    found = value(rows, rank_labels[rank])
    found.backward()
    assert rows.grad is not None
    return found.detach(), rows.grad


def test_two_processes_are_one(tmp_path: Path) -> None:
    """Also the pairs of which each process has one image; gradients are averaged over the processes."""
    found = run_gloo(ranks_value, [LABELS[0::2], LABELS[1::2]], folder=tmp_path)
    whole = features().requires_grad_()
    expected = value(whole, LABELS)
    expected.backward()
    assert whole.grad is not None
    for rank, (loss, gradient) in enumerate(found):
        torch.testing.assert_close(loss, expected.detach())
        torch.testing.assert_close(gradient / 2, whole.grad[rank::2])


def test_settings_without_meaning_are_refused() -> None:
    for settings, message in (
        ({"alpha": -1.0}, r"alpha=-1\.0, beta=0\.7 and margin=9\.0 must be finite"),
        ({"margin": float("inf")}, "margin=inf must be finite"),
        ({"k": 0}, "k=0, how many of the largest distances"),
        ({"weights": -1.0}, r"weights=-1\.0 must be a weight of 0 or more"),
    ):
        with pytest.raises(UserInputError, match=message):
            RangeLoss(**{**SETTINGS, **settings})
    with pytest.raises(UserInputError, match="exactly one gt_label"):
        RangeLoss()(features(), features(), LabelBatch(scores=torch.ones(10, 5)))
