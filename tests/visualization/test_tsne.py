from __future__ import annotations

import numpy as np
import pytest

from lt_plugins.visualization import tsne_points


def test_clusters_stay_together_and_the_seed_repeats() -> None:
    rng = np.random.default_rng(0)
    label = np.arange(60) % 3
    features = (8 * np.eye(3, 16)[label] + rng.normal(size=(60, 16))).astype(np.float32)
    points = tsne_points(features, seed=1)
    np.testing.assert_array_equal(points, tsne_points(features, seed=1))
    distances = np.linalg.norm(points[:, None] - points, axis=2) + np.diag(np.full(60, np.inf))
    assert (label[distances.argmin(axis=1)] == label).mean() > 0.95


@pytest.mark.parametrize("num_points", [1, 2, 3, 4, 10])
@pytest.mark.filterwarnings("error")
def test_few_points(num_points: int) -> None:
    features = np.random.default_rng(0).normal(size=(num_points, 8)).astype(np.float32)
    points = tsne_points(features)
    assert points.shape == (num_points, 2) and np.isfinite(points).all()
    collapsed = tsne_points(np.broadcast_to(features[:1], features.shape))
    assert collapsed.shape == (num_points, 2) and not collapsed.any()
