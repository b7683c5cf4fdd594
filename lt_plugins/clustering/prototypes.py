"""Prototypes of PCL: clusters of all images, each with a temperature of its own."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

from lt_plugins.clustering.class_temperatures import concentrations
from lt_plugins.clustering.kmeans import nearest_centroids, tightest_kmeans


class Prototypes(NamedTuple):
    """Outcome of :func:`prototypes`.

    Args:
        assignment (Tensor): Cluster of each image, int64 ``(N,)``; none of ``0 .. K - 1`` is empty.
        centroids (Tensor): Unit rows, float32 ``(K, D)``.
        phi (Tensor): Temperature of each cluster, float64 ``(K,)``; their mean is ``T``.
        mean_cosine (float): Mean cosine of the images to their centroids.
    """

    assignment: Tensor
    centroids: Tensor
    phi: Tensor
    mean_cosine: float


def prototypes(
    features: Tensor,
    num_clusters: int,
    temperature: float = 0.2,
    alpha: float = 10.0,
    num_iters: int = 20,
    num_restarts: int = 5,
    seed: tuple[int, ...] = (0,),
    backend: str = "auto",
) -> Prototypes:
    """E-step of PCL: clusters the features of all images by k-means, and estimates how concentrated each cluster is.

    Source: Li et al., "Prototypical Contrastive Learning of Unsupervised Representations" (ICLR 2021), section 3.3 and
    Eq. 12; 20 iterations from 5 starts are those of the released code. Its k-means is Euclidean and normalises the
    centroids at the end; this one is spherical, as prototypes are compared by their direction.

    Args:
        features (Tensor): Shape ``(N, D)``, of any length.
        num_clusters (int): Number of clusters, at most ``N``. There are fewer if fewer features are distinct.
        temperature (float): Mean of ``phi``, ``T``. Defaults to 0.2.
        alpha (float): Softens ``phi`` of small clusters. Defaults to 10.
        num_iters (int): Iterations of k-means. Defaults to 20.
        num_restarts (int): Starts of k-means, of which the tightest clustering is kept. Defaults to 5.
        seed (tuple[int, ...]): What the starts follow from. Defaults to 0.
        backend (str): As in :func:`lt_plugins.clustering.kmeans`. Defaults to ``"auto"``.

    Returns:
        Prototypes: On the device of the features.

    Raises:
        UserInputError: As in :func:`lt_plugins.clustering.kmeans`.
    """
    seeds = [int(np.random.SeedSequence((*seed, run)).generate_state(1)[0] >> 1) for run in range(num_restarts)]
    found = tightest_kmeans(features, num_clusters, seeds, num_iters, backend)
    unit = F.normalize(features.detach().float(), dim=1)
    # In float64, as k-means leaves no cluster empty.
    _, assignment = nearest_centroids(unit, found.centroids, torch.float64)
    used, assignment = assignment.unique(return_inverse=True)
    # On the CPU, where sums have one order.
    phi = prototype_temperatures(features.cpu(), assignment.cpu(), len(used), temperature, alpha)
    return Prototypes(assignment, found.centroids[used], phi.to(features.device), found.mean_cosine)


def prototype_temperatures(
    features: Tensor, assignment: Tensor, num_clusters: int, temperature: float = 0.2, alpha: float = 10.0
) -> Tensor:
    """Temperatures of clusters: the concentration of each, clipped and scaled to a mean of ``T``.

    A single image has no spread, and gets the largest concentration; then all are clipped to their 10th to 90th
    percentile. Source: Li et al. (ICLR 2021), Eq. 12, and the released code, which clips.

    Args:
        features (Tensor): Shape ``(N, D)``, of any length.
        assignment (Tensor): Cluster of each image, int64 ``(N,)``.
        num_clusters (int): Number of clusters ``K``.
        temperature (float): Mean ``T``. Defaults to 0.2.
        alpha (float): Softens the measure for small clusters. Defaults to 10.

    Returns:
        Tensor: Float64 ``(K,)``; ``T`` everywhere if no cluster has any spread.
    """
    phi, _ = concentrations(features, assignment, num_clusters, alpha)
    is_single = torch.bincount(assignment, minlength=num_clusters) <= 1
    phi = torch.where(is_single, phi.max(), phi)
    low, high = torch.quantile(phi, phi.new_tensor([0.1, 0.9]))
    phi = phi.clamp(low, high)
    mean = phi.mean()
    return temperature * torch.where(mean > 1e-12, phi / mean, 1.0)
