"""Both backends of k-means keep one contract; the torch one is Lloyd's algorithm, step by step."""

from __future__ import annotations

import importlib.util
import math
import sys

import pytest
import torch
import torch.nn.functional as F
from hypothesis import example, given, settings
from hypothesis import strategies as st

from lt_plugins.clustering import check_backend, kmeans
from lt_plugins.errors import UserInputError

needs_faiss = pytest.mark.skipif(importlib.util.find_spec("faiss") is None, reason="faiss is optional")
backends = pytest.mark.parametrize("backend", [pytest.param("faiss", marks=needs_faiss), "torch"])


def directions(num: int, dim: int = 8, seed: int = 0) -> torch.Tensor:
    return F.normalize(torch.randn(num, dim, generator=torch.Generator().manual_seed(seed)), dim=1)


def blobs(num_clusters: int = 6, size: int = 30, dim: int = 8, noise: float = 0.05, seed: int = 0):
    """Tight clusters around orthogonal directions, of any length, with their labels."""
    generator = torch.Generator().manual_seed(seed)
    centres = torch.eye(num_clusters, dim)
    labels = torch.arange(num_clusters).repeat_interleave(size)
    vectors = centres[labels] + noise * torch.randn(len(labels), dim, generator=generator)
    return vectors * torch.empty(len(labels), 1).uniform_(0.1, 10, generator=generator), labels, centres


def assign(vectors: torch.Tensor, centroids: torch.Tensor) -> list[int]:
    """Nearest centroid of each vector, by loops in double precision."""
    return [
        max(range(len(centroids)), key=lambda k: float(F.normalize(v.double(), dim=0) @ centroids[k].double()))
        for v in vectors
    ]


def lloyd(vectors: torch.Tensor, start: torch.Tensor, num_iters: int) -> torch.Tensor:
    """Spherical k-means by loops, in double precision; no cluster of the tests that use it runs empty."""
    unit = [v.double() / v.double().norm() for v in vectors]
    centroids = start.double()
    for _ in range(num_iters):
        assignment = assign(vectors, centroids)
        rows = []
        for k in range(len(centroids)):
            members = [u for u, a in zip(unit, assignment, strict=True) if a == k]
            total = sum(members[1:], members[0])
            rows.append(total / total.norm())
        centroids = torch.stack(rows)
    return centroids


@pytest.mark.parametrize("num_iters", [1, 2, 7])
def test_torch_follows_lloyds_algorithm_from_the_same_start(num_iters: int) -> None:
    vectors = 3 * directions(300)
    start = kmeans(vectors, 9, num_iters=0, seed=4, backend="torch").centroids
    assert all(any(torch.allclose(row, v) for v in F.normalize(vectors, dim=1)) for row in start)
    expected = lloyd(vectors, start, num_iters)
    actual = kmeans(vectors, 9, num_iters=num_iters, seed=4, backend="torch").centroids
    assert torch.allclose(actual.double(), expected, atol=1e-5)


@backends
def test_iterating_never_loosens_the_clusters(backend: str) -> None:
    tightness = [kmeans(directions(400), 12, num_iters=n, seed=1, backend=backend).mean_cosine for n in (1, 2, 5, 20)]
    assert tightness == sorted(tightness)
    assert tightness[-1] > tightness[0]


@backends
def test_well_separated_clusters_are_found_whatever_the_length_of_the_vectors(backend: str) -> None:
    vectors, labels, centres = blobs()
    # A single start may settle in a local optimum; among a few one does not.
    best = max((kmeans(vectors, 6, seed=seed, backend=backend) for seed in range(5)), key=lambda r: r.mean_cosine)
    similarity = best.centroids @ centres.T
    assert (similarity.amax(dim=0) > 0.99).all()
    assignment = torch.tensor(assign(vectors, best.centroids))
    assert all(len(assignment[labels == c].unique()) == 1 for c in range(6))
    assert len(assignment.unique()) == 6


@backends
def test_result_is_unit_deterministic_and_its_mean_cosine_is_right(backend: str) -> None:
    vectors = 5 * directions(500)
    kept = vectors.clone()
    result = kmeans(vectors, 16, seed=3, backend=backend)
    assert result.centroids.shape == (16, 8)
    assert result.centroids.dtype == torch.float32
    assert torch.allclose(result.centroids.norm(dim=1), torch.ones(16), atol=1e-6)
    cosines = [
        max(float(F.cosine_similarity(v.double(), c.double(), dim=0)) for c in result.centroids) for v in vectors
    ]
    assert result.mean_cosine == pytest.approx(math.fsum(cosines) / len(cosines), abs=1e-6)
    again = kmeans(vectors, 16, seed=3, backend=backend)
    assert torch.equal(again.centroids, result.centroids)
    assert not torch.equal(kmeans(vectors, 16, seed=4, backend=backend).centroids, result.centroids)
    assert torch.equal(vectors, kept)


def test_vectors_are_compared_in_chunks_with_the_same_outcome(monkeypatch: pytest.MonkeyPatch) -> None:
    vectors = directions(100)
    whole = kmeans(vectors, 7, backend="torch")
    # The function hides the module of its name.
    monkeypatch.setattr(sys.modules[kmeans.__module__], "CHUNK_SIZE", 13)
    chunked = kmeans(vectors, 7, backend="torch")
    assert torch.allclose(chunked.centroids, whole.centroids, atol=1e-6)
    assert chunked.mean_cosine == pytest.approx(whole.mean_cosine, abs=1e-7)


