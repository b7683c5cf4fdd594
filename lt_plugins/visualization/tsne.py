"""t-SNE: lays features out in two dimensions."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray


def tsne_points(features: NDArray[np.float32], seed: int = 0, perplexity: float = 30.0) -> NDArray[np.float32]:
    """Lay features out in the plane by t-SNE, so that neighbours stay neighbours.

    Distances between far points, and sizes of clusters, mean nothing. Starts from the first two principal components.
    Source: van der Maaten and Hinton, "Visualizing Data using t-SNE" (JMLR 2008).

    Args:
        features (NDArray): One row a point, ``(N, D)`` with ``D`` of at least 2.
        seed (int): Seed. Defaults to 0.
        perplexity (float): About how many neighbours count; less for fewer than 91 points. Defaults to 30.

    Returns:
        NDArray: The points, ``(N, 2)``.
    """
    num_points = len(features)
    if num_points < 2 or not np.ptp(features, axis=0).any():
        return np.zeros((num_points, 2), np.float32)  # nothing to lay out
    from sklearn.manifold import TSNE

    # Three times the perplexity are the neighbours that sklearn looks for.
    perplexity = max(1.0, min(perplexity, (num_points - 1) / 3))
    return TSNE(init="pca", random_state=seed, perplexity=perplexity).fit_transform(features)
