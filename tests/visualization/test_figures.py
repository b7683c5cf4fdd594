from __future__ import annotations

import math
from collections.abc import Sequence
from itertools import pairwise

import numpy as np
import pytest
from matplotlib.axes import Axes
from matplotlib.collections import PathCollection
from matplotlib.colors import to_hex
from matplotlib.figure import Figure
from matplotlib.patches import Rectangle
from matplotlib.text import Text
from numpy.typing import NDArray

from lt_plugins.visualization import (
    SweepLine,
    figure_to_png,
    plot_class_accuracy,
    plot_class_histogram,
    plot_confusion_matrix,
    plot_reliability_diagram,
    plot_shot_bars,
    plot_shot_tradeoff,
    plot_training_curves,
)
from lt_plugins.visualization.confusion import confusion_blocks
from lt_plugins.visualization.style import shorten


class Problem:
    """A long-tailed problem whose class order is not the order of sizes."""

    def __init__(self, num_classes: int) -> None:
        rng = np.random.default_rng(0)
        sizes = np.maximum(500 * 0.01 ** (np.arange(num_classes) / (num_classes - 1)), 1).astype(np.int64)
        self.counts = sizes[rng.permutation(num_classes)]
        self.groups = np.select([self.counts > 100, self.counts < 20], ["many", "few"], "medium")
        self.names = [f"class number {index}" for index in range(num_classes)]
        self.accuracy = rng.uniform(0, 100, num_classes)
        self.label = np.repeat(np.arange(num_classes), 3)
        self.predicted = np.where(rng.random(len(self.label)) < 0.5, self.label, self.counts.argmax())


def visible_labels(figure: Figure, axis: str) -> list[Text]:
    figure.draw_without_rendering()
    axes = figure.axes[-1] if axis == "x" else figure.axes[0]
    labels = axes.get_xticklabels() if axis == "x" else axes.get_yticklabels()
    return [label for label in labels if label.get_text()]


def assert_no_overlap(labels: Sequence[Text]) -> None:
    boxes = [label.get_window_extent() for label in labels]
    for first, second in pairwise(boxes):
        assert not first.overlaps(second), [label.get_text() for label in labels]


def assert_sizes(axes: Axes, counts: NDArray[np.int64]) -> None:
    """The sizes of a few classes stand above their bars."""
    expected = [f"{count:,}" for count in counts] if len(counts) <= 15 else []
    assert [text.get_text() for text in axes.texts] == expected
    axes.figure.draw_without_rendering()  # type: ignore[union-attr]
    assert_no_overlap(axes.texts)


SIZES = (10, 30, 100, 1000, 8142)