@needs_faiss
def test_backends_are_equally_good() -> None:
    vectors = directions(2000, dim=16)
    quality = {
        backend: sum(kmeans(vectors, 32, seed=seed, backend=backend).mean_cosine for seed in range(3)) / 3
        for backend in ("faiss", "torch")
    }
    assert quality["torch"] == pytest.approx(quality["faiss"], rel=0.01)


@backends
@pytest.mark.parametrize("num_distinct", [7, 20])
def test_no_cluster_is_empty_although_most_vectors_are_identical(backend: str, num_distinct: int) -> None:
    distinct = directions(num_distinct)
    vectors = torch.cat([distinct[:1].expand(500, -1), distinct])
    centroids = kmeans(vectors, 7, backend=backend).centroids
    assert len(set(assign(vectors, centroids))) == 7


@backends
@given(
    st.integers(1, 12).flatmap(
        lambda k: st.tuples(
            st.just(k),
            # Every distinct vector at least once, then any repetitions.
            st.integers(k, 20).flatmap(
                lambda d: st.lists(st.integers(0, d - 1), max_size=60).map(lambda r: [*range(d), *r])
            ),
            st.integers(0, 100),
        )
    )
)
@example(case=(8, [*range(8), 0, 0, 1, 1, 1, 0, 1, 0, 0, 0], 36))  # two centroids 1e-3 apart, equal in float32
@settings(max_examples=40, deadline=None)
def test_no_cluster_is_empty_if_there_are_enough_directions(backend: str, case: tuple[int, list[int], int]) -> None:
    num_clusters, repetitions, seed = case
    vectors = directions(20, dim=4, seed=9)[torch.tensor(repetitions)]
    centroids = kmeans(vectors, num_clusters, num_iters=3, seed=seed, backend=backend).centroids
    assert set(assign(vectors, centroids)) == set(range(num_clusters))


@backends
def test_fewer_directions_than_clusters_still_give_unit_centroids(backend: str) -> None:
    result = kmeans(directions(2).repeat(10, 1), 5, backend=backend)
    assert torch.allclose(result.centroids.norm(dim=1), torch.ones(5), atol=1e-6)
    assert result.mean_cosine == pytest.approx(1, abs=1e-6)


@backends
def test_vectors_that_cancel_still_give_a_direction(backend: str) -> None:
    result = kmeans(torch.tensor([[1.0, 0.0], [-1.0, 0.0]]), 1, backend=backend)
    assert float(result.centroids.norm()) == pytest.approx(1)


@backends
def test_as_many_clusters_as_vectors_are_the_vectors(backend: str) -> None:
    vectors = directions(10)
    result = kmeans(vectors, 10, backend=backend)
    assert ((result.centroids @ vectors.T).amax(dim=0) > 1 - 1e-5).all()
    assert result.mean_cosine == pytest.approx(1, abs=1e-5)


@backends
def test_zero_vectors_do_not_count(backend: str) -> None:
    vectors = directions(40)
    with_zeros = torch.cat([torch.zeros(3, 8), vectors, torch.zeros(3, 8)])
    alone, padded = (kmeans(v, 5, backend=backend) for v in (vectors, with_zeros))
    assert torch.equal(alone.centroids, padded.centroids)
    assert alone.mean_cosine == padded.mean_cosine
    with pytest.raises(UserInputError, match="got 2 of 6"):
        kmeans(torch.cat([vectors[:2], torch.zeros(4, 8)]), 3, backend=backend)


@backends
@pytest.mark.parametrize("num_clusters", [0, 5])
def test_a_number_of_clusters_that_cannot_be_is_refused(backend: str, num_clusters: int) -> None:
    with pytest.raises(UserInputError, match=rf"^{num_clusters} clusters .* got 4 of 4; lower the number"):
        kmeans(directions(4), num_clusters, backend=backend)


@backends
@pytest.mark.parametrize("value", [math.nan, math.inf, -math.inf, 1e30])
def test_values_that_are_not_finite_are_refused(backend: str, value: float) -> None:
    vectors = directions(10)
    vectors[3, 2] = value
    with pytest.raises(UserInputError, match="not finite"):
        kmeans(vectors, 2, backend=backend)


@backends
def test_half_precision_and_gradients_are_fine_and_the_random_state_stays(backend: str) -> None:
    vectors = directions(50).half().requires_grad_()
    before = torch.get_rng_state()
    result = kmeans(vectors, 3, backend=backend)
    assert torch.equal(torch.get_rng_state(), before)
    assert result.centroids.dtype == torch.float32
    assert not result.centroids.requires_grad


def test_unknown_backend_is_refused() -> None:
    with pytest.raises(UserInputError, match="backend='cuml' must be one of"):
        kmeans(directions(4), 2, backend="cuml")


@needs_faiss
def test_without_faiss_auto_takes_torch_and_faiss_gives_the_pip_line(monkeypatch: pytest.MonkeyPatch) -> None:
    vectors = directions(100)
    # On a CPU, auto means faiss where it is installed.
    assert torch.equal(kmeans(vectors, 5, backend="auto").centroids, kmeans(vectors, 5, backend="faiss").centroids)
    expected = kmeans(vectors, 5, backend="torch").centroids
    monkeypatch.setitem(sys.modules, "faiss", None)  # how python says that a module cannot be imported
    assert torch.equal(kmeans(vectors, 5, backend="auto").centroids, expected)
    check_backend("auto")
    for refused in (lambda: check_backend("faiss"), lambda: kmeans(vectors, 5, backend="faiss")):
        with pytest.raises(UserInputError, match="pip install faiss-cpu"):
            refused()
