"""Sums and means of classes, one image after the other."""

from __future__ import annotations

import torch

from lt_plugins.clustering import class_means, class_sums


def test_sums_counts_and_means() -> None:
    generator = torch.Generator().manual_seed(0)
    features = torch.randn(9, 3, generator=generator, dtype=torch.float64)
    labels = [0, 3, 3, 1, 0, 3, 4, 1, 0]  # no image of class 2
    shares = torch.rand(9, generator=generator, dtype=torch.float64)
    for weights in (None, shares):
        expected = [[0.0] * 4 for _ in range(5)]
        for i, label in enumerate(labels):
            share = 1.0 if weights is None else float(weights[i])
            for place, value in enumerate([*features[i].tolist(), 1.0]):
                expected[label][place] += share * value
        sums = class_sums(features, torch.tensor(labels), 5, weights)
        torch.testing.assert_close(sums, torch.tensor(expected, dtype=torch.float64))
    means, counts = class_means(class_sums(features, torch.tensor(labels), 5))
    assert counts.tolist() == [3, 2, 0, 3, 1]
    torch.testing.assert_close(means[3], features[[1, 2, 5]].mean(dim=0))
    assert means[2].tolist() == [0.0] * 3


def test_sums_of_parts_add_up() -> None:
    features, labels = torch.eye(6, dtype=torch.float64), torch.tensor([0, 1, 1, 0, 2, 2])
    parts = sum(class_sums(features[rows], labels[rows], 3) for rows in (slice(0, 2), slice(2, 6)))
    assert torch.equal(torch.as_tensor(parts), class_sums(features, labels, 3))
