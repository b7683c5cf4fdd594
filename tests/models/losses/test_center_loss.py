"""Center loss: its value and the update of its centres, against loops and against gradient descent on parameters."""

from __future__ import annotations

import copy
import math
from pathlib import Path
from typing import Any

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor

from lt_plugins.errors import UserInputError
from lt_plugins.models.losses import CenterLoss
from lt_plugins.models.structures import LabelBatch
from tests.gloo import run_gloo

NUM_CLASSES, CHANNELS = 5, 7
LABELS = torch.tensor([0, 3, 3, 1, 0, 3, 4, 1])  # class 2 is absent
SETTINGS = [(distance, update) for distance in ("squared", "cosine") for update in ("class", "batch")]


def features(seed: int = 0, images: int = len(LABELS)) -> Tensor:
    return torch.randn(images, CHANNELS, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)


def mixed(share: float = 0.7) -> Tensor:
    """Shares of each image and of the one before."""
    one_hot = F.one_hot(LABELS, NUM_CLASSES).double()
    return share * one_hot + (1 - share) * one_hot.roll(1, dims=0)


def samples(target: Tensor) -> LabelBatch:
    return LabelBatch(target) if target.ndim == 1 else LabelBatch(target.argmax(1), scores=target)


def build(**settings: Any) -> CenterLoss:
    loss = CenterLoss(**{"weights": 0.3, **settings}).double()
    step(loss, features(9), LABELS)
    return loss


def step(loss: CenterLoss, rows: Tensor, target: Tensor) -> Tensor:
    return loss(rows, torch.zeros(len(rows), NUM_CLASSES, dtype=rows.dtype), samples(target))


def slow(
    centres: list[list[float]],
    rows: list[list[float]],
    shares: list[list[float]],
    distance: str,
    update: str,
    lr: float,
) -> tuple[float, list[list[float]]]:
    """Mean distance, and the centres afterwards, number by number."""

    def dot(left: list[float], right: list[float]) -> float:
        return sum(a * b for a, b in zip(left, right, strict=True))

    total = 0.0
    for row, of_class in zip(rows, shares, strict=True):
        for centre, share in zip(centres, of_class, strict=True):
            if distance == "squared":
                total += share * sum((a - b) ** 2 for a, b in zip(row, centre, strict=True))
            else:
                total += share * (1 - dot(row, centre) / math.sqrt(dot(row, row) * dot(centre, centre)))
    moved = []
    for index, centre in enumerate(centres):
        gradient, count = [0.0] * len(centre), 0.0
        for row, of_class in zip(rows, shares, strict=True):
            count += of_class[index]
            long = math.sqrt(dot(row, row)), math.sqrt(dot(centre, centre))
            cosine = dot(row, centre) / (long[0] * long[1])
            for place, (a, b) in enumerate(zip(row, centre, strict=True)):
                toward = a - b if distance == "squared" else (a / long[0] - cosine * b / long[1]) / long[1]
                gradient[place] += of_class[index] * toward
        factor = 1 / (1 + count) if update == "class" else (2 if distance == "squared" else 1) / len(rows)
        moved.append([b + lr * factor * g for b, g in zip(centre, gradient, strict=True)])
    return total / len(rows), moved


@pytest.mark.parametrize(("distance", "update"), SETTINGS)
@pytest.mark.parametrize("target", [LABELS, mixed()], ids=["one label", "mixed"])
def test_value_and_update_are_those_of_the_formulas(distance: str, update: str, target: Tensor) -> None:
    loss = build(distance=distance, update=update)
    before, rows = loss.centres.clone(), features()
    value = step(loss, rows, target)
    shares = F.one_hot(target, NUM_CLASSES).double() if target.ndim == 1 else target
    expected, moved = slow(before.tolist(), rows.tolist(), shares.tolist(), distance, update, 0.5)
    assert float(value) == pytest.approx(0.3 * expected, rel=1e-12)
    torch.testing.assert_close(loss.centres, torch.tensor(moved, dtype=torch.float64), rtol=1e-12, atol=1e-14)
    if target is LABELS:
        assert torch.equal(loss.centres[2], before[2]), "the centre of an absent class stays"


