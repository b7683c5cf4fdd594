"""Draws by weights: how often each image comes, and what the weights may be."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch
from scipy import stats

from lt_plugins.datasets.samplers import EnvironmentSampler
from lt_plugins.errors import UserInputError
from tests.gloo import run_gloo

LABELS = np.repeat([0, 1, 2], [5, 3, 2])
WEIGHTS = np.array([0.0, 3, 1, 0, 2, 4, 0, 1, 0, 0])


def frequencies(sampler: EnvironmentSampler, epochs: int = 40) -> np.ndarray:
    drawn = []
    for epoch in range(epochs):
        sampler.set_epoch(epoch)
        drawn += list(sampler)
    return np.bincount(drawn, minlength=len(LABELS))


@pytest.mark.parametrize("weights", [None, WEIGHTS, torch.from_numpy(WEIGHTS).float()])
def test_images_come_as_often_as_their_weights_say(weights: np.ndarray | torch.Tensor | None) -> None:
    sampler = EnvironmentSampler(LABELS, num_samples=500, seed=3)
    sampler.set_weights(weights)
    found = frequencies(sampler)
    expected = np.ones(10) if weights is None else np.asarray(weights, dtype=np.float64)
    assert (found[expected == 0] == 0).all(), "an image of weight 0 never comes"
    present = expected > 0
    test = stats.chisquare(found[present], found.sum() * expected[present] / expected.sum())
    assert test.pvalue > 1e-3


def test_an_epoch_is_a_function_of_seed_epoch_and_weights() -> None:
    sampler, other = EnvironmentSampler(LABELS, seed=3), EnvironmentSampler(LABELS, seed=3)
    frequencies(sampler, 3)
    for part in (sampler, other):
        part.set_epoch(7)
        part.set_weights(WEIGHTS)
    assert list(sampler) == list(other)
    other.set_weights(None)
    assert list(sampler) != list(other)
    other.set_weights(10 * WEIGHTS)
    assert list(sampler) == list(other), "of any sum"


def ranks_order() -> list[int]:
    sampler = EnvironmentSampler(LABELS, seed=3)
    sampler.set_weights(WEIGHTS)
    return list(sampler)


def test_two_processes_take_turns(tmp_path: Path) -> None:
    first, second = run_gloo(ranks_order, folder=tmp_path)
    assert [image for pair in zip(first, second, strict=True) for image in pair] == ranks_order()


def test_weights_without_meaning_are_refused() -> None:
    sampler = EnvironmentSampler(LABELS, environment=2)
    with pytest.raises(
        UserInputError, match=r"environment 2 have shape \(3,\), expected one for each of the 10 images"
    ):
        sampler.set_weights([1, 2, 3])
    for weights, message in (
        (-WEIGHTS, "run from -4 to -0"),
        ([*WEIGHTS[:9], np.nan], "run from nan to nan"),
        (np.zeros(10), "run from 0 to 0"),
    ):
        with pytest.raises(UserInputError, match=message):
            sampler.set_weights(weights)
    with pytest.raises(UserInputError, match="environment=-1 must be 0"):
        EnvironmentSampler(LABELS, environment=-1)
