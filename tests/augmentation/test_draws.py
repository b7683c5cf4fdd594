"""Random numbers of an image: those of SplitMix64, independent of what else is in the batch."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from scipy.stats import chisquare, kstest

from lt_plugins.augmentation.draws import Draws

MASK = (1 << 64) - 1


def splitmix(state: int) -> int:
    """The mixing function in Python's integers."""
    state = ((state ^ (state >> 30)) * 0xBF58476D1CE4E5B9) & MASK
    state = ((state ^ (state >> 27)) * 0x94D049BB133111EB) & MASK
    return state ^ (state >> 31)


def test_is_splitmix64() -> None:
    """The published stream of seed 1234567 (Vigna's splitmix64.c)."""
    draws = Draws(np.array([1234567], dtype=np.uint64))
    expected = [6457827717110365317, 3203168211198807973, 9817491932198370423]
    assert [int(draws._next()[0]) for _ in range(3)] == expected


def test_key_follows_from_every_number() -> None:
    numbers: dict[str, Any] = {"seed": 3, "epoch": 5, "view": 1, "occurrences": 2, "indices": [11]}
    key = 0
    for number in (3, 5, 1, 2, 11):
        key = splitmix((key + number + 0x9E3779B97F4A7C15) & MASK)
    assert int(Draws.of_images(**numbers).keys[0]) == key
    for name in ("seed", "epoch", "view", "occurrences"):
        assert int(Draws.of_images(**{**numbers, name: 99}).keys[0]) != key


def test_numbers_of_an_image_do_not_depend_on_the_batch() -> None:
    everyone, alone = (Draws.of_images(0, 1, 0, i) for i in (range(100), [42]))
    for _ in range(3):
        assert everyone.uniform()[42] == alone.uniform()[0]
    assert everyone.take([3, 42]).uniform()[1] == alone.take([0]).uniform()[0]
    assert everyone.integers(0, 1000)[42] == alone.integers(0, 1000)[0]


def test_streams_are_unrelated() -> None:
    draws = Draws.of_images(0, 0, 0, range(20000))
    columns = [draws.uniform(), draws.uniform(), draws.fork().uniform(), draws.fork().uniform()]
    columns.append(Draws.of_images(0, 1, 0, range(20000)).uniform())
    columns.append(Draws.of_images(0, 0, 1, range(20000)).uniform())
    correlation = np.corrcoef(np.stack([*columns, np.roll(columns[0], 1)]))
    assert np.abs(correlation - np.eye(len(correlation))).max() < 0.03  # 4 standard deviations


@pytest.mark.parametrize("num_values", [2, 9, 25])
def test_integers_are_uniform(num_values: int) -> None:
    values = Draws.of_images(1, 2, 0, range(50000)).integers(5, 5 + num_values)
    counts = np.bincount(values - 5, minlength=num_values)
    assert len(counts) == num_values
    assert chisquare(counts).pvalue > 1e-4


def test_range_and_probability() -> None:
    draws = Draws.of_images(1, 2, 0, range(50000))
    values = draws.uniform(-2, 4)
    assert -2 <= values.min() < -1.99
    assert 3.99 < values.max() < 4
    assert abs(draws.happens(0.3).mean() - 0.3) < 0.01
    assert not draws.happens(0.0).any()
    assert draws.happens(1.0).all()


def test_normal() -> None:
    draws = Draws.of_images(1, 2, 0, range(50000))
    first, second = draws.normal(3, 0.5), draws.normal()
    assert kstest((first - 3) / 0.5, "norm").pvalue > 1e-4
    assert abs(np.corrcoef(first, second)[0, 1]) < 0.02
