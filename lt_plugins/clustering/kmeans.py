"""k-means on unit vectors, by faiss or by torch, under one contract."""

from __future__ import annotations

import importlib.util
from typing import NamedTuple

import torch
import torch.nn.functional as F
from torch import Tensor

from lt_plugins.errors import UserInputError

BACKENDS = ("auto", "faiss", "torch")


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

    Deterministic for a seed, backend and device. No cluster stays empty unless the input has fewer distinct directions than
    clusters: an empty one takes over half of the largest. Source: Lloyd's algorithm on the sphere (Dhillon and
    Modha, 2001).

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
        UserInputError: If there are fewer vectors than clusters, a value is not finite, the backend is unknown, or faiss
            is asked for and not installed.
    """
    if vectors.ndim != 2 or not 0 < num_clusters <= len(vectors):
        raise UserInputError(
            f"{num_clusters} clusters need at least as many vectors (N, D), got shape {tuple(vectors.shape)}; "
            "lower the number of clusters or sample more vectors."
        )
    if backend not in BACKENDS:
        raise UserInputError(f"k-means backend {backend!r} must be one of {BACKENDS}.")
    has_faiss = importlib.util.find_spec("faiss") is not None
    if backend == "faiss" and not has_faiss:
        raise UserInputError("k-means backend 'faiss' is not installed: pip install faiss-cpu, or use backend='torch'.")
    unit = F.normalize(vectors.detach().float(), dim=1)
    if not bool(torch.isfinite(unit).all()):
        raise UserInputError("k-means input holds values that are not finite; the features have diverged.")
    # Plain torch keeps data that is already on a GPU there; the CPU wheels of faiss would copy it away.
    use_faiss = backend == "faiss" or (backend == "auto" and has_faiss and unit.device.type == "cpu")
    run = _faiss_kmeans if use_faiss else _torch_kmeans
    centroids = run(unit, num_clusters, num_iters, seed).to(unit.device)
    similarity, _ = nearest(unit, centroids)
    return KMeansResult(centroids, float(similarity.double().mean()))


def nearest(vectors: Tensor, centroids: Tensor, chunk_size: int = 16384) -> tuple[Tensor, Tensor]:
    """Find the most similar centroid of each vector, in bounded memory.

    Args:
        vectors (Tensor): Unit rows, shape ``(N, D)``.
        centroids (Tensor): Unit rows, shape ``(K, D)``.
        chunk_size (int): Vectors compared at a time. Defaults to 16384.

    Returns:
        tuple[Tensor, Tensor]: Cosine and index of the nearest centroid, each ``(N,)``.
    """
    parts = [(chunk @ centroids.T).max(dim=1) for chunk in vectors.split(chunk_size)]
    return torch.cat([part.values for part in parts]), torch.cat([part.indices for part in parts])


def _faiss_kmeans(unit: Tensor, num_clusters: int, num_iters: int, seed: int) -> Tensor:
    import faiss

    clustering = faiss.Kmeans(
        unit.shape[1],
        num_clusters,
        niter=num_iters,
        seed=seed,
        spherical=True,
        verbose=False,
        # The caller decides how much to sample; faiss must neither drop vectors nor warn about few.
        min_points_per_centroid=1,
        max_points_per_centroid=len(unit),
    )
    clustering.train(unit.cpu().numpy())
    return F.normalize(torch.from_numpy(clustering.centroids), dim=1)


def _torch_kmeans(unit: Tensor, num_clusters: int, num_iters: int, seed: int) -> Tensor:
    generator = torch.Generator().manual_seed(seed)
    start = torch.randperm(len(unit), generator=generator)[:num_clusters]
    centroids = unit[start.to(unit.device)]
    for _ in range(num_iters):
        _, assignment = nearest(unit, centroids)
        sums = _sum_by_cluster(unit, assignment, num_clusters)
        sizes = torch.bincount(assignment, minlength=num_clusters)
        centroids = F.normalize(torch.where((sizes > 0)[:, None], sums, centroids), dim=1)
        centroids = _split_largest(centroids, sizes)
    return centroids


def _sum_by_cluster(unit: Tensor, assignment: Tensor, num_clusters: int) -> Tensor:
    """Sum the vectors of each cluster, shape ``(K, D)``, in an order that does not depend on thread timing."""
    if unit.device.type == "cpu":
        return unit.new_zeros(num_clusters, unit.shape[1]).index_add_(0, assignment, unit)
    # index_add_ on CUDA adds in any order; a product with the one-hot matrix is reproducible.
    sums = unit.new_zeros(num_clusters, unit.shape[1])
    for chunk, index in zip(unit.split(16384), assignment.split(16384), strict=True):
        sums += F.one_hot(index, num_clusters).to(unit.dtype).T @ chunk
    return sums


def _split_largest(centroids: Tensor, sizes: Tensor) -> Tensor:
    """Let each empty cluster take over half of the currently largest one, by a small symmetric shift."""
    sizes = sizes.clone()
    signs = torch.where(torch.arange(centroids.shape[1], device=centroids.device) % 2 == 0, 1.0, -1.0)
    for empty in (sizes == 0).nonzero().flatten().tolist():
        largest = int(sizes.argmax())
        shift = signs / 1024
        centroids[empty] = F.normalize(centroids[largest] * (1 + shift), dim=0)
        centroids[largest] = F.normalize(centroids[largest] * (1 - shift), dim=0)
        sizes[empty] = sizes[largest] // 2
        sizes[largest] -= sizes[empty]
    return centroids