@pytest.mark.parametrize("num_classes", SIZES)
def test_class_accuracy(num_classes: int) -> None:
    problem = Problem(num_classes)
    problem.accuracy[3] = np.nan
    runs = {"cross-entropy": problem.accuracy, "LPA": np.minimum(problem.accuracy + 5, 100)}
    figure = plot_class_accuracy(runs, problem.counts, problem.groups, problem.names)
    upper, lower = figure.axes
    assert upper.get_ylim()[0] <= 0 < 100 <= upper.get_ylim()[1]
    assert "%" in upper.get_ylabel()
    assert lower.get_xlim() == (-0.5, num_classes - 0.5)
    assert lower.get_ylabel() == "training images"
    assert_no_overlap(visible_labels(figure, "x"))
    order = np.argsort(-problem.counts, kind="stable")
    labels = visible_labels(figure, "x")
    if num_classes <= 120:
        assert [label.get_text() for label in labels] == [problem.names[i] for i in order]
    else:
        ranks = [int(label.get_position()[0]) for label in labels]
        assert (ranks[0], ranks[-1], len(ranks)) == (0, num_classes - 1, 20)
        assert [label.get_text() for label in labels] == [
            f"{rank + 1}: {shorten(problem.names[order[rank]])}" for rank in ranks
        ]
    if num_classes <= 30:
        drawn = [np.asarray(line.get_ydata()) for line in upper.lines]
    else:
        points = [item for item in upper.collections if isinstance(item, PathCollection)]
        drawn = [np.ma.filled(np.ma.asarray(item.get_offsets())[:, 1], np.nan) for item in points]
        assert upper.lines[0].get_label() == "cross-entropy"
        middle = num_classes // 2
        window = max(5, num_classes // 20)
        mean = np.nanmean(problem.accuracy[order][middle - window // 2 : middle - window // 2 + window])
        around = np.asarray(upper.lines[0].get_ydata())[middle - 1 : middle + 2]
        assert around.min() - 1e-9 <= mean <= around.max() + 1e-9
    assert len(drawn) == 2
    for values, expected in zip(drawn, runs.values(), strict=True):
        np.testing.assert_allclose(values, expected[order])
    assert [text.get_text() for text in upper.texts] == ["many", "medium", "few"]
    assert_sizes(lower, problem.counts[order])
    assert len(figure_to_png(figure, 40)) > 1000


@pytest.mark.parametrize("num_classes", SIZES)
def test_class_histogram(num_classes: int) -> None:
    problem = Problem(num_classes)
    figure = plot_class_histogram(problem.counts, problem.groups, problem.names)
    (axes,) = figure.axes
    legend = axes.get_legend()
    assert legend is not None
    for text, group in zip(legend.get_texts(), ("many", "medium", "few"), strict=True):
        members = problem.groups == group
        assert text.get_text() == f"{group}: {members.sum():,} classes, {problem.counts[members].sum():,} images"
    assert len({to_hex(patch.get_facecolor()) for patch in axes.patches}) == 3
    if num_classes <= 100:
        assert [bar.get_height() for bar in axes.patches if isinstance(bar, Rectangle)] == sorted(
            problem.counts, reverse=True
        )
    assert axes.get_ylim()[1] >= problem.counts.max()
    assert_sizes(axes, np.sort(problem.counts)[::-1])
    assert_no_overlap(visible_labels(figure, "x"))


def slow_confusion(problem: Problem, order: NDArray[np.int64], blocks: int) -> list[list[float]]:
    rank = {int(c): r for r, c in enumerate(order)}
    sums = [[0.0] * blocks for _ in range(blocks)]
    for c in range(len(order)):
        own = [i for i in range(len(problem.label)) if problem.label[i] == c]
        for i in own:
            row, column = (rank[k] * blocks // len(order) for k in (c, int(problem.predicted[i])))
            sums[row][column] += 100 / len(own)
    sizes = [sum(rank[c] * blocks // len(order) == row for c in range(len(order))) for row in range(blocks)]
    return [[value / sizes[row] for value in sums[row]] for row in range(blocks)]


@pytest.mark.parametrize("blocks", [10, 7, 3, 1])
def test_confusion_blocks(blocks: int) -> None:
    problem = Problem(10)
    order = np.argsort(-problem.counts, kind="stable")
    matrix = confusion_blocks(problem.label, problem.predicted, order, blocks)
    np.testing.assert_allclose(matrix, slow_confusion(problem, order, blocks))
    np.testing.assert_allclose(matrix.sum(axis=1), 100)


def test_confusion_blocks_without_test_images_or_prediction() -> None:
    matrix = confusion_blocks(np.array([0, 0, 2]), np.array([0, -1, 0]), np.array([2, 1, 0]), 3)
    np.testing.assert_array_equal(matrix, [[0, 0, 100], [np.nan] * 3, [0, 0, 50]])


@pytest.mark.parametrize("num_classes", SIZES)
def test_confusion_matrix(num_classes: int) -> None:
    problem = Problem(num_classes)
    figure = plot_confusion_matrix(problem.label, problem.predicted, problem.counts, problem.names, problem.groups)
    axes, colorbar = figure.axes
    (image,) = axes.images
    cells = min(num_classes, 200)
    shares = np.asarray(image.get_array())
    assert shares.shape == (cells, cells)
    assert image.get_clim() == (0, 100)
    assert "%" in colorbar.get_ylabel()
    assert len(axes.lines) == 4  # two boundaries, across and down
    figure.draw_without_rendering()
    assert_no_overlap([label for label in axes.get_xticklabels() if label.get_text()])
    assert_no_overlap([label for label in axes.get_yticklabels() if label.get_text()])
    if num_classes == 10:
        shown = [float(text.get_text()) for text in axes.texts]
        assert len(shown) == np.count_nonzero(shares)
        assert axes.get_xticklabels()[0].get_text() == problem.names[problem.counts.argmax()]


def test_shot_bars() -> None:
    runs = {
        "CE": {"overall": 38.3, "many": 65.2, "medium": 37.1, "few": 9.1},
        "LPA": {"overall": 53.3, "many": 60.0, "few": 30.0},
    }
    figure = plot_shot_bars(runs)
    (axes,) = figure.axes
    assert [len(container) for container in axes.containers] == [4, 3]
    assert [bar.get_height() for bar in axes.containers[0]] == [38.3, 65.2, 37.1, 9.1]
    ticks = [label.get_text() for label in axes.get_xticklabels()]
    assert ticks == ["overall", "many", "medium", "few"]
    few = axes.containers[1][2]
    assert abs(few.get_x() + few.get_width() / 2 - ticks.index("few")) < 0.5
    assert "60.0" in [text.get_text() for text in axes.texts]
    assert axes.get_ylim()[0] == 0
    many_runs = {f"method {index}": runs["CE"] for index in range(6)}
    figure = plot_shot_bars(many_runs)
    figure.draw_without_rendering()
    numbers = figure.axes[0].texts
    assert_no_overlap([*numbers[::4]])


def test_shot_tradeoff() -> None:
    """A sweep is a line with its chosen setting as a large marker, a method without settings such a marker alone."""
    sweep = SweepLine("tau-norm", [90.0, 85.0, 70.0], [10.0, 40.0, 50.0], ["0", "", "2"], chosen=1)
    figure = plot_shot_tradeoff([SweepLine("as trained", [91.0], [9.0], [""], 0), sweep], "many-shot", "medium-shot")
    (axes,) = figure.axes
    trained, line, chosen = axes.lines
    assert np.asarray(trained.get_xydata()).tolist() == [[91.0, 9.0]]
    assert np.asarray(line.get_xydata()).tolist() == [[90.0, 10.0], [85.0, 40.0], [70.0, 50.0]]
    assert np.asarray(chosen.get_xydata()).tolist() == [[85.0, 40.0]]
    assert (line.get_color(), line.get_marker()) == (chosen.get_color(), chosen.get_marker())
    assert trained.get_color() != chosen.get_color()
    assert [text.get_text() for text in axes.texts] == ["0", "2"]
    assert axes.get_ylabel() == "accuracy on medium-shot classes (%)"
    assert [text.get_text() for text in figure.legends[0].texts] == ["as trained", "tau-norm"]


def test_reliability_diagram() -> None:
    count = np.array([0, 10, 30])
    accuracy, confidence = np.array([np.nan, 0.2, 0.95]), np.array([np.nan, 0.5, 0.9])
    figure = plot_reliability_diagram(count, accuracy, confidence, 11.25)
    upper, lower = figure.axes
    hits, gaps = upper.containers
    assert [bar.get_height() for bar in hits] == pytest.approx([20, 95])
    assert [bar.get_height() for bar in gaps] == pytest.approx([30, -5])
    assert [bar.get_height() for bar in lower.containers[0]] == pytest.approx([0, 25, 75])
    assert "11.25 %" in upper.get_title()
    assert "3 bins" in upper.get_title()
    assert upper.get_xlim() == (0, 100)
    assert upper.get_ylim() == (0, 100)


def test_training_curves() -> None:
    figure = plot_training_curves(
        losses={"loss": ([10, 20], [3.0, 2.0]), "loss_attribute": ([10, 20], [1.0, 0.5])},
        learning_rates={"lr": ([10, 20], [0.1, 0.1])},
        metrics={"shot/accuracy_top1": ([1, 2, 3], [10.0, 30.0, 20.0])},
        monitor="shot/accuracy_top1",
    )
    loss, rate, metric = figure.axes
    assert (loss.get_xlabel(), loss.get_ylabel()) == ("iteration", "loss")
    assert [line.get_label() for line in loss.lines] == ["loss", "loss_attribute"]
    assert np.asarray(rate.lines[0].get_ydata()).tolist() == [0.1, 0.1]
    assert [line.get_label() for line in metric.lines[1:]] == ["best: 30.0 (epoch 2)", "last: 20.0 (epoch 3)"]
    assert metric.get_xlabel() == "epoch"
    assert metric.get_xlim()[0] == loss.get_xlim()[0] == 0
    assert metric.lines[0].get_linewidth() > loss.lines[0].get_linewidth(), "the monitored metric stands out"
    figure.draw_without_rendering()
    legend = metric.get_legend()
    assert legend is not None
    assert not legend.get_window_extent().overlaps(metric.get_window_extent())


@pytest.mark.parametrize(("evaluations", "marker"), [(1, "o"), (20, "o"), (200, "None")])
def test_few_evaluations_are_marked(evaluations: int, marker: str) -> None:
    epochs = range(10, 10 * evaluations + 1, 10)
    figure = plot_training_curves({}, {}, {"shot/accuracy_top1": (epochs, [30.0] * evaluations)})
    assert figure.axes[0].lines[0].get_marker() == marker


def test_training_curves_of_a_run_that_has_just_begun() -> None:
    figure = plot_training_curves({"loss": ([5], [math.nan])}, {}, {})
    assert len(figure.axes) == 1
    assert figure.axes[0].lines[0].get_marker() == "o"
    with pytest.raises(ValueError, match="no curves"):
        plot_training_curves({}, {}, {})
