"""The box of CutMix: its size, where it is clipped, and what its share is."""

from __future__ import annotations

import math

import numpy as np
import pytest

from lt_plugins.augmentation.cutmix_box import cutmix_box


@pytest.mark.parametrize("round_up", [False, True])
@pytest.mark.parametrize("size", [(32, 32), (7, 12), (1, 5)])
def test_equals_counted_pixels(size: tuple[int, int], round_up: bool) -> None:
    """Pixel by pixel: within half a side of the centre, before it inclusively."""
    generator = np.random.default_rng(0)
    for share in (0.0, 1.0, *generator.random(40)):
        centre = (int(generator.integers(size[0])), int(generator.integers(size[1])))
        inside = np.zeros(size, dtype=bool)
        for row in range(size[0]):
            for column in range(size[1]):
                offsets = (row - centre[0], column - centre[1])
                sides = [length * math.sqrt(share) for length in size]
                halves = [(math.ceil(side) if round_up else math.floor(side)) // 2 for side in sides]
                inside[row, column] = all(-half <= x < half for x, half in zip(offsets, halves, strict=True))
        box = cutmix_box(*size, share, centre, round_up=round_up)
        found = np.zeros(size, dtype=bool)
        found[box.rows, box.columns] = True
        assert np.array_equal(found, inside)
        assert box.share == pytest.approx(inside.mean(), abs=1e-15)


def test_a_box_in_the_middle_has_the_share_it_is_asked_for() -> None:
    assert cutmix_box(32, 32, 0.25, (16, 16)) == (slice(8, 24), slice(8, 24), 0.25)
    assert cutmix_box(32, 32, 1.0, (16, 16)).share == 1
    assert cutmix_box(32, 32, 0.0, (16, 16)).share == 0


def test_clipping_leaves_the_expected_share() -> None:
    """Mean over all centres by hand: a side of 16 loses a quarter of itself on average at the ends of 32 pixels."""
    shares = [cutmix_box(32, 32, 0.25, (row, column)).share for row in range(32) for column in range(32)]
    kept = [min(row + 8, 32) - max(row - 8, 0) for row in range(32)]
    assert np.mean(shares) == pytest.approx((np.mean(kept) / 32) ** 2)
    assert max(shares) == 0.25
