"""Centroid loss: values and gradients against loops, both hinges, and two processes that are one."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor

from lt_plugins.distributed import rank_and_world_size
from lt_plugins.errors import UserInputError
from lt_plugins.models.losses import CenterLoss, CentroidLoss
from lt_plugins.models.structures import LabelBatch
from tests.battery import noise
from tests.gloo import run_gloo

NUM_CLASSES, CHANNELS = 5, 7
LABELS = torch.tensor([0, 3, 3, 1, 0, 3, 4, 1])  # class 2 is absent
SETTINGS: list[dict[str, Any]] = [
    {"margin": 30.0, "repel_weight": 0.7},  # the mean of the batch lies within the margin
    {"margin": 2.0},  # and here not
    {"margin": 14.0, "repel_weight": 0.7, "hinge": "sample"},  # some images do, some do not
    {"margin": 14.0, "repel_weight": 0.7, "weights": 0.0},
]


def features(seed: int = 0) -> Tensor:
    return noise(len(LABELS), CHANNELS, seed=seed).double()


def build(**settings: Any) -> CentroidLoss:
    loss = CentroidLoss(NUM_CLASSES, CHANNELS, **{"weights": 0.3, **settings}).double()
    loss.set_centroids(noise(NUM_CLASSES, CHANNELS, seed=5).double())
    return loss


def step(loss: Any, rows: Tensor, labels: Tensor = LABELS) -> Tensor:
    return loss(rows, noise(len(rows), NUM_CLASSES), LabelBatch(labels))


def squared(a: list[float], b: list[float]) -> float:
    return sum((x - y) ** 2 for x, y in zip(a, b, strict=True))


def slow_parts(rows: Tensor, centroids: Tensor, margin: float, hinge: str) -> tuple[float, float, list[bool]]:
    """Attraction and repulsion without weights, and which images lie within the margin."""
    attract, distances = 0.0, []
    for v, label in zip(rows.tolist(), LABELS.tolist(), strict=True):
        attract += squared(v, centroids[label].tolist()) / (2 * len(LABELS))
        others = sum(squared(v, centroids[j].tolist()) for j in range(NUM_CLASSES) if j != label)
        distances.append(others / NUM_CLASSES)
    mean = sum(distances) / len(distances)
    if hinge == "batch":
        return attract, max(margin - mean, 0.0), [mean < margin] * len(distances)
    repel = sum(max(margin - distance, 0.0) for distance in distances) / len(distances)
    return attract, repel, [distance < margin for distance in distances]


@pytest.mark.parametrize("settings", SETTINGS)
def test_value_and_gradients_are_those_of_the_formula(settings: dict[str, Any]) -> None:
    loss, rows = build(**settings), features().requires_grad_()
    value = step(loss, rows)
    value.backward()
    attract, repel, within = slow_parts(rows, loss.centroids, loss.margin, loss.hinge)
    assert value.item() == pytest.approx(loss.weight * (attract + loss.repel_weight * repel), rel=1e-12)
    if loss.hinge == "sample":
        assert 0 < sum(within) < len(within)
    count = len(LABELS)
    for_features = torch.zeros(count, CHANNELS, dtype=torch.float64)
    for_centroids = torch.zeros(NUM_CLASSES, CHANNELS, dtype=torch.float64)
    per_class = LABELS.tolist()
    for i, label in enumerate(per_class):
        v = rows.detach()[i]
        pull = v - loss.centroids.detach()[label]
        for_features[i] += loss.weight * pull / count
        for_centroids[label] -= pull / count / (1 + per_class.count(label))  # without the weight
        for j in range(NUM_CLASSES):
            if j != label and within[i]:
                push = 2 * (v - loss.centroids.detach()[j]) / (count * NUM_CLASSES) * loss.weight * loss.repel_weight
                for_features[i] -= push
                for_centroids[j] += push
    torch.testing.assert_close(rows.grad, for_features)
    torch.testing.assert_close(loss.centroids.grad, for_centroids)


def test_without_repulsion_it_is_half_a_center_loss_with_its_rule() -> None:
    """Plain descent at the batch size times a rate makes the step of the original rule at that rate."""
    loss, rate = build(repel_weight=0.0), 0.5
    center = CenterLoss(update="class", lr=rate, weights=0.15).double()
    step(center, features(9))
    center.centres.copy_(loss.centroids.detach())
    optimizer = torch.optim.SGD(loss.parameters(), lr=rate * len(LABELS))
    value = step(loss, features())
    value.backward()
    torch.testing.assert_close(value.detach(), step(center, features()))
    optimizer.step()
    torch.testing.assert_close(loss.centroids.detach(), center.centres)


def test_one_image_a_batch_has_the_same_hinges() -> None:
    rows = features()[:1]
    values = [step(build(margin=30.0, hinge=hinge), rows, LABELS[:1]).item() for hinge in ("batch", "sample")]
    assert values[0] == pytest.approx(values[1], rel=1e-12)


def test_the_weight_of_an_epoch_leaves_the_rule_alone() -> None:
    loss = build(repel_weight=0.0, weights=[(1, 0.5)])
    gradients = []
    for epoch in (0, 1):
        loss.set_epoch(epoch, 2)
        rows = features().requires_grad_()
        loss.zero_grad()
        value = step(loss, rows)
        value.backward()
        assert loss.centroids.grad is not None and rows.grad is not None
        gradients.append(loss.centroids.grad.clone())
        assert (value.item() > 0, bool(rows.grad.any())) == (epoch == 1, epoch == 1)
    torch.testing.assert_close(*gradients)


def test_half_precision_does_not_reach_the_distances() -> None:
    loss, rows = build(margin=30.0).float(), features().bfloat16()
    exact = step(loss, rows.float())
    with torch.autocast("cpu", torch.bfloat16):
        assert torch.equal(step(loss, rows), exact)


def loss_of_this_share() -> list[Tensor]:
    """Centroids after some steps of an optimiser with momentum and decay, as DDP takes them, and the last gradients."""
    rank, world_size = rank_and_world_size()
    share, found = len(LABELS) // world_size, []
    for settings in SETTINGS:
        loss = build(**settings)
        optimizer = torch.optim.SGD(loss.parameters(), lr=0.5, momentum=0.9, weight_decay=5e-4)
        for seed in range(3):
            rows = features(seed)[rank * share :][:share].requires_grad_()
            optimizer.zero_grad()
            value = step(loss, rows, LABELS[rank * share :][:share])
            value.backward()
            assert loss.centroids.grad is not None
            if world_size > 1:
                torch.distributed.all_reduce(loss.centroids.grad)
                loss.centroids.grad /= world_size
            optimizer.step()
        assert rows.grad is not None
        # Features get the gradient of the sum over processes, of which DDP takes the mean.
        found += [loss.centroids.detach(), value.detach(), rows.grad / world_size]
    return found


def test_two_processes_are_one(tmp_path: Path) -> None:
    """Also where the hinge on the mean and the counts of classes are not those of a share."""
    alone = loss_of_this_share()
    ranks = run_gloo(loss_of_this_share, folder=tmp_path)
    for index, expected in enumerate(alone):
        if index % 3 == 2:
            torch.testing.assert_close(torch.cat([found[index] for found in ranks]), expected)
        else:
            assert torch.equal(ranks[0][index], ranks[1][index])
            torch.testing.assert_close(ranks[0][index], expected)


def test_settings_without_meaning_are_refused() -> None:
    for settings, message in (
        ({"margin": -1.0}, "margin=-1.0"),
        ({"repel_weight": -0.1}, "repel_weight=-0.1 must be 0 or more"),
        ({"hinge": "image"}, "hinge='image' must be one of"),
        ({"weights": -1.0}, "weights=-1.0 must be a weight of 0 or more"),
    ):
        with pytest.raises(UserInputError, match=message):
            build(**settings)
    with pytest.raises(UserInputError, match=r"centroids \(2, 7\) must be \(classes, channels\)=\(5, 7\)"):
        build().set_centroids(torch.zeros(2, CHANNELS))
