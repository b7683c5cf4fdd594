"""Comparison of runs: numbers side by side, paired tests, gains and losses of classes, curves, settings that differ."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Sequence
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from lt_plugins.analysis.report.aligned_run import AlignedRun, align_runs
from lt_plugins.analysis.report.class_sections import BANDS, CONFUSED_PAIRS, SIZE_CAPTION, describe_trend
from lt_plugins.analysis.report.evaluation import written_on
from lt_plugins.analysis.report.run_report import curve, group_accuracies, monitored
from lt_plugins.analysis.report.sections import SectionedPage
from lt_plugins.analysis.report.settings import differing_settings, summarise
from lt_plugins.errors import UserInputError
from lt_plugins.evaluation.confusions import confused_pairs
from lt_plugins.evaluation.functional import GROUPS
from lt_plugins.evaluation.paired_tests import adjust_p, mcnemar, mcnemar_p, paired_differences
from lt_plugins.evaluation.size_trend import size_trend
from lt_plugins.runs.run_folder import RunFolder
from lt_plugins.visualization import (
    HtmlReport,
    plot_class_accuracy,
    plot_class_differences,
    plot_shot_bars,
    plot_size_trend,
    plot_training_curves,
)
from lt_plugins.visualization.fonts import figure_names

MAX_SETTINGS = 200
SIGNIFICANT = 0.05


class ComparisonReport(SectionedPage):
    """The page of several runs; the others are compared with the first.

    Args:
        runs (Sequence[RunFolder]): The runs, two or more.
        png_dir (Path | None): Also write each figure there.
        say (Callable[[str], None]): Takes the lines that say what is missing.

    Raises:
        UserInputError: If a run has no evaluation, or they have no class in common.
    """

    def __init__(self, runs: Sequence[RunFolder], png_dir: Path | None, say: Callable[[str], None]) -> None:
        self.runs = align_runs(runs)
        title = ", ".join(run.label for run in self.runs)
        super().__init__(f"Comparison: {title}" if len(title) < 80 else f"Comparison of {len(runs)} runs", png_dir, say)
        self.first, *self.others = self.runs
        self.table = self.first.evaluation.table
        self.drawn_names = figure_names(self.table.names)
        self.accuracy = {run.label: run.accuracy for run in self.runs}
        self.paired = {run.label: run.unpaired(self.first) is None for run in self.others}

    def build(self) -> HtmlReport:
        """Write all sections."""
        self.section("What is compared", self.origin)
        self.section("Results", self.results)
        self.section("Differences", self.differences)
        self.section("Accuracy against class size", self.size)
        self.section("Classes gained and lost", self.classes)
        self.section("Confused pairs", self.confused)
        self.section("Training curves", self.training_curves)
        self.section("Settings that differ", self.settings)
        return self.page

    def origin(self) -> None:
        """The evaluations, and whether their images are the same."""
        page = self.page
        page.add_table(
            ["run", "evaluation", "written on", "test images", "classes"],
            [
                (
                    *(run.label, str(run.evaluation.path), written_on(run.evaluation.path)),
                    *(len(run.evaluation.predictions), len(run.evaluation.table.names)),
                )
                for run in self.runs
            ],
        )
        num_common = int((self._truth_counts > 0).sum())
        if any({*run.evaluation.table.names} != {*self.table.names} for run in self.others):
            self.note(f"the runs have different classes; compared are test images of the {num_common} that all have.")
        for run in self.others:
            if (reason := run.unpaired(self.first)) is not None:
                self.note(
                    f"{run.label} was not tested on the images of {self.first.label} ({reason}), so their accuracies "
                    "stand side by side without paired tests."
                )
        if any(self.paired.values()):
            page.add_text(
                "Runs whose test images agree in number, position and label are compared image by image: exact McNemar "
                "tests, and bootstrap intervals over test images (resampled within their class). Both are about these "
                "trained models on other test images; they say nothing about other seeds of the training."
            )
        sizes = [(run.evaluation.table.names, run.evaluation.table.train_counts) for run in self.runs]
        if any(
            names == sizes[0][0] and (counts is None or not np.array_equal(counts, sizes[0][1]))
            for names, counts in sizes[1:]
            if sizes[0][1] is not None
        ):
            self.note(f"the training sets differ; many, medium and few are the groups of {self.first.label}.")

    def results(self) -> None:
        """Numbers of the runs side by side, and what the others differ from the first."""
        metrics = {run.label: run.metrics(self.table.groups) for run in self.runs}
        names = ["overall", *GROUPS, "balanced", "geometric_mean", "harmonic_mean", "ECE"]
        base = metrics[self.first.label]
        rows: list[tuple[Any, ...]] = [
            (
                name,
                *(metrics[run.label].get(name) for run in self.runs),
                *(metrics[run.label][name] - base[name] if name in metrics[run.label] else None for run in self.others),
            )
            for name in names
            if name in base
        ]
        header = ["metric (%)", *metrics, *(f"{run.label} - {self.first.label}" for run in self.others)]
        self.page.add_table(header, rows)
        self.page.add_text(
            "Of the newest evaluation of each run: accuracy over all images, means over the classes of a group and "
            "over all classes, expected calibration error."
        )
        bars = {run: group_accuracies({"accuracy_top1": own["overall"], **own}) for run, own in metrics.items()}
        self.figure("shot_bars", plot_shot_bars(bars), "Accuracy over all images, and mean over each group's classes")

    def differences(self) -> None:
        """Paired tests of each run against the first."""
        rows: list[tuple[Any, ...]] = []
        masks = {} if self.table.groups is None else {group: self.table.groups == group for group in GROUPS}
        for run in self.others:
            if not self.paired[run.label]:
                continue
            test = mcnemar(self.first.correct, run.correct)
            found = paired_differences(
                run.truth, self.first.correct, run.correct, masks or {"all": np.ones(run.num_classes, dtype=bool)}
            )
            for name, (value, low, high) in found.items():
                if name != "all":
                    tail = (*test[:2], show_p(test.p_value)) if name == "overall" else (None, None, None)
                    rows.append((run.label, name, value, low, high, *tail))
        if not rows:
            raise UserInputError(f"no run was tested on the images of {self.first.label}.")
        self.page.add_table(
            [
                *("run", "accuracy", f"difference to {self.first.label}", "95 % from", "to"),
                *("only the first is right", "only this one", "p (McNemar)"),
            ],
            rows,
        )
        self.page.add_text(
            "In percentage points; an interval that holds 0 is no difference that can be told from none."
        )

    def size(self) -> None:
        """Accuracy over class size, runs over each other, and the difference of each class."""
        counts, groups = self.table.train_counts, self.table.groups
        if counts is None or groups is None:
            raise UserInputError(
                f"{self.first.label} has no training counts; add ClassDistributionHook to custom_hooks."
            )
        trends = {}
        for label, accuracy in self.accuracy.items():
            if (trend := size_trend(counts, accuracy)) is not None:
                trends[label] = (trend.size, trend.mean, trend.low, trend.high)
                self.page.add_text(f"{label}: {describe_trend(trend)}")
        if trends:
            self.page.add_text(BANDS)
        figure = plot_size_trend(self.accuracy, counts, trends)
        self.figure(
            "size_trend",
            figure,
            SIZE_CAPTION,
        )
        figure = plot_class_accuracy(self.accuracy, counts, groups, self.drawn_names)
        self.figure("class_accuracy", figure, "Accuracy of each class, classes sorted by their training images")
        for index, run in enumerate(self.others, start=1):
            figure = plot_class_differences(self._gain(run), counts, groups, self.drawn_names)
            caption = f"Accuracy of each class: {run.label} minus {self.first.label}"
            self.figure(f"class_differences_{index}", figure, caption)

    def classes(self) -> None:
        """Each class with its accuracies, differences and tests, the largest change first."""
        table = self.table
        header = ["class", "test images"]
        columns: list[list[Any]] = [[*table.names], self._truth_counts.tolist()]
        if table.train_counts is not None and table.groups is not None:
            header += ["group", "training images"]
            columns += [table.groups.tolist(), table.train_counts.tolist()]
        header += [f"{label} (%)" for label in self.accuracy]
        columns += [accuracy.tolist() for accuracy in self.accuracy.values()]
        largest = np.zeros(len(table.names))
        for run in self.others:
            gain = self._gain(run)
            largest = np.maximum(largest, np.nan_to_num(np.abs(gain)))
            header.append(f"{run.label} - {self.first.label}")
            columns.append(gain.tolist())
            text = f"{run.label}: {(gain > 0).sum()} classes gain, {(gain < 0).sum()} lose, {(gain == 0).sum()} stay."
            if self.paired[run.label]:
                adjusted = self._class_tests(run)
                header.append(f"p of {run.label}" if len(self.others) > 1 else "p (adjusted)")
                columns.append([None if np.isnan(value) else show_p(value) for value in adjusted])
                sure = adjusted < SIGNIFICANT
                text += (
                    f" At a false discovery rate of 5 %, {(sure & (gain > 0)).sum()} gain and "
                    f"{(sure & (gain < 0)).sum()} lose (exact McNemar tests of each class, adjusted by Benjamini and "
                    "Hochberg)."
                )
            self.page.add_text(text)
        rows = [*zip(*columns, strict=True)]
        tested = self._truth_counts > 0
        order = np.lexsort((np.arange(len(rows)), -largest))
        self.page.add_table(header, [rows[index] for index in order if tested[index]])

    def confused(self) -> None:
        """Pairs of classes whose confusion changes most."""
        counts = [
            Counter({pair[:2]: pair.images for pair in confused_pairs(run.truth, run.predicted, run.num_classes)})
            for run in self.runs
        ]
        pairs = {pair for own in counts for pair in own}

        def change(pair: tuple[int, int]) -> tuple[int, int, tuple[int, int]]:
            images = [own[pair] for own in counts]
            return (min(images) - max(images), -max(images), pair)

        rows = [
            (self.table.names[pair[0]], self.table.names[pair[1]], *(own[pair] for own in counts))
            for pair in sorted(pairs, key=change)[:CONFUSED_PAIRS]
        ]
        self.page.add_text("Test images of the first class that are taken for the second; the largest changes first.")
        self.page.add_table(["true class", "taken for", *(run.label for run in self.runs)], rows)

    def training_curves(self) -> None:
        """Loss and accuracy of the runs over each other."""
        losses, metrics, units = {}, {}, []
        for run in self.runs:
            try:
                log = run.run.log()
            except UserInputError as error:
                self.note(str(error))
                continue
            units.append(log.unit)
            losses[run.label] = curve(log.train, "iter", "loss")
            if (name := monitored([name for row in log.metrics for name in row])) is not None:
                metrics[run.label] = curve(log.metrics, "step", name)
        losses = {label: values for label, values in losses.items() if values[0]}
        if not losses and not metrics:
            raise UserInputError("none of the runs has a training log.")
        figure = plot_training_curves(losses, {}, metrics, metric_unit=units[0] if len({*units}) == 1 else "step")
        self.figure("training_curves", figure, "Loss, and overall accuracy on the evaluation set")

    def settings(self) -> None:
        """Settings that tell the runs apart."""
        configs = {run.label: run.run.config()[1] for run in self.runs}
        summaries = [dict(summarise(values)) for values in configs.values()]
        keys = dict.fromkeys(key for summary in summaries for key in summary)
        rows = [(key, *(summary.get(key, "") for summary in summaries)) for key in keys]
        self.page.add_table(["setting", *configs], [row for row in rows if len(set(row[1:])) > 1])
        differing = differing_settings(configs)
        self.page.add_subheading("In the config")
        self.page.add_table(["key", *configs], differing[:MAX_SETTINGS])
        if len(differing) > MAX_SETTINGS:
            self.page.add_text(f"{len(differing) - MAX_SETTINGS} further keys differ.")

    @cached_property
    def _truth_counts(self) -> NDArray[np.int64]:
        return np.bincount(self.first.truth, minlength=len(self.table.names))

    def _gain(self, run: AlignedRun) -> NDArray[np.float64]:
        return self.accuracy[run.label] - self.accuracy[self.first.label]

    def _class_tests(self, run: AlignedRun) -> NDArray[np.float64]:
        """Adjusted p-value of each class, ``(C,)``; NaN without test images."""
        size = len(self.table.names)
        lost = np.bincount(run.truth[self.first.correct & ~run.correct], minlength=size)
        won = np.bincount(run.truth[~self.first.correct & run.correct], minlength=size)
        adjusted = np.full(size, np.nan)
        tested = self._truth_counts > 0
        adjusted[tested] = adjust_p(mcnemar_p(lost[tested], won[tested]))
        return adjusted


def show_p(value: float) -> str:
    """Format a p-value.

    Args:
        value (float): The value.
    """
    return f"{value:.3f}" if value >= 0.001 else f"{value:.1e}"
