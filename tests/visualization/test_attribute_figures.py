"""Figures of attributes, and contact sheets."""

from __future__ import annotations

from itertools import pairwise

import numpy as np
import pytest
from matplotlib.patches import StepPatch

from lt_plugins.visualization import (
    SheetRow,
    draw_contact_sheet,
    plot_class_attributes,
    plot_split_attributes,
    plot_stability,
)
from tests.visualization.layout import assert_apart

NAMES = ("many", "medium", "few")


def test_bars_of_splits_are_their_shares() -> None:
    counts = {"train-glt": np.array([70, 20, 10]), "test-gbl": np.array([5, 5, 5]), "test-lt": np.array([0, 0, 0])}
    figure = plot_split_attributes(counts, NAMES)
    (axes,) = figure.axes
    widths = np.array([[bar.get_width() for bar in container] for container in axes.containers])
    expected = np.array([[0, 0, 0], [100 / 3] * 3, [70, 20, 10]]).T  # the first split is the uppermost
    np.testing.assert_allclose(widths, expected)
    figure.draw_without_rendering()
    labels = [text for text in axes.texts if text.get_text().endswith("images")]
    assert [text.get_text() for text in labels] == ["0 images", "15 images", "100 images"]
    assert_apart(figure, [text.get_window_extent() for text in labels])
    assert [text.get_text() for text in axes.get_yticklabels()] == ["test-lt", "test-gbl", "train-glt"]


@pytest.mark.parametrize("num_classes", [4, 200])
def test_classes_are_stacked_largest_first(num_classes: int) -> None:
    cells = np.random.default_rng(0).integers(0, 50, (num_classes, 3))
    figure = plot_class_attributes(cells, NAMES, [f"class {index}" for index in range(num_classes)], "all")
    (axes,) = figure.axes
    order = np.argsort(-cells.sum(axis=1), kind="stable")
    tops = [patch.get_data() for patch in axes.patches if isinstance(patch, StepPatch)]
    np.testing.assert_array_equal(tops[-1][0], cells[order].sum(axis=1))
    np.testing.assert_array_equal(tops[0][0], cells[order, 0])
    for (values, _, _), (_, _, baseline) in pairwise(tops):
        np.testing.assert_array_equal(values, baseline)
    figure.draw_without_rendering()
    labels = [label for label in axes.get_xticklabels() if label.get_text()]
    assert not any(a.get_window_extent().overlaps(b.get_window_extent()) for a, b in pairwise(labels))


def test_stability_leaves_out_classes_without_attributes() -> None:
    figure = plot_stability(np.array([0.9, np.nan, 0.2, 0.6]), 0.5)
    (axes,) = figure.axes
    np.testing.assert_array_equal(axes.lines[0].get_ydata(), [0.2, 0.6, 0.9])
    figure.draw_without_rendering()
    assert "below 0.5: arbitrary" in [text.get_text() for text in axes.texts]


def test_a_contact_sheet_shows_every_picture_in_its_place() -> None:
    red, green = (np.full((32, 32, 3), value, np.uint8) for value in ((200, 0, 0), (0, 200, 0)))
    wide = np.full((10, 40, 3), (0, 0, 200), np.uint8)
    sheet = draw_contact_sheet([SheetRow("first row", [red, green]), SheetRow("second", [wide])], side=60)
    assert sheet.shape[0] == 2 * (22 + 60 + 4) + 4

    def centre(row: int, column: int) -> list[int]:
        return sheet[4 + row * 86 + 22 + 30, 4 + column * 64 + 30].tolist()

    assert centre(0, 0) == [200, 0, 0] and centre(0, 1) == [0, 200, 0]
    assert centre(1, 0) == [0, 0, 200] and centre(1, 1) == [255, 255, 255]
    assert sheet[4 + 86 + 22 + 4, 34].tolist() == [255, 255, 255], "a wide picture is not stretched"
    assert (sheet[4:26, :80] < 128).any(), "the title is written"


def test_a_row_without_pictures() -> None:
    assert draw_contact_sheet([SheetRow("no images", [])]).shape[2] == 3
