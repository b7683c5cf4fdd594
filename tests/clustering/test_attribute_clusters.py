"""Attributes by clustering: ranks, merging, restarts, groups, and how stable they are."""

from __future__ import annotations

from collections import Counter
from itertools import combinations

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from sklearn.metrics import adjusted_rand_score

from lt_plugins.clustering import ClusterSettings, attribute_clusters, cluster_stability
from lt_plugins.clustering.attribute_clusters import adjusted_rand_index, merge_ranks, rank_by_size
from lt_plugins.errors import UserInputError


def blobs(sizes: list[int], seed: int = 0, spread: float = 0.05) -> torch.Tensor:
    """Unit vectors around as many orthogonal directions as there are sizes, shuffled."""
    generator = torch.Generator().manual_seed(seed)
    centre = torch.eye(16)[: len(sizes)].repeat_interleave(torch.tensor(sizes), dim=0)
    vectors = centre + spread * torch.randn(len(centre), 16, generator=generator)
    return F.normalize(vectors[torch.randperm(len(vectors), generator=generator)], dim=1)


def slow_rand_index(one: np.ndarray, other: np.ndarray) -> float:
    """By all pairs of images."""
    pairs = [(one[i] == one[j], other[i] == other[j]) for i, j in combinations(range(len(one)), 2)]
    both = sum(a and b for a, b in pairs)
    first, second = sum(a for a, _ in pairs), sum(b for _, b in pairs)
    expected = first * second / len(pairs)
    return (both - expected) / ((first + second) / 2 - expected)


def slow_attributes(vectors: torch.Tensor, truth: np.ndarray, num_attributes: int) -> list[int]:
    """Sort the true clusters by size and first image, and put consecutive ones together."""
    sizes = Counter(truth.tolist())
    order = sorted(sizes, key=lambda value: (-sizes[value], truth.tolist().index(value)))
    small, more = divmod(len(order), num_attributes)
    attribute_of = {}
    for attribute in range(num_attributes):
        for _ in range(small + (attribute < more)):
            attribute_of[order.pop(0)] = attribute
    return [attribute_of[value] for value in truth.tolist()]


@pytest.mark.parametrize("seed", range(3))
@pytest.mark.parametrize(
    ("sizes", "num_attributes"), [([40, 30, 20, 20, 10, 8], 3), ([30, 30, 9, 9, 9], 3), ([9, 25], 2)]
)
def test_attributes_are_merged_ranks_of_the_true_clusters(sizes: list[int], num_attributes: int, seed: int) -> None:
    vectors = blobs(sizes, seed)
    truth = vectors[:, : len(sizes)].argmax(dim=1).numpy()
    labels = np.zeros(len(vectors), np.int64)
    settings = ClusterSettings(len(sizes), num_attributes, test_per_cell=1)
    found = attribute_clusters(vectors, labels, 1, settings, seed)
    assert found.attribute.tolist() == slow_attributes(vectors, truth, num_attributes)
    assert found.mean_cosine[0] > 0.95
    assert [*Counter(found.cluster.tolist()).values()] and np.bincount(found.cluster).tolist() == sorted(sizes)[::-1]


def test_the_number_of_clusters_follows_from_the_size_of_the_class() -> None:
    """K = min(6, n / (4 t)), and no attribute below two clusters."""
    counts = [480, 100, 59, 40, 39, 0]
    labels = np.repeat(np.arange(len(counts)), counts)
    vectors = F.normalize(torch.randn(len(labels), 8, generator=torch.Generator().manual_seed(0)), dim=1)
    found = attribute_clusters(vectors, labels, len(counts), ClusterSettings(test_per_cell=5))
    assert [int(found.cluster[labels == label].max()) + 1 for label in range(5)] == [6, 5, 2, 2, 1]
    assert [sorted({*found.attribute[labels == label].tolist()}) for label in range(5)] == [
        *([0, 1, 2], [0, 1, 2]),
        *([0, 1], [0, 1], [-1]),
    ]
    assert np.isnan(found.mean_cosine).tolist() == [False] * 4 + [True] * 2


def test_classes_do_not_influence_each_other() -> None:
    one, other = blobs([20, 15, 6], 1, 0.5), blobs([30, 10, 9], 2, 0.5)
    settings = ClusterSettings(3, 3, test_per_cell=1)
    labels = np.repeat([0, 1], [len(one), len(other)])
    both = attribute_clusters(torch.cat([one, other]), labels, 2, settings)
    alone = attribute_clusters(one, labels[: len(one)], 2, settings)
    assert both.attribute[: len(one)].tolist() == alone.attribute.tolist()


