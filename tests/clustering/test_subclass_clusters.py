"""All classes at once give what Algorithm 1 gives class by class, by loops in double precision."""

from __future__ import annotations

import math

import pytest
import torch
import torch.nn.functional as F
from hypothesis import given, settings
from hypothesis import strategies as st

from lt_plugins.clustering import SubclassClusters, subclass_clusters
from lt_plugins.errors import UserInputError

Vector = list[float]


def normalise(vector: Vector) -> Vector:
    length = math.sqrt(math.fsum(x * x for x in vector))
    return [x / length for x in vector] if length > 0 else vector


def cosine(u: Vector, centre: Vector) -> float:
    return math.fsum(a * b for a, b in zip(u, normalise(centre), strict=True))


def mean(members: list[Vector]) -> Vector:
    return [math.fsum(column) / len(members) for column in zip(*members, strict=True)]


def assign(unit: list[Vector], centres: list[Vector], capacity: int | None) -> list[int]:
    """The inner loop of Algorithm 1, or the nearest centre of each if there is no capacity."""
    pairs = sorted((-cosine(u, c), i, j) for i, u in enumerate(unit) for j, c in enumerate(centres))
    assignment, size = [-1] * len(unit), [0] * len(centres)
    for _, i, j in pairs:
        if assignment[i] == -1 and (capacity is None or size[j] < capacity):
            assignment[i] = j
            size[j] += 1
    return assignment


def cluster_class(
    unit: list[Vector], k: int, chosen: list[int], capacity: int | None, max_iters: int
) -> tuple[list[int], int, bool]:
    """Algorithm 1 for one class: assignment, how many were made, and whether the last one changed nothing."""
    while len(chosen) < k:
        rest = [i for i in range(len(unit)) if i not in chosen]
        chosen.append(min(rest, key=lambda i: max(cosine(unit[i], unit[j]) for j in chosen)))
    centres = [unit[i] for i in chosen]
    assignment = [-1] * len(unit)
    for iteration in range(1, max_iters + 1):
        new = assign(unit, centres, capacity)
        if new == assignment:
            return new, iteration, True
        assignment = new
        for j in range(k):
            members = [u for u, a in zip(unit, assignment, strict=True) if a == j]
            centres[j] = mean(members) if members else centres[j]
    return assignment, max_iters, False


