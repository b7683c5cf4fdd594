"""Prototypes of PCL against loops over all features, in double precision."""

from __future__ import annotations

import math
import sys

import pytest
import torch
import torch.nn.functional as F

from lt_plugins.clustering import kmeans, prototypes, tightest_kmeans
from lt_plugins.clustering.prototypes import prototype_temperatures
from lt_plugins.errors import UserInputError
from tests.clustering.test_class_temperatures import percentile, random_features, spreads
from tests.clustering.test_kmeans import assign, backends, blobs, directions


def slow_temperatures(
    features: torch.Tensor, assignment: list[int], num: int, scale: float, alpha: float
) -> list[float]:
    """Concentrations; the largest for clusters of one image; clipped to the 10th to 90th percentile; scaled."""
    found = spreads(features.double().tolist(), assignment, num, alpha)
    phi = [max(found.values()) if assignment.count(c) <= 1 else found[c] for c in range(num)]
    low, high = percentile(phi, 0.1), percentile(phi, 0.9)
    phi = [min(max(value, low), high) for value in phi]
    mean = math.fsum(phi) / num
    return [scale * value / mean for value in phi]


@pytest.mark.parametrize("seed", range(3))
@pytest.mark.parametrize(("scale", "alpha"), [(0.2, 10.0), (0.07, 1.0)])
def test_temperatures_are_the_formula(seed: int, scale: float, alpha: float) -> None:
    sizes = [1, 2, 2, 3, 5, 8, 8, 13, 21, 1, 4, 6]
    assignment = [c for c, size in enumerate(sizes) for _ in range(size)]
    features = random_features(assignment, seed)
    phi = prototype_temperatures(features, torch.tensor(assignment), len(sizes), scale, alpha)
    expected = slow_temperatures(features, assignment, len(sizes), scale, alpha)
    assert phi.dtype == torch.float64
    assert phi.tolist() == pytest.approx(expected, rel=1e-9)
    assert float(phi.mean()) == pytest.approx(scale, rel=1e-12)
    assert phi[0] == phi[9] == phi.max(), "single images take the largest"


def test_tight_and_large_clusters_are_colder() -> None:
    """Of equal spread the larger, of equal size the tighter: what keeps clusters of one size (section 3.3)."""
    generator = torch.Generator().manual_seed(0)
    sizes, widths = torch.tensor([100, 100, 20, 20]), torch.tensor([0.02, 0.1, 0.02, 0.1])
    assignment = torch.arange(4).repeat_interleave(sizes)
    noise = torch.randn(240, 8, generator=generator) * widths[assignment][:, None]
    phi = prototype_temperatures(torch.eye(4, 8)[assignment] + noise, assignment, 4).tolist()
    assert phi[0] <= phi[2] < phi[1] <= phi[3]


@backends
def test_images_belong_to_the_nearest_centroid(backend: str) -> None:
    features = 3 * directions(200)
    found = prototypes(features, 12, 0.2, seed=(3, 1), backend=backend)
    assert found.assignment.tolist() == assign(features, found.centroids)
    assert set(found.assignment.tolist()) == set(range(12))
    torch.testing.assert_close(found.centroids.norm(dim=1), torch.ones(12))
    expected = slow_temperatures(features, found.assignment.tolist(), 12, 0.2, 10.0)
    assert found.phi.tolist() == pytest.approx(expected, rel=1e-6)
    cosines = F.cosine_similarity(features.double(), found.centroids[found.assignment].double(), dim=1)
    assert found.mean_cosine == pytest.approx(float(cosines.mean()), rel=1e-6)
    again = prototypes(features, 12, 0.2, seed=(3, 1), backend=backend)
    assert all(torch.equal(one, other) for one, other in zip(found[:3], again[:3], strict=True))
    other_epoch = prototypes(features, 12, 0.2, seed=(3, 2), backend=backend)
    assert not torch.equal(found.centroids, other_epoch.centroids)


@backends
def test_the_tightest_of_several_starts_is_kept(backend: str) -> None:
    vectors = directions(300)
    runs = [kmeans(vectors, 9, 3, seed, backend) for seed in range(4)]
    best = tightest_kmeans(vectors, 9, range(4), 3, backend)
    assert best.mean_cosine == max(run.mean_cosine for run in runs) > min(run.mean_cosine for run in runs)
    few, many = (prototypes(vectors, 9, num_iters=3, num_restarts=n, backend=backend) for n in (1, 12))
    assert many.mean_cosine > few.mean_cosine


def test_separate_groups_are_found_and_weigh_the_same() -> None:
    vectors, labels, _ = blobs()
    found = prototypes(vectors, 6, 0.2)
    assert all(len(found.assignment[labels == c].unique()) == 1 for c in range(6))
    assert found.phi.tolist() == pytest.approx([0.2] * 6, rel=0.2)


@backends
@pytest.mark.parametrize("num_clusters", [1, 20])
def test_one_cluster_and_one_an_image(num_clusters: int, backend: str) -> None:
    """Without any spread, and with one cluster, all temperatures are T."""
    vectors = directions(20)
    found = prototypes(vectors, num_clusters, 0.3, backend=backend)
    assert found.phi.tolist() == pytest.approx([0.3] * num_clusters)
    assert len(found.assignment.unique()) == num_clusters
    if num_clusters == 20:
        torch.testing.assert_close(found.centroids[found.assignment], vectors, atol=1e-5, rtol=0)


@backends
def test_a_direction_that_repeats_leaves_no_empty_cluster(backend: str) -> None:
    found = prototypes(directions(3).repeat(10, 1), 8, backend=backend)
    assert found.assignment.bincount().tolist() == [10, 10, 10]
    assert found.centroids.shape == (3, 8)
    assert found.phi.shape == (3,)


def test_many_clusters_are_compared_in_smaller_chunks(monkeypatch: pytest.MonkeyPatch) -> None:
    vectors = directions(100)
    whole = prototypes(vectors, 7, backend="torch")
    monkeypatch.setattr(sys.modules[kmeans.__module__], "CHUNK_ENTRIES", 7 * 13)
    chunked = prototypes(vectors, 7, backend="torch")
    assert torch.equal(chunked.assignment, whole.assignment)
    torch.testing.assert_close(chunked.centroids, whole.centroids)


def test_more_clusters_than_images_are_refused() -> None:
    with pytest.raises(UserInputError, match="5 clusters need at least as many vectors"):
        prototypes(directions(4), 5)
