"""Instance contrast without negatives of the same class, against slow loops in float64."""

from __future__ import annotations

import dataclasses
import math

import pytest
import torch
import torch.nn.functional as F

from lt_plugins.errors import UserInputError
from lt_plugins.models.losses import InstanceContrastLoss, KCLLoss
from lt_plugins.models.structures import ContrastBatch, LabelledQueue
from tests.battery import noise
from tests.models.reference import others, similarity, two_view_contrast

QUEUE_LABELS = [0, 1, 2, 1, 0, 2, 2]


def moco(labels: list[int], queue_labels: list[int], unused: int = 2) -> ContrastBatch:
    """Queries with gradient, their keys, and a queue with unused slots; all in float64."""
    queue = LabelledQueue(len(queue_labels) + unused, 5).double()
    queue.enqueue(F.normalize(noise(len(queue_labels), 5, seed=2).double(), dim=1), torch.tensor(queue_labels))
    queries = noise(len(labels), 5).double().requires_grad_()
    keys = noise(len(labels), 5, seed=1).double()
    return ContrastBatch.from_queries(queries, keys, torch.tensor(labels), queue=queue, compare_batch=False)


def positive_of(contrast: ContrastBatch, i: int) -> int:
    """The candidate that is the other view of anchor ``i``."""
    assert contrast.other_view_positions is not None
    return int(contrast.other_view_positions[i])


def slow(contrast: ContrastBatch, compared: list[list[int]], temperature: float) -> float:
    """Mean of the negative log of the positive's share, one candidate after the other."""
    total = 0.0
    for i, candidates in enumerate(compared):
        powers = {j: math.exp(similarity(contrast, i, j, temperature)) for j in candidates}
        total -= math.log(powers[positive_of(contrast, i)] / sum(powers.values()))
    return total / len(compared)


def other_classes(contrast: ContrastBatch, i: int, candidates: list[int]) -> list[int]:
    """Those of other classes, and the other view."""
    own, positive = int(contrast.anchor_labels[i]), positive_of(contrast, i)
    return [j for j in candidates if int(contrast.candidate_labels[j]) != own or j == positive]


@pytest.mark.parametrize("temperature", [0.07, 0.2, 1.0])
def test_a_query_meets_its_key_and_the_queue_of_other_classes(temperature: float) -> None:
    labels = [0, 1, 2, 1]
    contrast = moco(labels, QUEUE_LABELS)
    compared = [[i, *(4 + j for j, other in enumerate(QUEUE_LABELS) if other != own)] for i, own in enumerate(labels)]
    value = InstanceContrastLoss(temperature)(contrast)
    assert value.item() == pytest.approx(slow(contrast, compared, temperature), rel=1e-12)


def test_with_the_images_of_the_batch() -> None:
    contrast = two_view_contrast(num_images=7, num_classes=3, queue=9)
    compared = [other_classes(contrast, i, others(contrast, i)) for i in range(14)]
    assert {len(row) for row in compared} != {len(others(contrast, 0))}, "some are left out"
    assert InstanceContrastLoss(0.3)(contrast).item() == pytest.approx(slow(contrast, compared, 0.3), rel=1e-12)


@pytest.mark.parametrize("contrast", [moco([0, 1, 2, 1], QUEUE_LABELS), two_view_contrast()], ids=["queue", "batch"])
def test_nothing_left_out_is_info_nce(contrast: ContrastBatch) -> None:
    """As the cross-entropy of the positive's place; the labels play no part."""
    scores = (contrast.cosine / 0.2).masked_fill(~contrast.valid, -torch.inf)
    positives = torch.tensor([positive_of(contrast, i) for i in range(len(scores))])
    expected = F.cross_entropy(scores, positives).item()
    assert InstanceContrastLoss(skip_same_class=False)(contrast).item() == pytest.approx(expected, rel=1e-12)
    assert KCLLoss(0, 0.2)(contrast).item() == pytest.approx(expected, rel=1e-12)
    assert InstanceContrastLoss()(contrast).item() < expected


def test_a_queue_of_other_classes_gives_info_nce() -> None:
    contrast = moco([0, 1, 0], [4, 5, 6, 5])
    plain = InstanceContrastLoss(skip_same_class=False)(contrast)
    assert InstanceContrastLoss()(contrast).item() == pytest.approx(plain.item(), rel=1e-15)


def test_a_queue_of_the_same_class_leaves_nothing_to_tell_apart() -> None:
    contrast = moco([1, 1], [1, 1, 1])
    loss = InstanceContrastLoss()(contrast)
    [gradient] = torch.autograd.grad(loss, contrast.anchors)
    assert loss.item() == pytest.approx(0, abs=1e-15)
    assert gradient.abs().max() < 1e-15


def test_gradient() -> None:
    contrast = moco([0, 1, 2, 1], QUEUE_LABELS)

    def value(anchors: torch.Tensor) -> torch.Tensor:
        return InstanceContrastLoss(0.3)(dataclasses.replace(contrast, anchors=anchors))

    assert torch.autograd.gradcheck(value, F.normalize(contrast.anchors.detach(), dim=1).requires_grad_())


@pytest.mark.parametrize("temperature", [0.0, -0.1, math.inf, math.nan])
def test_temperature_is_checked(temperature: float) -> None:
    with pytest.raises(UserInputError, match=r"temperature=.* of InstanceContrastLoss must be positive"):
        InstanceContrastLoss(temperature)
