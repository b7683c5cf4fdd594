"""Sections of a report about classes: the worst with their images, confused pairs, class size, calibration, a table."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from functools import cached_property
from typing import Any

import numpy as np
from numpy.typing import NDArray

from lt_plugins.analysis.report.evaluation import Evaluation
from lt_plugins.analysis.report.predicted_images import PredictedImages
from lt_plugins.analysis.report.sections import SectionedPage
from lt_plugins.errors import UserInputError
from lt_plugins.evaluation.confusions import ConfusedPair, class_errors, confused_pairs, worst_classes
from lt_plugins.evaluation.functional import GROUPS, reliability_bins
from lt_plugins.evaluation.size_trend import SizeTrend, size_trend
from lt_plugins.visualization import (
    plot_class_accuracy,
    plot_class_histogram,
    plot_confusion_matrix,
    plot_group_reliability,
    plot_reliability_diagram,
    plot_size_trend,
)
from lt_plugins.visualization.fonts import figure_names

# What bounds a page whatever the number of classes and images: 84 pictures of 96 pixels, 30 + 200 rows.
WORST_CLASSES = 8
IMAGES_OF_A_CLASS = 9
MISTAKES_SHOWN = 12
MISTAKES_LISTED = 200
CONFUSED_PAIRS = 30


class ClassSections:
    """Sections about the classes of the newest evaluation of a run.

    Args:
        report (SectionedPage): The page.
        evaluation (Evaluation): The evaluation.
    """

    def __init__(self, report: SectionedPage, evaluation: Evaluation) -> None:
        self.report = report
        self.evaluation = evaluation
        self.table = evaluation.table
        self.predictions = evaluation.predictions
        self.names = self.table.names
        self.drawn_names = figure_names(self.names)

    @cached_property
    def images(self) -> PredictedImages | None:
        """The test images; None, with a line, where they cannot be opened."""
        try:
            return PredictedImages(self.evaluation.path.parent / "vis_data" / "config.py", self.predictions)
        except UserInputError as error:
            self.report.note(f"no images: {error}.")
            return None

    @cached_property
    def pairs(self) -> list[ConfusedPair]:
        """All confused pairs."""
        return confused_pairs(self.predictions.label, self.predictions.predicted, len(self.names))

    def worst(self) -> None:
        """The classes with the lowest accuracy: what they are taken for, and the most confident wrong images."""
        page = self.report.page
        table = self.table
        chosen = worst_classes(table.accuracy, table.test_counts, table.train_counts, WORST_CLASSES)
        if not len(chosen):
            page.add_text("Every test image is classified right.")
            return
        page.add_text(
            "The classes with the lowest accuracy, and of each the wrong test images with the highest confidence "
            "(true class → predicted class, confidence)."
        )
        for label in chosen.tolist():
            page.add_subheading(self.names[label])
            page.add_text(f"{self._describe(label)}. Taken for {self._taken_for(label)}.")
            self._show(self._mistakes(self.predictions.label == label)[:IMAGES_OF_A_CLASS])

    def mistakes(self) -> None:
        """The wrong predictions with the highest confidence: hard images, or wrong labels."""
        predictions, page = self.predictions, self.report.page
        wrong = self._mistakes(np.ones(len(predictions), dtype=bool))
        page.add_text(
            f"{len(wrong):,} of {len(predictions):,} test images are classified wrongly. Those with the highest "
            "confidence are the first place to look for wrong labels."
        )
        self._show(wrong[:MISTAKES_SHOWN])
        rows = [
            (
                str(predictions.sample_idx[index]) if self.images is None else self.images.name(index),
                self.names[predictions.label[index]],
                self.names[predictions.predicted[index]],
                100 * float(predictions.confidence[index]),
                int(predictions.label_rank[index]) + 1,
            )
            for index in wrong[:MISTAKES_LISTED].tolist()
        ]
        if rows:
            header = ["image", "true class", "predicted class", "confidence (%)", "place of the true class"]
            page.add_table(header, rows)

    def confused(self) -> None:
        """Most confused pairs, and the confusion matrix."""
        page = self.report.page
        images = {(pair.label, pair.predicted): pair.images for pair in self.pairs}
        if self.pairs:
            page.add_text("Pairs of classes with most test images of the first taken for the second.")
            page.add_table(
                ["true class", "taken for", "images", "of its test images (%)", "the other way round"],
                [
                    (
                        *(self.names[pair.label], self.names[pair.predicted], pair.images, pair.share),
                        images.get((pair.predicted, pair.label), 0),
                    )
                    for pair in self.pairs[:CONFUSED_PAIRS]
                ],
            )
        self._tell_spelled()
        # Without the training counts the classes keep their own order.
        sizes = self.table.test_counts * 0 if self.table.train_counts is None else self.table.train_counts
        figure = plot_confusion_matrix(
            self.predictions.label, self.predictions.predicted, sizes, self.drawn_names, self.table.groups
        )
        self.report.figure("confusion", figure, "Predictions for the images of each class")

    def classes(self) -> None:
        """A row for each class, the largest first."""
        table, predictions = self.table, self.predictions
        errors = class_errors(predictions.label, predictions.predicted, predictions.confidence, len(self.names))
        is_known = table.train_counts is not None and table.groups is not None
        header = ["rank", "number", "class"] if is_known else ["number", "class"]
        header += ["group", "training images"] if is_known else []
        header += ["test images", "accuracy (%)", "precision (%)", "confidence (%)", "most often taken for", "images"]
        rows: list[Sequence[Any]] = []
        for rank, label in enumerate(self.evaluation.order.tolist(), start=1):
            row: list[Any] = [label, self.names[label]]
            if table.train_counts is not None and table.groups is not None:
                row = [rank, *row, str(table.groups[label]), int(table.train_counts[label])]
            other = int(errors.confused_with[label])
            row += [int(table.test_counts[label]), table.accuracy[label], errors.precision[label]]
            row += [errors.confidence[label], "" if other < 0 else self.names[other]]
            rows.append((*row, int(errors.confused_count[label]) or None))
        self.report.page.add_text(
            "Accuracy is the share of the class's test images that are right (recall), precision that of the "
            "predictions for the class; confidence is the mean over its test images. A click on a column sorts."
        )
        self.report.page.add_table(header, rows)

    def size(self) -> None:
        """Accuracy over class size with its trend, and the sizes."""
        table, report = self.table, self.report
        if table.train_counts is None or table.groups is None:
            raise UserInputError(
                f"{self.evaluation.path.parent / 'per_class.csv'} has no training counts; add ClassDistributionHook to "
                "custom_hooks."
            )
        if num_untested := int((table.test_counts == 0).sum()):
            report.page.add_text(f"{num_untested} classes have no test images.")
        trend = size_trend(table.train_counts, table.accuracy)
        trends = {} if trend is None else {"accuracy": (trend.size, trend.mean, trend.low, trend.high)}
        if trend is not None:
            report.page.add_text(f"{describe_trend(trend)} {BANDS}")
        figure = plot_size_trend({"accuracy": table.accuracy}, table.train_counts, trends)
        report.figure(
            "size_trend",
            figure,
            SIZE_CAPTION,
        )
        self._tell_spelled()
        figure = plot_class_accuracy({"accuracy": table.accuracy}, table.train_counts, table.groups, self.drawn_names)
        report.figure("class_accuracy", figure, "Accuracy of each class, classes sorted by their training images")
        figure = plot_class_histogram(table.train_counts, table.groups, self.drawn_names)
        report.figure("class_histogram", figure, "Training images of each class")

    def calibration(self) -> None:
        """Reliability of all test images, and of those of many-, medium- and few-shot classes."""
        predictions, report = self.predictions, self.report
        bins = reliability_bins(predictions.confidence, predictions.correct)
        error = bins.expected_calibration_error
        figure = plot_reliability_diagram(bins.count, bins.accuracy, bins.confidence, error)
        report.figure("reliability", figure, f"Confidence against accuracy; expected calibration error {error:.2f} %")
        if self.table.groups is None:
            return
        of_image = self.table.groups[predictions.label]
        masks = {group: of_image == group for group in GROUPS if (of_image == group).any()}
        groups = {
            group: reliability_bins(predictions.confidence[mask], predictions.correct[mask])
            for group, mask in masks.items()
        }
        rows = []
        for group, mask in {"all": np.ones(len(predictions), dtype=bool), **masks}.items():
            hits, confidence = 100 * predictions.correct[mask].mean(), 100 * predictions.confidence[mask].mean()
            own = bins if group == "all" else groups[group]
            counts = (int(mask.sum()), float(hits), float(confidence), float(confidence - hits))
            rows.append((group, *counts, own.expected_calibration_error))
        header = ["test images of", "images", "accuracy (%)", "confidence (%)", "overconfidence", "ECE (%)"]
        report.page.add_table(header, rows)
        figure = plot_group_reliability(
            {group: (own.count, own.accuracy, own.confidence) for group, own in groups.items()},
            {group: own.expected_calibration_error for group, own in groups.items()},
        )
        report.figure("group_reliability", figure, "Confidence against accuracy on the test images of each group")

    def _tell_spelled(self) -> None:
        """Say once how figures show names that no font has."""
        spelled = [(name, drawn) for name, drawn in zip(self.names, self.drawn_names, strict=True) if name != drawn]
        if spelled and not getattr(self, "_told", False):
            self._told = True
            example = ", ".join(f"{drawn} for {name}" for name, drawn in spelled[:3])
            self.report.note(
                f"no installed font has all characters of {len(spelled)} class names; figures show {example} (the "
                "numbers are those in the table of classes). A font like fonts-noto-cjk shows them as they are."
            )

    def _describe(self, label: int) -> str:
        table = self.table
        images = "image" if table.test_counts[label] == 1 else "images"
        text = f"{table.accuracy[label]:.1f} % of {table.test_counts[label]:,} test {images} right"
        if table.train_counts is not None and table.groups is not None:
            text += f", {table.train_counts[label]:,} training images ({table.groups[label]}-shot)"
        return text

    def _taken_for(self, label: int, limit: int = 5) -> str:
        own = [pair for pair in self.pairs if pair.label == label]
        text = ", ".join(f"{self.names[pair.predicted]} ({pair.images})" for pair in own[:limit])
        return text + (f" and {len(own) - limit} others" if len(own) > limit else "")

    def _mistakes(self, of: NDArray[np.bool_]) -> NDArray[np.int64]:
        """Wrong predictions among some, highest confidence first, ``(M,)``."""
        wrong = np.flatnonzero(of & ~self.predictions.correct)
        return wrong[np.argsort(-self.predictions.confidence[wrong], kind="stable")]

    def _show(self, indices: NDArray[np.int64]) -> None:
        if self.images is not None:
            self.report.page.add_images(self._pictures(self.images, indices.tolist()), as_jpeg=True)

    def _pictures(self, images: PredictedImages, indices: Iterable[int]) -> Iterable[tuple[NDArray[np.uint8], str]]:
        for index in indices:
            if (image := images.open(index)) is not None:
                truth, predicted = self.predictions.label[index], self.predictions.predicted[index]
                confidence = 100 * self.predictions.confidence[index]
                yield (
                    image.pixels,
                    f"{self.names[truth]} → {self.names[predicted]}, {confidence:.0f}\N{NO-BREAK SPACE}%",
                )


SIZE_CAPTION = "Accuracy of each class over its training images (points), and means of bins of classes (line)"
BANDS = "Bands are 95 % confidence intervals of the mean over the classes of a bin."


def describe_trend(trend: SizeTrend) -> str:
    """Trend of accuracy over class size in a sentence.

    Args:
        trend (SizeTrend): The trend.
    """
    if np.isnan(trend.slope):
        return "All classes have the same number of training images, so there is no trend."
    rank = "" if np.isnan(trend.rank_correlation) else f"; rank correlation {trend.rank_correlation:.2f}"
    return (
        f"Ten times as many training images go with {trend.slope:+.1f} ± {trend.slope_error:.1f} percentage points "
        f"(least squares over classes, standard error{rank})."
    )
