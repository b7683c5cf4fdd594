"""k-means on unit vectors, by faiss or by torch, under one contract."""

from __future__ import annotations

import importlib.util
from collections.abc import Iterable
from typing import NamedTuple

import torch
import torch.nn.functional as F
from torch import Tensor

from lt_plugins.errors import UserInputError

BACKENDS = ("auto", "faiss", "torch")
CHUNK_SIZE = 16384
"""Vectors compared with the centroids at a time, at most."""
CHUNK_ENTRIES = 2**27
"""Cosines of vectors with centroids at a time, at most."""
SAME_DIRECTION = 1e-6
"""Vectors whose cosine is closer to 1 than this are one direction; float32 can hardly tell them apart."""


class KMeansResult(NamedTuple):
    """Outcome of :func:`kmeans`.

    Args:
        centroids (Tensor): Unit rows, shape ``(K, D)``, float32, on the device of the input.
        mean_cosine (float): Mean cosine of the vectors to their nearest centroid: the higher, the tighter.
    """

    centroids: Tensor
    mean_cosine: float


def kmeans(
    vectors: Tensor, num_clusters: int, num_iters: int = 20, seed: int = 0, backend: str = "auto"
) -> KMeansResult:
    """Cluster directions by spherical k-means: vectors and centroids are l2-normalised, similarity is the cosine.

    Deterministic for a seed, backend and device. No cluster is empty unless the input has fewer distinct directions
    than clusters (see :data:`SAME_DIRECTION`). Zero vectors have no direction and are left out. Source: Lloyd's
    algorithm on the sphere (Dhillon and Modha, 2001).

    Args:
        vectors (Tensor): Shape ``(N, D)``, of any length; need not be normalised.
        num_clusters (int): Number of clusters ``K``, at most ``N``.
        num_iters (int): Iterations. Defaults to 20.
        seed (int): Seed of the initial centroids. Defaults to 0.
        backend (str): ``"faiss"``, ``"torch"``, or ``"auto"``, which takes torch on a GPU and otherwise faiss if it is
            installed. Defaults to ``"auto"``.

    Returns:
        KMeansResult: Centroids and mean cosine.

    Raises:
        UserInputError: If there are fewer vectors than clusters, a value is not finite, the backend is unknown, or
            faiss is asked for and not installed.
    """
    check_backend(backend)
    unit = _directions(vectors)
    if not 0 < num_clusters <= len(unit):
        raise UserInputError(
            f"{num_clusters} clusters need at least as many vectors other than zero, "
            f"got {len(unit)} of {len(vectors)}; lower the number of clusters or sample more vectors."
        )
    # Plain torch keeps data that is already on a GPU there; the CPU wheels of faiss would copy it away.
    use_faiss = backend == "faiss" or (backend == "auto" and _has_faiss() and unit.device.type == "cpu")
    run = _faiss_kmeans if use_faiss else _torch_kmeans
    return _fill_empty(unit, run(unit, num_clusters, num_iters, seed))


def tightest_kmeans(
    vectors: Tensor, num_clusters: int, seeds: Iterable[int], num_iters: int = 20, backend: str = "auto"
) -> KMeansResult:
    """Run spherical k-means from several starts and keep the tightest clustering, the one of the highest mean cosine.

    Args:
        vectors (Tensor): As in :func:`kmeans`.
        num_clusters (int): As in :func:`kmeans`.
        seeds (Iterable[int]): One seed a start.
        num_iters (int): As in :func:`kmeans`.
        backend (str): As in :func:`kmeans`.

    Returns:
        KMeansResult: The best run; of equally good ones the first.
    """
    runs = (kmeans(vectors, num_clusters, num_iters, seed, backend) for seed in seeds)
    return max(runs, key=lambda run: run.mean_cosine)


def check_backend(backend: str) -> None:
    """Check that a k-means backend exists here, before there is work to lose.

    Args:
        backend (str): As in :func:`kmeans`.

    Raises:
        UserInputError: If the backend is unknown, or faiss and not installed.
    """
    if backend not in BACKENDS:
        raise UserInputError(f"k-means backend={backend!r} must be one of {BACKENDS}.")
    if backend == "faiss" and not _has_faiss():
        raise UserInputError("k-means backend='faiss' is not installed: pip install faiss-cpu, or use backend='torch'.")


def _has_faiss() -> bool:
    return importlib.util.find_spec("faiss") is not None


def _directions(vectors: Tensor) -> Tensor:
    """Normalise the rows and leave out those that are zero."""
    vectors = vectors.detach().float()
    norms = vectors.norm(dim=1)
    if not bool(norms.isfinite().all()):
        raise UserInputError("k-means input holds values that are not finite; the features have diverged.")
    has_direction = norms > 1e-12
    return F.normalize(vectors if bool(has_direction.all()) else vectors[has_direction], dim=1)


