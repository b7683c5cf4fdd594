"""Magnitudes: the distributions of mmpretrain's ``BaseAugTransform``."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import pytest
from mmpretrain.datasets.transforms import Brightness
from scipy.stats import chi2_contingency, ks_2samp

from lt_plugins.augmentation.draws import Draws
from lt_plugins.augmentation.magnitude import Magnitude, MagnitudeDrawer

NUM_DRAWS = 10000

RULES: dict[str, dict[str, Any]] = {
    "one level": dict(magnitude_level=7, magnitude_range=(0.2, 3.0), random_negative_prob=0.0),
    "falling range": dict(magnitude_level=3, magnitude_range=(256, 0), random_negative_prob=0.0),
    "a negative standard deviation is none": dict(
        magnitude_level=3, magnitude_range=(0, 1), magnitude_std=-1.0, random_negative_prob=0.0
    ),
    "normal": dict(magnitude_level=5, magnitude_range=(-1, 2), magnitude_std=0.7, random_negative_prob=0.0),
    "normal, clipped at both ends": dict(
        magnitude_level=10, magnitude_range=(0, 30), magnitude_std=9.0, total_level=12, random_negative_prob=0.0
    ),
    "uniform": dict(magnitude_level=8, magnitude_range=(0.1, 2.0), magnitude_std="inf", random_negative_prob=0.0),
    "sign": dict(magnitude_level=8, magnitude_range=(0.1, 2.0), magnitude_std="inf", random_negative_prob=0.3),
}


def rule_of(settings: dict[str, Any]) -> Magnitude:
    low, high = settings["magnitude_range"]
    return Magnitude(
        low,
        high,
        level=settings["magnitude_level"],
        level_std=max(0.0, float(settings.get("magnitude_std", 0))),
        total_level=settings.get("total_level", 10),
        negative_prob=settings["random_negative_prob"],
    )


@pytest.mark.parametrize("name", RULES)
def test_distribution(name: str) -> None:
    np.random.seed(0)  # noqa: NPY002 (the generator of all transforms)
    transform = Brightness(**RULES[name])  # draws as all of them
    expected = np.array([transform.random_negative(transform.random_magnitude()) for _ in range(NUM_DRAWS)])
    drawer = MagnitudeDrawer([rule_of(RULES[name])])
    found = drawer.draw(np.zeros(NUM_DRAWS, dtype=np.int64), Draws.of_images(0, 0, 0, range(NUM_DRAWS)))
    if len(np.unique(expected)) == 1:
        assert set(found) == set(expected)
        return
    assert ks_2samp(found, expected).pvalue > 1e-4
    if "clipped" in name:  # how often it lies at the ends
        low, high = rule_of(RULES[name]).bounds()
        ends = np.array([[np.sum(values == low), np.sum(values == high)] for values in (found, expected)])
        assert ends.min() > 500
        assert chi2_contingency(np.column_stack([ends, NUM_DRAWS - ends.sum(axis=1)])).pvalue > 1e-4


def test_each_image_has_a_rule_of_its_own() -> None:
    rules = [Magnitude.fixed(3.5), Magnitude.fixed(-1.0, negative_prob=1.0), *map(rule_of, RULES.values())]
    which = np.random.default_rng(0).integers(0, len(rules), 3000)
    draws = Draws.of_images(0, 0, 0, range(3000))
    found = MagnitudeDrawer(rules).draw(which, draws)
    assert set(found[which == 0]) == {3.5}
    assert set(found[which == 1]) == {1.0}
    for number, rule in enumerate(rules[2:], 2):
        taken = np.flatnonzero(which == number)
        low, high = rule.bounds()
        assert ((np.abs(found[taken]) <= max(abs(low), abs(high))) & (found[taken] >= min(low, -high))).all()


def test_magnitudes_of_an_image_do_not_depend_on_the_batch() -> None:
    drawer = MagnitudeDrawer([*map(rule_of, RULES.values())])
    which = np.arange(50) % len(RULES)
    together = drawer.draw(which, Draws.of_images(0, 0, 0, range(50)))
    alone = [drawer.draw(which[i : i + 1], Draws.of_images(0, 0, 0, [i]))[0] for i in range(50)]
    assert together.tolist() == alone


def test_bounds() -> None:
    assert Magnitude(0, 30, level=5).bounds() == (15, 15)
    assert Magnitude(4, 0, level=5, level_std=1.0).bounds() == (0, 4)
    assert Magnitude(0, 4, level=5, level_std=math.inf).bounds() == (0, 2)
    assert Magnitude.fixed(0.3, negative_prob=0.5).bounds() == (0.3, 0.3)
