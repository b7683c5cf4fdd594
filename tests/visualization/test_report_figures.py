from __future__ import annotations

from typing import Any

import numpy as np

from lt_plugins.visualization import plot_class_differences, plot_group_reliability, plot_size_trend


def test_class_differences_are_sorted_by_size() -> None:
    difference, counts = np.array([5.0, -3.0, np.nan, 0.0]), np.array([1, 100, 10, 50])
    figure = plot_class_differences(difference, counts, np.array(["few", "many", "medium", "medium"]), list("abcd"))
    (axes,) = figure.axes
    gains, losses = (patch.get_data().values for patch in axes.patches[:2])  # type: ignore[attr-defined]
    assert gains.tolist() == [0, 0, 0, 5] and losses.tolist() == [-3, 0, 0, 0]
    assert [label.get_text() for label in axes.get_xticklabels()] == ["b", "d", "c", "a"]


def test_size_trend_has_points_means_and_intervals() -> None:
    counts = np.array([0, 1, 10, 100])
    accuracy = {"one": np.array([9.0, 10.0, 20.0, 30.0]), "two": np.array([9.0, 40.0, np.nan, 60.0])}
    trend = (np.array([2.0, 50.0]), np.array([12.0, 25.0]), np.array([8.0, np.nan]), np.array([16.0, np.nan]))
    figure = plot_size_trend(accuracy, counts, {"one": trend})
    (axes,) = figure.axes
    points = np.asarray(axes.collections[0].get_offsets())
    assert points.tolist() == [[1, 10], [10, 20], [100, 30]], "a class without training images has no place"
    (line,) = axes.lines
    assert np.asarray(line.get_xydata()).tolist() == [[2, 12], [50, 25]]
    assert axes.get_xscale() == "log"
    assert [text.get_text() for text in figure.legends[0].texts] == ["one", "two"]


def test_reliability_of_groups() -> None:
    bins = (np.array([3, 0, 1]), np.array([0.0, np.nan, 1.0]), np.array([0.2, np.nan, 0.9]))
    figure = plot_group_reliability({"many": bins, "few": bins}, {"many": 17.5, "few": 2.0})
    assert [axes.get_title() for axes in figure.axes] == ["many: ECE 17.5 %", "few: ECE 2.0 %"]
    for axes in figure.axes:
        points: Any = axes.collections[0]
        assert len(axes.collections) == 1
        np.testing.assert_allclose(np.asarray(points.get_offsets()), [[20, 0], [90, 100]])
        assert points.get_sizes()[0] > points.get_sizes()[1], "most predictions are in the first bin"