def _chunk_size(num_clusters: int) -> int:
    """Vectors to compare with so many centroids at a time."""
    return max(min(CHUNK_SIZE, CHUNK_ENTRIES // num_clusters), 1)


def nearest_centroids(unit: Tensor, centroids: Tensor, dtype: torch.dtype = torch.float32) -> tuple[Tensor, Tensor]:
    """Find the most similar centroid of each vector, in bounded memory.

    Args:
        unit (Tensor): Unit rows, shape ``(N, D)``.
        centroids (Tensor): Unit rows, shape ``(K, D)``.
        dtype (torch.dtype): Type to compare in. Defaults to float32.

    Returns:
        tuple[Tensor, Tensor]: Cosine and index, each ``(N,)``.
    """
    chunks = unit.split(_chunk_size(len(centroids)))
    parts = [(chunk.to(dtype) @ centroids.T.to(dtype)).max(dim=1) for chunk in chunks]
    return torch.cat([part.values for part in parts]), torch.cat([part.indices for part in parts])


def _faiss_kmeans(unit: Tensor, num_clusters: int, num_iters: int, seed: int) -> Tensor:
    import faiss

    clustering = faiss.Kmeans(
        unit.shape[1],
        num_clusters,
        niter=num_iters,
        seed=seed,
        spherical=True,
        # The caller decides how much to sample; faiss must neither drop vectors nor warn about few.
        min_points_per_centroid=1,
        max_points_per_centroid=len(unit),
    )
    clustering.train(unit.cpu().numpy())
    return F.normalize(torch.from_numpy(clustering.centroids), dim=1).to(unit.device)


def _torch_kmeans(unit: Tensor, num_clusters: int, num_iters: int, seed: int) -> Tensor:
    generator = torch.Generator().manual_seed(seed)
    start = torch.randperm(len(unit), generator=generator)[:num_clusters]
    centroids = unit[start.to(unit.device)]
    for _ in range(num_iters):
        cosine, assignment = nearest_centroids(unit, centroids)
        sums = _sum_by_cluster(unit, assignment, num_clusters)
        # Without vectors, or with vectors that cancel, a cluster has no mean direction.
        centroids = _move_to_farthest(unit, F.normalize(sums, dim=1), sums.norm(dim=1) < 1e-6, cosine)
    return centroids


def _sum_by_cluster(unit: Tensor, assignment: Tensor, num_clusters: int) -> Tensor:
    """Sum the vectors of each cluster, shape ``(K, D)``."""
    sums = unit.new_zeros(num_clusters, unit.shape[1])
    # A product with the one-hot matrix is reproducible; index_add_ on CUDA adds in any order.
    size = _chunk_size(num_clusters)
    for chunk, index in zip(unit.split(size), assignment.split(size), strict=True):
        sums += F.one_hot(index, num_clusters).to(unit.dtype).T @ chunk
    return sums


def _fill_empty(unit: Tensor, centroids: Tensor) -> KMeansResult:
    """Give each cluster that is empty in the end a direction of its own, as far as there are any."""
    # In float64: in float32 a cluster may hold its only vector by a rounding error.
    cosine, assignment = nearest_centroids(unit, centroids, torch.float64)
    # More than once, since a filled cluster may take the last vectors of another; the cosines rise with each round.
    for _ in range(len(centroids)):
        empty = torch.bincount(assignment, minlength=len(centroids)) == 0
        # faiss leaves a zero where the vectors of a cluster cancel.
        lost = empty | (centroids.norm(dim=1) < 0.5)
        farthest = cosine.argmin()
        # Of unit vectors |u - c|^2 = 2 (1 - cos), and near 1 it has digits where the cosine has none.
        gap = (unit[farthest] - centroids[assignment[farthest]]).square().sum() / 2
        if not bool(lost.any()) or float(gap) < SAME_DIRECTION:
            break
        centroids = _move_to_farthest(unit, centroids, lost, cosine)
        cosine, assignment = nearest_centroids(unit, centroids, torch.float64)
    return KMeansResult(centroids, float(cosine.mean()))


def _move_to_farthest(unit: Tensor, centroids: Tensor, lost: Tensor, cosine: Tensor) -> Tensor:
    """Move each lost centroid to the vector that is farthest from all others.

    Args:
        unit (Tensor): Vectors, shape ``(N, D)``.
        centroids (Tensor): Shape ``(K, D)``.
        lost (Tensor): Which centroids to move, bool ``(K,)``.
        cosine (Tensor): Cosine of each vector to its nearest centroid, shape ``(N,)``.

    Returns:
        Tensor: The moved centroids, shape ``(K, D)``.
    """
    centroids = centroids.clone()
    for index in lost.nonzero().flatten().tolist():
        farthest = unit[cosine.argmin()]
        centroids[index] = farthest
        cosine = torch.maximum(cosine, unit @ farthest)
    return centroids