@pytest.mark.parametrize("distance", ["squared", "cosine"])
def test_the_batch_rule_is_gradient_descent_on_the_unweighted_loss(distance: str) -> None:
    """As the released code of IFL does it: centres as parameters, whose gradient is divided by the weight."""
    loss = build(distance=distance, update="batch", weights=0.001)
    centres = loss.centres.clone().requires_grad_()
    optimizer = torch.optim.SGD([centres], lr=0.5)
    for turn in range(5):
        rows = features(turn)
        value = step(loss, rows, LABELS)
        own = centres[LABELS]
        distances = (rows - own).square().sum(1) if distance == "squared" else 1 - F.cosine_similarity(rows, own)
        other = 0.001 * distances.mean()
        optimizer.zero_grad()
        other.backward()
        assert centres.grad is not None
        centres.grad /= 0.001
        optimizer.step()
        torch.testing.assert_close(value, other.detach())
        torch.testing.assert_close(loss.centres, centres.detach(), rtol=1e-10, atol=1e-12)


@pytest.mark.parametrize("distance", ["squared", "cosine"])
def test_the_gradient_of_the_features(distance: str) -> None:
    loss = build(distance=distance)

    def value(rows: Tensor) -> Tensor:
        return copy.deepcopy(loss).eval()(rows, torch.zeros(len(rows), NUM_CLASSES), samples(mixed()))

    assert torch.autograd.gradcheck(value, features().requires_grad_())


def test_a_mixture_of_one_class_is_that_class() -> None:
    one, other = build(), build()
    torch.testing.assert_close(
        step(one, features(), LABELS), step(other, features(), F.one_hot(LABELS, NUM_CLASSES).double())
    )
    torch.testing.assert_close(one.centres, other.centres)


def test_centres_reach_the_means_of_still_features() -> None:
    loss = build(weights=0.0)
    for _ in range(200):
        step(loss, features(), LABELS)
    for label in (0, 1, 3, 4):
        torch.testing.assert_close(loss.centres[label], features()[label == LABELS].mean(0))
    assert float(loss.mean_distance(features()[6:7], [(LABELS[6:7], None)])) == pytest.approx(0, abs=1e-20)


@pytest.mark.parametrize("moves", [True, False])
def test_centres_while_the_weight_is_zero(moves: bool) -> None:
    loss = CenterLoss(weights=[(2, 0.5), (3, 0.25)], moves_at_zero=moves).double()
    for epoch, weight in enumerate((0.0, 0.0, 0.5, 0.25)):
        assert loss.set_epoch(epoch, 4) == f"weight {weight:g}"
        step(loss, features(8), LABELS)
        before = loss.centres.clone()
        rows = features(epoch).requires_grad_()
        value = step(loss, rows, LABELS)
        assert (value.requires_grad, float(value.detach()) > 0) == (weight > 0, weight > 0)
        assert torch.equal(before, loss.centres) == (weight == 0 and not moves)
    fresh = CenterLoss().double()
    step(fresh.eval(), features(), LABELS)
    assert torch.equal(fresh.centres[0], torch.randn(5, 7, generator=torch.Generator().manual_seed(0))[0].double())


def test_two_batches_of_one_step_are_one_batch() -> None:
    for distance, update in SETTINGS:
        one, other = build(distance=distance, update=update), build(distance=distance, update=update)
        whole = step(one, features(), mixed())
        halves = []
        for start, flags in ((0, (True, False)), (4, (False, True))):
            other.starts_step, other.ends_step = flags
            halves.append(step(other, features()[start : start + 4], mixed()[start : start + 4]))
        torch.testing.assert_close(torch.stack(halves).mean(), whole)
        torch.testing.assert_close(other.centres, one.centres)


def test_the_second_pass_of_a_step_moves_the_centres_by_the_first() -> None:
    """Both losses are of the same centres."""
    loss, other = build(), build()
    whole = step(loss, features(), LABELS)
    other.ends_step = False
    assert torch.equal(step(other, features(), LABELS), whole)
    other.starts_step, other.ends_step, other.repeats_batch = False, True, True
    assert not torch.equal(step(other, 2 * features(), LABELS), whole)
    assert torch.equal(other.centres, loss.centres)