def test_more_restarts_are_never_looser() -> None:
    vectors = F.normalize(torch.randn(200, 8, generator=torch.Generator().manual_seed(3)), dim=1)
    labels = np.zeros(200, np.int64)
    cosines = [
        attribute_clusters(vectors, labels, 1, ClusterSettings(6, 3, 1, restarts)).mean_cosine[0]
        for restarts in (1, 3, 10)
    ]
    assert cosines[0] <= cosines[1] <= cosines[2] and cosines[0] < cosines[2]


def test_what_belongs_together_gets_one_attribute() -> None:
    vectors = blobs([20, 10, 6])
    labels = np.zeros(len(vectors), np.int64)
    groups = np.arange(len(vectors))
    groups[[5, 17, 30]] = 5
    settings = ClusterSettings(3, 3, test_per_cell=1)
    alone, grouped = (attribute_clusters(vectors, labels, 1, settings, groups=g) for g in (None, groups))
    assert len({*alone.cluster[[5, 17, 30]].tolist()}) > 1, "the test needs images of different clusters"
    assert len({*grouped.attribute[[5, 17, 30]].tolist()}) == 1


def test_equal_clusters_are_ranked_by_their_first_image() -> None:
    assert rank_by_size(np.array([7, 2, 2, 7, 4])).tolist() == [0, 1, 1, 0, 2]


@pytest.mark.parametrize(
    ("numbers", "merged"),
    [((6, 3), [0, 0, 1, 1, 2, 2]), ((5, 3), [0, 0, 1, 1, 2]), ((4, 3), [0, 0, 1, 2]), ((2, 3), [0, 1])],
)
def test_merged_ranks(numbers: tuple[int, int], merged: list[int]) -> None:
    assert merge_ranks(*numbers).tolist() == merged


@pytest.mark.parametrize("seed", range(5))
def test_rand_index_by_pairs_and_by_sklearn(seed: int) -> None:
    rng = np.random.default_rng(seed)
    one, other = rng.integers(0, 4, 60), rng.integers(0, 3, 60)
    other[:30] = one[:30] % 3
    assert adjusted_rand_index(one, other) == pytest.approx(slow_rand_index(one, other), abs=1e-12)
    assert adjusted_rand_index(one, other) == pytest.approx(adjusted_rand_score(one, other), abs=1e-12)
    assert adjusted_rand_index(one, (one + 1) % 4) == 1.0
    assert adjusted_rand_index(np.zeros(5, int), np.zeros(5, int)) == 1.0


def test_stability_of_clear_and_of_arbitrary_clusters() -> None:
    clear, noise = (
        blobs([40, 30, 20]),
        F.normalize(torch.randn(90, 16, generator=torch.Generator().manual_seed(1)), dim=1),
    )
    labels = np.repeat([0, 1, 2], [90, 90, 3])
    vectors = torch.cat([clear, noise, clear[:3]])
    settings = ClusterSettings(3, 3, test_per_cell=5, num_restarts=1)
    runs = [attribute_clusters(vectors, labels, 3, settings, seed) for seed in (0, 1, 2)]
    stability = cluster_stability(runs, labels, 3)
    assert stability.rand_index[0] == 1.0 and stability.changed[0] == 0.0
    assert stability.rand_index[1] < 0.5 and stability.changed[1] > 0.2
    assert np.isnan(stability.rand_index[2]) and np.isnan(stability.changed[2])
    first, second, third = (run.cluster[labels == 1] for run in runs)
    pairs = [slow_rand_index(first, second), slow_rand_index(first, third), slow_rand_index(second, third)]
    assert stability.rand_index[1] == pytest.approx(sum(pairs) / 3)
    moved = [(runs[0].attribute != run.attribute)[labels == 1].mean() for run in runs[1:]]
    assert stability.changed[1] == pytest.approx(sum(moved) / 2)


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"num_clusters": 1}, "num_clusters=1 must be an integer of at least 2"),
        ({"num_attributes": 7}, "num_attributes=7 must be at most num_clusters=6"),
        ({"test_per_cell": 0}, "test_per_cell=0"),
        ({"num_restarts": 1.5}, "num_restarts=1.5"),
    ],
)
def test_settings_out_of_range(settings: dict, message: str) -> None:
    with pytest.raises(UserInputError, match=message):
        ClusterSettings(**settings)