def reference(
    features: torch.Tensor,
    labels: list[int],
    min_size: int,
    max_iters: int,
    seed: int,
    balanced: bool,
    rounding: str = "up",
    start: str = "farthest",
) -> SubclassClusters:
    number = max(labels) + 1 if start == "farthest" else len(labels)
    draw = torch.rand(number, dtype=torch.float64, generator=torch.Generator().manual_seed(seed)).tolist()
    capacity = max(min_size, min(labels.count(c) for c in labels))
    subclass, num_iters, num_unsettled = [-1] * len(labels), 0, 0
    owner: list[int] = []
    cosines: list[float] = []
    for c in sorted(set(labels)):
        positions = [i for i, label in enumerate(labels) if label == c]
        unit = [normalise(features[i].tolist()) for i in positions]
        k = math.ceil(len(unit) / capacity) if rounding == "up" else max(1, len(unit) // capacity)
        assignment = [0] * len(unit)
        if k > 1:
            if start == "farthest":
                chosen = [math.floor(draw[c] * len(unit))]
            else:  # the images in a random order, of which the first k
                chosen = sorted(range(len(unit)), key=lambda i: draw[positions[i]])[:k]
            assignment, iters, settled = cluster_class(unit, k, chosen, capacity if balanced else None, max_iters)
            num_iters, num_unsettled = max(num_iters, iters), num_unsettled + (not settled)
        for j in sorted(set(assignment)):
            members = [i for i, a in enumerate(assignment) if a == j]
            for i in members:
                subclass[positions[i]] = len(owner)
            owner.append(c)
            if k > 1:
                cosines += [cosine(unit[i], mean([unit[i] for i in members])) for i in members]
    mean_cosine = math.fsum(cosines) / len(cosines) if cosines else 1.0
    return SubclassClusters(torch.tensor(subclass), torch.tensor(owner), mean_cosine, num_iters, num_unsettled)


def random_features(num: int, seed: int, dim: int = 4) -> torch.Tensor:
    generator = torch.Generator().manual_seed(seed)
    directions = torch.randn(5, dim, generator=generator, dtype=torch.float64)
    which = torch.randint(5, (num,), generator=generator)
    return directions[which] + torch.randn(num, dim, generator=generator, dtype=torch.float64)


@given(
    labels=st.lists(st.sampled_from([0, 0, 0, 1, 1, 2, 4]), min_size=1, max_size=40),
    min_size=st.integers(1, 8),
    max_iters=st.integers(1, 12),
    seed=st.integers(0, 10_000),
    balanced=st.booleans(),
)
@settings(max_examples=150, deadline=None)
def test_result_is_algorithm_1(labels: list[int], min_size: int, max_iters: int, seed: int, balanced: bool) -> None:
    features = random_features(len(labels), seed)
    expected = reference(features, labels, min_size, max_iters, seed, balanced)
    # A power of two scales without rounding, which could break a tie otherwise.
    actual = subclass_clusters(4 * features, torch.tensor(labels), min_size, max_iters, seed, balanced)
    assert actual.subclass.tolist() == expected.subclass.tolist()
    assert actual.subclass_to_class.tolist() == expected.subclass_to_class.tolist()
    assert actual.mean_cosine == pytest.approx(expected.mean_cosine, abs=1e-9)
    assert actual[3:] == expected[3:]


@given(
    labels=st.lists(st.sampled_from([0, 0, 0, 1, 1, 2, 4]), min_size=1, max_size=40),
    min_size=st.integers(1, 8),
    max_iters=st.integers(1, 12),
    seed=st.integers(0, 10_000),
    rounding=st.sampled_from(["up", "down"]),
    start=st.sampled_from(["farthest", "random"]),
)
@settings(max_examples=100, deadline=None)
def test_plain_kmeans_of_the_released_code(
    labels: list[int], min_size: int, max_iters: int, seed: int, rounding: str, start: str
) -> None:
    features = random_features(len(labels), seed)
    expected = reference(features, labels, min_size, max_iters, seed, False, rounding, start)
    actual = subclass_clusters(features, torch.tensor(labels), min_size, max_iters, seed, False, rounding, start)
    assert actual.subclass.tolist() == expected.subclass.tolist()
    assert actual.mean_cosine == pytest.approx(expected.mean_cosine, abs=1e-9)
    assert actual[3:] == expected[3:]


def test_number_of_subclasses_of_the_released_code() -> None:
    """1,051 on CIFAR-100-LT, imbalance factor 100, as counted there; 70 classes are split."""
    counts = torch.tensor([int(500 * 0.01 ** (c / 99)) for c in range(100)])
    labels = torch.arange(100).repeat_interleave(counts)
    features = torch.randn(len(labels), 16, generator=torch.Generator().manual_seed(0))
    result = subclass_clusters(features, labels, 10, 1, balanced=False, rounding="down", start="random")
    assert len(result.subclass_to_class) == int((counts // 10).clamp(min=1).sum())


def long_tail(dim: int = 16, seed: int = 0) -> tuple[torch.Tensor, torch.Tensor]:
    """Shuffled features of classes of 200 to 3 samples, one of which has none."""
    counts = torch.tensor([200, 120, 70, 0, 41, 30, 12, 11, 10, 9, 3])
    generator = torch.Generator().manual_seed(seed)
    labels = torch.arange(len(counts)).repeat_interleave(counts)
    labels = labels[torch.randperm(len(labels), generator=generator)]
    class_means = torch.randn(len(counts), dim, generator=generator)
    return class_means[labels] + torch.randn(len(labels), dim, generator=generator), labels


@pytest.mark.parametrize("balanced", [True, False])
def test_subclasses_lie_within_classes_and_are_numbered_by_class(balanced: bool) -> None:
    features, labels = long_tail()
    result = subclass_clusters(features, labels, min_size=10, balanced=balanced)
    assert result.subclass.dtype == result.subclass_to_class.dtype == torch.int64
    assert torch.equal(result.subclass_to_class[result.subclass], labels)
    assert result.subclass.unique().tolist() == list(range(len(result.subclass_to_class)))
    assert result.subclass_to_class.tolist() == sorted(result.subclass_to_class.tolist())
    sizes, whole = torch.bincount(result.subclass), torch.bincount(result.subclass_to_class, minlength=11) == 1
    assert whole[8:].all() and not whole[:8].any()
    if balanced:
        # One of class 4's five subclasses, and of class 7's two, holds what the full ones leave.
        assert torch.bincount(result.subclass_to_class).tolist() == [20, 12, 7, 0, 5, 3, 2, 2, 1, 1, 1]
        assert sizes.max() == 10
        assert (sizes[result.subclass_to_class < 3] == 10).all()


def test_the_smallest_class_sets_the_capacity_if_it_is_larger_than_min_size() -> None:
    labels = torch.arange(2).repeat_interleave(torch.tensor([60, 25]))
    result = subclass_clusters(random_features(85, 0), labels, min_size=10)
    assert torch.bincount(result.subclass_to_class).tolist() == [3, 1]
    assert torch.bincount(result.subclass).max() <= 25


def test_balanced_subclasses_are_looser_than_k_means_but_far_tighter_than_chance() -> None:
    features, labels = long_tail()
    balanced, plain = (subclass_clusters(features, labels, balanced=b) for b in (True, False))
    started = subclass_clusters(features, labels, max_iters=1)
    chance = subclass_clusters(features[torch.randperm(len(features))], labels, max_iters=1).mean_cosine
    assert plain.mean_cosine > balanced.mean_cosine > started.mean_cosine > chance
    assert started.num_iters == 1 and started.num_unsettled == 7
    assert balanced.num_iters > 2 and balanced.num_unsettled == 0


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
def test_separate_subclasses_of_the_right_size_are_found(dtype: torch.dtype) -> None:
    generator = torch.Generator().manual_seed(0)
    truth = torch.arange(8).repeat_interleave(10)[torch.randperm(80, generator=generator)]
    features = torch.eye(8)[truth] + 0.05 * torch.randn(80, 8, generator=generator)
    features, labels = torch.cat([features, torch.rand(10, 8, generator=generator)]), torch.ones(90, dtype=torch.long)
    labels[80:] = 0
    result = subclass_clusters(features.to(dtype), labels)
    assert len({(int(a), int(b)) for a, b in zip(result.subclass[:80], truth, strict=True)}) == 8
    assert result.mean_cosine > 0.98


def test_result_follows_its_seed_and_nothing_else() -> None:
    features, labels = long_tail()
    kept = features.clone()
    before = torch.get_rng_state()
    first = subclass_clusters(features.requires_grad_(), labels, seed=1)
    assert torch.equal(torch.get_rng_state(), before)
    assert torch.equal(features, kept)
    torch.rand(5)
    again = subclass_clusters(features, labels, seed=1)
    assert torch.equal(first.subclass, again.subclass) and first[2:] == again[2:]
    assert not torch.equal(first.subclass, subclass_clusters(features, labels, seed=2).subclass)


@pytest.mark.parametrize("balanced", [True, False])
def test_how_classes_are_grouped_does_not_matter(balanced: bool, monkeypatch: pytest.MonkeyPatch) -> None:
    features, labels = long_tail()
    together = subclass_clusters(features.double(), labels, balanced=balanced)
    monkeypatch.setitem(subclass_clusters.__globals__, "MAX_ENTRIES", 1)
    apart = subclass_clusters(features.double(), labels, balanced=balanced)
    assert torch.equal(apart.subclass, together.subclass)
    assert apart.mean_cosine == pytest.approx(together.mean_cosine, abs=1e-12)
    assert apart[3:] == together[3:]


def test_samples_of_a_class_may_lie_anywhere_among_the_others() -> None:
    features, labels = long_tail()
    order = labels.argsort(stable=True)
    mixed, sorted_ = subclass_clusters(features, labels), subclass_clusters(features[order], labels[order])
    assert torch.equal(mixed.subclass[order], sorted_.subclass)


@pytest.mark.parametrize("value", [0.0, 0.25])
def test_equal_features_are_shared_out_evenly(value: float) -> None:
    features, labels = value * torch.eye(5)[:1].repeat(37, 1), torch.zeros(37, dtype=torch.long)
    labels[:4] = 1
    result = subclass_clusters(features, labels, min_size=10)
    assert torch.bincount(result.subclass).tolist() == [10, 10, 10, 3, 4]
    assert result.mean_cosine == pytest.approx(1 if value else 0, abs=1e-6)
    assert result.num_unsettled == 0
    # Nearest centre: all go to the first, and the empty ones leave no gap in the numbers.
    plain = subclass_clusters(features, labels, min_size=10, balanced=False)
    assert torch.bincount(plain.subclass).tolist() == [33, 4]
    assert plain.subclass_to_class.tolist() == [0, 1]


def test_nothing_is_split_where_classes_are_small() -> None:
    labels = torch.tensor([5, 5, 2, 2, 2, 0])
    result = subclass_clusters(torch.rand(6, 3), labels, min_size=3)
    assert result.subclass.tolist() == [2, 2, 1, 1, 1, 0]
    assert result.subclass_to_class.tolist() == [0, 2, 5]
    assert result[2:] == (1.0, 0, 0)


def test_one_class_stays_whole_because_it_is_its_own_smallest() -> None:
    assert subclass_clusters(
        torch.rand(50, 3), torch.zeros(50, dtype=torch.long), min_size=5
    ).subclass.unique().tolist() == [0]


def test_float32_settles_like_float64() -> None:
    features, labels = long_tail()
    single, double = subclass_clusters(features, labels), subclass_clusters(features.double(), labels)
    assert (single.subclass == double.subclass).float().mean() > 0.99
    unit = F.normalize(features.double(), dim=1)
    centres = torch.stack([unit[single.subclass == s].mean(0) for s in range(len(single.subclass_to_class))])
    split = torch.bincount(labels)[labels] > 10
    cosines = F.cosine_similarity(unit, centres[single.subclass], dim=1)[split]
    assert single.mean_cosine == pytest.approx(float(cosines.mean()), abs=1e-6)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (dict(features=torch.zeros(6)), r"got torch.float32 \(6,\) and \(6,\)"),
        (dict(features=torch.zeros(6, 2, dtype=torch.long)), "must be floating"),
        (dict(labels=torch.zeros(5, dtype=torch.long)), r"got torch.float32 \(6, 2\) and \(5,\)"),
        (dict(features=torch.zeros(0, 2), labels=torch.zeros(0, dtype=torch.long)), "N >= 1"),
        (dict(labels=torch.tensor([0, 1, 2, -1, 0, 0])), "labels must be classes from 0 up, got -1"),
        (dict(features=torch.full((6, 2), math.nan)), "not finite"),
        (dict(features=torch.full((6, 2), -math.inf)), "not finite"),
        (dict(min_size=0), "min_size=0 and max_iters=50 must be at least 1"),
        (dict(max_iters=0), "max_iters=0 must be at least 1"),
        (dict(rounding="floor"), "rounding='floor' must be one of"),
        (dict(start="kmeans++"), r"start='kmeans\+\+' must be one of"),
        (dict(rounding="down"), "set balanced=False"),
    ],
)
def test_what_cannot_be_is_refused(change: dict, message: str) -> None:
    arguments = dict(features=torch.ones(6, 2), labels=torch.zeros(6, dtype=torch.long))
    with pytest.raises(UserInputError, match=message):
        subclass_clusters(**{**arguments, **change})
