"""What counts and names of classes say before anything is trained."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from lt_plugins.datasets.class_sizes import background_classes, suggest_thresholds


@pytest.mark.parametrize(
    ("counts", "expected"),
    [
        ([500, 300, 150, 90, 50, 30, 15, 8, 5], (100, 20)),  # the field's, as every group has classes
        ([60, 50, 40, 30, 20, 15, 10, 8, 6, 4, 3, 3], (20, 10)),  # no class above 100: 4, 4 and 4
        ([9, 7, 4, 3, 1, 1], (5, 2)),
        ([50, 50, 50], (100, 20)),  # balanced: nothing to split
        ([50, 0, 0], (100, 20)),
        ([], (100, 20)),
    ],
)
def test_thresholds(counts: list[int], expected: tuple[int, int]) -> None:
    assert suggest_thresholds(np.array(counts, dtype=np.int64)) == expected


@given(st.lists(st.integers(0, 2000), max_size=40))
def test_no_pair_of_round_numbers_splits_better(counts: list[int]) -> None:
    many, few = suggest_thresholds(np.array(counts, dtype=np.int64))
    assert 0 <= few <= many
    present = [n for n in counts if n]

    def spread(many: int, few: int) -> int:
        sizes = [sum(n > many for n in present), sum(few <= n <= many for n in present), sum(n < few for n in present)]
        return max(sizes) - min(sizes)

    if (many, few) != (100, 20):
        for other in [(2000, 200), (200, 50), (100, 20), (50, 10), (20, 5), (10, 2)]:
            assert spread(many, few) <= spread(*other)


def test_background_like_names() -> None:
    names = [
        *("BACKGROUND_Google", "other", "Others", "misc.", "unknown-bird", "01_background", "none of these"),
        *("mother", "brother", "restaurant", "noisy miner", "cat", "Дом", ""),
    ]
    assert background_classes(names) == list(range(7))
