"""The meta sampler draws images by the weights of their classes."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from lt_plugins.datasets.samplers import MetaSampler
from lt_plugins.errors import UserInputError

LABELS = np.array([0] * 60 + [1] * 30 + [2] * 10)


def shares(sampler: MetaSampler) -> np.ndarray:
    return np.bincount(LABELS[list(sampler)], minlength=3) / len(sampler)


def test_images_weigh_as_their_class() -> None:
    sampler = MetaSampler(LABELS, num_samples=40000, seed=0)
    np.testing.assert_allclose(shares(sampler), [0.6, 0.3, 0.1], atol=0.01)
    sampler.set_class_weights(torch.tensor([0.1, 0.2, 0.6]))
    np.testing.assert_allclose(shares(sampler), np.array([6, 6, 6]) / 18, atol=0.01)
    assert np.bincount(list(sampler), minlength=100).min() > 0
    sampler.set_class_weights(None)
    np.testing.assert_allclose(shares(sampler), [0.6, 0.3, 0.1], atol=0.01)


@pytest.mark.parametrize(
    ("weights", "line"),
    [
        ([1.0, 1.0], r"class weights of shape \(2,\) do not fit labels up to 2; give one a class"),
        ([1.0, -1.0, 1.0], "class weights run from -1 to 1; they must be finite and not negative"),
        ([0.0, 0.0, 0.0, 1.0], "one of a class with images positive"),
        ([1.0, float("nan"), 1.0], "must be finite"),
    ],
)
def test_errors(weights: list[float], line: str) -> None:
    with pytest.raises(UserInputError, match=line):
        MetaSampler(LABELS).set_class_weights(weights)
