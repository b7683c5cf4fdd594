"""Figures of GLT runs: accuracy over class size and attribute, precision against accuracy."""

from __future__ import annotations

from itertools import pairwise
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from lt_plugins.visualization import figure_to_png, plot_cell_accuracy, plot_precision_trend
from lt_plugins.visualization.cell_accuracy import ROWS_A_GROUP, class_rows

COUNTS = np.array([5, 300, 40, 7, 100, 6])
GROUPS = np.array(["few", "many", "medium", "few", "many", ""])
IMAGES = np.array([[4, 0], [10, 2], [6, 6], [4, 4], [10, 2], [1, 0]])
HITS = np.array([[1, 0], [9, 1], [3, 0], [0, 4], [5, 1], [1, 0]])


def cells(axes: Any) -> np.ndarray:
    """What the heat map of an axes shows, not a number where it is empty."""
    return np.asarray(axes.images[0].get_array().filled(np.nan))


def test_cells_are_sums_over_the_classes_of_a_row() -> None:
    figure = plot_cell_accuracy(
        {"CLT": (IMAGES, HITS), "GLT": (IMAGES[:, ::-1], HITS[:, ::-1])}, COUNTS, GROUPS, ["a", "b"]
    )
    assert figure_to_png(figure)[:4] == b"\x89PNG"
    left, right, _ = figure.axes
    assert [axes.get_title() for axes in (left, right)] == ["CLT", "GLT"]
    assert [label.get_text() for label in left.get_yticklabels()] == [
        *("many 300", "many 100", "medium 40", "few 7", "few 5", "6", "all classes"),
    ]
    assert [label.get_text() for label in left.get_xticklabels()] == ["a", "b", "all"]
    shown = cells(left)
    rows: Any = [[90, 50, 10 / 12 * 100], [50, 50, 50], [50, 0, 25], [0, 100, 50], [25, np.nan, 25], [100, np.nan, 100],
                [19 / 35 * 100, 6 / 14 * 100, 25 / 49 * 100]]  # fmt: skip
    np.testing.assert_allclose(shown, rows)
    np.testing.assert_allclose(cells(right)[:, 2], shown[:, 2])
    texts = [text.get_text() for text in left.texts]
    assert texts[:2] == ["90", "10"] and "49" in texts


@settings(max_examples=50, deadline=None)
@given(
    st.lists(st.tuples(st.integers(0, 900), st.sampled_from(["many", "medium", "few", ""])), min_size=1, max_size=40)
)
def test_each_class_is_in_one_row_of_its_group(classes: list[tuple[int, str]]) -> None:
    counts, groups = np.array([count for count, _ in classes]), np.array([group for _, group in classes])
    rows = class_rows(counts, groups)
    assert sorted(np.concatenate(rows).tolist()) == [*range(len(classes))]
    for members in rows:
        assert len({*groups[members].tolist()}) == 1
    for group in {*groups.tolist()}:
        own = [counts[members] for members in rows if groups[members[0]] == group]
        assert len(own) == min(ROWS_A_GROUP, int((groups == group).sum()))
        assert all(upper.min() >= lower.max() for upper, lower in pairwise(own))
        assert max(map(len, own)) - min(map(len, own)) <= 1


def test_runs_keep_their_colours_over_the_test_sets() -> None:
    one, two = ([1.0, 20.0, 40.0], [2.0, 10.0, 44.0]), ([3.0], [4.0])
    figure = plot_precision_trend({"val-glt": {"ce": one}, "val-cbl": {"ifl": two, "ce": one}})
    assert figure_to_png(figure)[:4] == b"\x89PNG"
    left, right = figure.axes
    assert [axes.get_title() for axes in (left, right)] == ["val-glt", "val-cbl"]
    path, last = left.lines
    assert np.asarray(path.get_xydata()).tolist() == [[1, 2], [20, 10], [40, 44]]
    assert np.asarray(last.get_xydata()).tolist() == [[40, 44]]
    assert path.get_color() == right.lines[2].get_color() != right.lines[0].get_color()
    assert [text.get_text() for text in figure.legends[0].get_texts()] == ["ce", "ifl"]


@pytest.mark.parametrize("num_attributes", [1, 12])
def test_any_number_of_attributes(num_attributes: int) -> None:
    images = np.ones((3, num_attributes), dtype=np.int64)
    names = [f"attribute number {number}" for number in range(num_attributes)]
    figure = plot_cell_accuracy({"test-cbl": (images, images)}, np.array([3, 2, 1]), np.array(["few"] * 3), names)
    assert figure_to_png(figure)[:4] == b"\x89PNG"