def test_what_moves_no_centre() -> None:
    loss = build()
    before = loss.centres.clone()
    step(loss.eval(), features(), LABELS)
    loss.train().repeats_batch = True
    step(loss, features(), LABELS)
    loss.repeats_batch = False
    broken = features()
    broken[3, 2] = torch.inf
    step(loss, broken, LABELS)
    loss.ends_step = False
    step(loss, broken, LABELS)
    loss.starts_step, loss.ends_step = False, True
    step(loss, features(), LABELS)  # of the same step, which mixed precision skips
    assert torch.equal(loss.centres, before)
    loss.starts_step = True
    step(loss, features(), LABELS)
    assert not torch.equal(loss.centres, before)


def test_first_centres_follow_from_the_seed() -> None:
    first = []
    for seed in (3, 3, 4):
        loss = CenterLoss(lr=0.0).double()
        loss.set_seed(seed)
        torch.rand(seed)
        step(loss, features(), LABELS)
        first.append(loss.centres)
    assert torch.equal(first[0], first[1])
    assert not torch.equal(first[0], first[2])


def test_centres_are_loaded_with_their_size() -> None:
    loss, other = build(), CenterLoss()
    assert [*loss.state_dict()] == ["centres"]
    other.load_state_dict(loss.state_dict())
    torch.testing.assert_close(other.centres, loss.centres.float())


def test_centres_of_other_classes_or_features_are_drawn_anew() -> None:
    """As where a run starts from a checkpoint of another data set."""
    loss, other = build(), CenterLoss()
    other.load_state_dict({"centres": torch.ones(3, CHANNELS)})
    step(other.double().eval(), features(), LABELS)
    step(loss, torch.zeros(2, 4).double(), LABELS[:2])
    assert (other.centres.shape, loss.centres.shape) == ((NUM_CLASSES, CHANNELS), (NUM_CLASSES, 4))


def ranks_centres(distance: str, update: str, broken: bool) -> tuple[Tensor, Tensor]:
    rank, half = torch.distributed.get_rank(), len(LABELS) // 2
    loss = build_half(rank, distance=distance, update=update)
    rows = features()[rank * half :][:half]
    if broken and rank == 1:
        rows[0, 0] = torch.nan
    return step(loss, rows, mixed()[rank * half :][:half]), loss.centres


def build_half(rank: int, **settings: Any) -> CenterLoss:
    """The loss after the step of :func:`build`, half of whose images each process has."""
    loss, half = CenterLoss(weights=0.3, **settings).double(), len(LABELS) // 2
    step(loss, features(9)[rank * half :][:half], LABELS[rank * half :][:half])
    return loss


def all_settings() -> list[Tensor]:
    found: list[Tensor] = []
    for distance, update in SETTINGS:
        for broken in (False, True):
            found += ranks_centres(distance, update, broken)
    return found


def test_two_processes_are_one(tmp_path: Path) -> None:
    first, second = run_gloo(all_settings, folder=tmp_path)
    for index, (distance, update) in enumerate(SETTINGS):
        loss = build(distance=distance, update=update)
        before = loss.centres.clone()
        value = step(loss, features(), mixed())
        for place, expected in ((4 * index, loss.centres), (4 * index + 2, before)):  # whole, then with a NaN
            torch.testing.assert_close(first[place + 1], expected)
            assert torch.equal(first[place + 1], second[place + 1])
        torch.testing.assert_close((first[4 * index] + second[4 * index]) / 2, value)


def test_settings_without_meaning_are_refused() -> None:
    for settings, message in (
        ({"distance": "l1"}, "distance='l1' must be one of"),
        ({"update": "mean"}, "update='mean' must be one of"),
        ({"lr": -0.5}, "lr=-0.5 of the centres must be 0 or more"),
        ({"weights": -1.0}, "weights=-1.0 must be a weight of 0 or more"),
        ({"weights": []}, "pairs of an epoch"),
        ({"weights": [(0.5, 1.0)]}, "pairs of an epoch"),
        ({"weights": [(5, 1.0), (3, 2.0)]}, "must have ascending epochs"),
    ):
        with pytest.raises(UserInputError, match=message):
            CenterLoss(**settings)
