"""Attributes of a generalized long-tailed benchmark: clusters of the images of each class, ranked by size."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from lt_plugins.clustering.kmeans import KMeansResult, tightest_kmeans
from lt_plugins.errors import UserInputError

NO_ATTRIBUTE = -1
"""Attribute of an image of a class that is too small for two."""
RESERVE = 4
"""A cluster should have this many times the images that a cell gives to the balanced test set."""


@dataclass(frozen=True)
class ClusterSettings:
    """How many clusters and attributes a class gets.

    Args:
        num_clusters (int): Clusters of a class at most. Defaults to 6.
        num_attributes (int): Attributes that they are merged to, at most. Defaults to 3.
        test_per_cell (int): Test images of a cell: a class of ``n`` images has at most ``n / (4 test_per_cell)``
            clusters. Defaults to 20.
        num_restarts (int): Runs of k-means, of which the tightest counts. Defaults to 10.

    Raises:
        UserInputError: If a number is out of range.
    """

    num_clusters: int = 6
    num_attributes: int = 3
    test_per_cell: int = 20
    num_restarts: int = 10

    def __post_init__(self) -> None:
        for name, least in {"num_clusters": 2, "num_attributes": 2, "test_per_cell": 1, "num_restarts": 1}.items():
            value = getattr(self, name)
            if type(value) is not int or value < least:
                raise UserInputError(f"{name}={value!r} must be an integer of at least {least}.")
        if self.num_attributes > self.num_clusters:
            raise UserInputError(
                f"num_attributes={self.num_attributes} must be at most num_clusters={self.num_clusters}, which are "
                "merged to them."
            )


class AttributeClusters(NamedTuple):
    """Outcome of :func:`attribute_clusters`.

    Args:
        cluster (NDArray): Rank of the cluster of each image among those of its class, 0 for the largest, ``(N,)``
            int64; 0 in a class without attributes.
        attribute (NDArray): Attribute of each image, 0 for the most frequent of its class, ``(N,)`` int64;
            :data:`NO_ATTRIBUTE` in a class without.
        mean_cosine (NDArray): Mean cosine of the images of each class to the centroid of their cluster, ``(C,)``
            float64; nan in a class without attributes.
    """

    cluster: NDArray[np.int64]
    attribute: NDArray[np.int64]
    mean_cosine: NDArray[np.float64]


class Stability(NamedTuple):
    """Outcome of :func:`cluster_stability`.

    Args:
        rand_index (NDArray): Adjusted Rand index of the clusters of two seeds, mean of all pairs, of each class
            ``(C,)`` float64; nan in a class without attributes.
        changed (NDArray): Part of the images of each class whose attribute is another one, mean of the other seeds
            against the first, ``(C,)`` float64; nan in a class without attributes.
    """

    rand_index: NDArray[np.float64]
    changed: NDArray[np.float64]


def attribute_clusters(
    features: Tensor,
    labels: NDArray[np.int64],
    num_classes: int,
    settings: ClusterSettings,
    seed: int = 0,
    groups: NDArray[np.int64] | None = None,
) -> AttributeClusters:
    """Cluster the images of each class by k-means on unit vectors, and merge the clusters to attributes.

    Clusters are sorted by size, those of equal size by their first image, and consecutive ones merged: of six clusters
    the two largest are attribute 0. They are found class by class, so attribute 2 of two classes share nothing but
    being rare. Seeds follow from ``seed``, class and restart. Source: the generator of ImageNet-GLT (Tang et al.,
    ECCV 2022), made reproducible.

    Args:
        features (Tensor): Unit rows, ``(N, D)``, in an order that does not depend on the machine.
        labels (NDArray): Classes of the images, ``(N,)``.
        num_classes (int): Number of classes ``C``.
        settings (ClusterSettings): Numbers of clusters and attributes.
        seed (int): Seed. Defaults to 0.
        groups (NDArray | None): First image of what must not be torn apart, such as copies, for each image ``(N,)``:
            all of a class get the cluster of the first one of the class. Defaults to none.

    Returns:
        AttributeClusters: Clusters and attributes.
    """
    cluster, attribute = np.zeros(len(labels), np.int64), np.full(len(labels), NO_ATTRIBUTE, np.int64)
    mean_cosine = np.full(num_classes, np.nan)
    for label in range(num_classes):
        members = np.flatnonzero(labels == label)
        number = min(settings.num_clusters, len(members) // (RESERVE * settings.test_per_cell))
        if number < 2:
            continue
        vectors = features[torch.from_numpy(members)]
        best = _tightest(vectors, number, settings.num_restarts, (seed, label))
        found = (vectors @ best.centroids.T).argmax(dim=1).numpy()
        if groups is not None:
            _, first, position = np.unique(groups[members], return_index=True, return_inverse=True)
            found = found[first[position.reshape(-1)]]
        ranks = rank_by_size(found)
        cluster[members] = ranks
        attribute[members] = merge_ranks(int(ranks.max()) + 1, settings.num_attributes)[ranks]
        mean_cosine[label] = best.mean_cosine
    return AttributeClusters(cluster, attribute, mean_cosine)


def cluster_stability(runs: Sequence[AttributeClusters], labels: NDArray[np.int64], num_classes: int) -> Stability:
    """Stability of clusters and attributes under other seeds, class by class.

    Args:
        runs (Sequence[AttributeClusters]): What different seeds gave; the first one is used.
        labels (NDArray): Classes of the images, ``(N,)``.
        num_classes (int): Number of classes ``C``.
    """
    rand_index, changed = np.full(num_classes, np.nan), np.full(num_classes, np.nan)
    for label in range(num_classes):
        members = labels == label
        if not members.any() or (runs[0].attribute[members] == NO_ATTRIBUTE).all():
            continue
        clusters = [run.cluster[members] for run in runs]
        pairs = [(one, other) for index, one in enumerate(clusters) for other in clusters[index + 1 :]]
        rand_index[label] = np.mean([adjusted_rand_index(one, other) for one, other in pairs])
        first, *others = (run.attribute[members] for run in runs)
        changed[label] = np.mean([(first != other).mean() for other in others])
    return Stability(rand_index, changed)


def rank_by_size(cluster: NDArray[np.int64]) -> NDArray[np.int64]:
    """Number clusters anew: 0 for the largest; of equal ones the one with the first image comes first.

    Args:
        cluster (NDArray): Cluster of each image, ``(N,)``; numbers without images are passed over.
    """
    _, first, position, size = np.unique(cluster, return_index=True, return_inverse=True, return_counts=True)
    order = np.lexsort((first, -size))
    rank = np.empty(len(order), np.int64)
    rank[order] = np.arange(len(order))
    return rank[position.reshape(-1)]


def merge_ranks(num_clusters: int, num_attributes: int) -> NDArray[np.int64]:
    """Attribute of each rank: consecutive ranks in parts of equal size, the first ones larger by one where needed.

    Args:
        num_clusters (int): Number of clusters ``K``.
        num_attributes (int): Number of attributes at most.

    Returns:
        NDArray: Shape ``(K,)``: ``[0, 0, 1, 1, 2, 2]`` for six and three.
    """
    parts = np.array_split(np.arange(num_clusters), min(num_clusters, num_attributes))
    return np.repeat(np.arange(len(parts)), [len(part) for part in parts])


def adjusted_rand_index(one: NDArray[np.int64], other: NDArray[np.int64]) -> float:
    """Adjusted Rand index of two clusterings: 1 if they are the same, 0 on average for unrelated ones.

    Args:
        one (NDArray): Cluster of each image, ``(N,)``.
        other (NDArray): Cluster of each image in the other clustering, ``(N,)``.

    Returns:
        float: At most 1. Source: Hubert and Arabie, "Comparing Partitions" (1985).
    """
    _, rows = np.unique(one, return_inverse=True)
    _, columns = np.unique(other, return_inverse=True)
    table = np.zeros((rows.max() + 1, columns.max() + 1))
    np.add.at(table, (rows.reshape(-1), columns.reshape(-1)), 1)
    together = _pairs(table).sum()
    in_one, in_other = _pairs(table.sum(axis=1)).sum(), _pairs(table.sum(axis=0)).sum()
    expected = in_one * in_other / max(_pairs(np.array(float(len(one)))), 1.0)
    most = (in_one + in_other) / 2
    return 1.0 if most == expected else float((together - expected) / (most - expected))


def _pairs(counts: NDArray[np.float64]) -> NDArray[np.float64]:
    return counts * (counts - 1) / 2


def _tightest(vectors: Tensor, num_clusters: int, num_restarts: int, seed: tuple[int, int]) -> KMeansResult:
    """The best of several runs; plain torch, so that all machines do the same."""
    seeds = [int(np.random.SeedSequence((*seed, run)).generate_state(1)[0]) for run in range(num_restarts)]
    return tightest_kmeans(vectors, num_clusters, seeds, backend="torch")
