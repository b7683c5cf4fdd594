"""Report of a run: numbers, curves, classes and their errors, calibration and settings, as one page."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

from lt_plugins.analysis.report.class_sections import ClassSections
from lt_plugins.analysis.report.evaluation import Evaluation, written_on
from lt_plugins.analysis.report.sections import SectionedPage
from lt_plugins.analysis.report.settings import summarise
from lt_plugins.errors import UserInputError
from lt_plugins.evaluation.geometry_names import is_percentage
from lt_plugins.runs.run_folder import RunFolder, RunLog
from lt_plugins.visualization import (
    HtmlReport,
    plot_cell_accuracy,
    plot_precision_trend,
    plot_shot_bars,
    plot_training_curves,
)

BEST_EPOCH_NOTE = (
    "The best epoch is the evaluated one with the highest accuracy on the evaluation set. Most published numbers are "
    "chosen like that, on the test set; the last epoch is the honest one."
)
Results = Mapping[str, Mapping[str, float]]


class RunReport(SectionedPage):
    """The page of a run.

    Args:
        run (RunFolder): The run.
        png_dir (Path | None): Also write each figure there.
        say (Callable[[str], None]): Takes the lines that say what is missing.
    """

    def __init__(self, run: RunFolder, png_dir: Path | None, say: Callable[[str], None]) -> None:
        super().__init__(f"Report: {run.path.resolve().name}", png_dir, say)
        self.run = run

    def build(self) -> HtmlReport:
        """Write all sections."""
        self.page.add_text(f"{self.run.path.resolve()}, read on {time.strftime('%Y-%m-%d %H:%M')}")
        self.section("Results", self.results)
        self.section("Training curves", self.training_curves)
        self.classes()
        if any((start / "glt_cells.csv").is_file() for start in self.run.starts):
            self.section("Generalized long tail", self.generalized)
        self.section("Config", self.config)
        return self.page

    def classes(self) -> None:
        """Sections about classes and their test images, from the newest evaluation."""
        try:
            evaluation = Evaluation.read(self.run)
        except UserInputError as error:
            message = str(error)
            self.section("Classes", lambda: self.note(message))
            return
        sections = ClassSections(self, evaluation)

        def worst() -> None:
            self._origin(evaluation.path)
            sections.worst()

        self.section("Worst classes", worst)
        self.section("Mistakes", sections.mistakes)
        self.section("Confusion", sections.confused)
        self.section("Accuracy against class size", sections.size)
        self.section("Calibration", sections.calibration)
        self.section("Classes", sections.classes)

    def results(self) -> None:
        """Best epoch, last epoch and test run in numbers, and over many, medium and few."""
        results: dict[str, Mapping[str, float]] = {}
        try:
            log = self.run.log()
        except UserInputError as error:
            self.note(str(error))
        else:
            self._progress(log)
            results.update(best_and_last(log))
            if not log.metrics:
                self.note("no evaluation has finished yet.")
        try:
            start, metrics = self.run.test_metrics()
            results[f"test run {start}"] = metrics
        except UserInputError as error:
            self.note(str(error))
        if not results:
            return
        found = dict.fromkeys(name for metrics in results.values() for name in metrics)
        names = [name for name in found if is_percentage(name)]
        self.page.add_table(
            ["metric (%)", *results], [[name, *(metrics.get(name) for metrics in results.values())] for name in names]
        )
        self.page.add_text(BEST_EPOCH_NOTE)
        bars = {label: groups for label, metrics in results.items() if (groups := group_accuracies(metrics))}
        if not bars:
            raise UserInputError("the metrics hold no many/medium/few accuracies; add ShotAccuracy to val_evaluator.")
        self.figure("shot_bars", plot_shot_bars(bars), "Accuracy over all images, and mean over each group's classes")

    def training_curves(self) -> None:
        """Losses, learning rates and metrics."""
        log = self.run.log()
        train_names = list(dict.fromkeys(name for row in log.train for name in row))
        found = dict.fromkeys(name for row in log.metrics for name in row if name != "step")
        metric_names = [name for name in found if is_percentage(name)]
        figure = plot_training_curves(
            losses={name: curve(log.train, "iter", name) for name in train_names if "loss" in name},
            learning_rates={name: curve(log.train, "iter", name) for name in train_names if name.endswith("lr")},
            metrics={name: curve(log.metrics, "step", name) for name in metric_names},
            monitor=monitored(metric_names),
            metric_unit=log.unit,
        )
        self.figure("training_curves", figure, "Losses, learning rate and metrics of the evaluation set")

    def generalized(self) -> None:
        """Accuracy over class size and attribute, and precision against accuracy over the epochs, of a GLT run."""
        path, table = self.run.glt_table()
        self._origin(path)
        _, classes = self.run.class_table()
        if classes.train_counts is None or len(classes.train_counts) != len(table.names):
            raise UserInputError(f"{path} has no class sizes beside it; add ShotAccuracy to val_evaluator.")
        figure = plot_cell_accuracy(table.cells(), classes.train_counts, table.groups, table.attribute_names)
        self.figure("cells", figure, "Accuracy over class size and attribute, and the number of test images")
        if trends := self.run.log().precision_trends():
            runs = {test: {self.run.path.resolve().name: trend} for test, trend in trends.items()}
            self.figure("trend", plot_precision_trend(runs), "Precision against accuracy, from the first epoch on")

    def config(self) -> None:
        """The settings that tell runs apart, and the whole config."""
        text, values = self.run.config()
        self.page.add_table(["setting", "value"], summarise(values))
        self.page.add_details("the whole config", text)

    def _progress(self, log: RunLog) -> None:
        if log.train:
            row = log.train[-1]
            epoch = f"epoch {row['epoch']}, " if "epoch" in row else ""
            self.page.add_text(f"Last logged training step: {epoch}iteration {row['iter']}.")
        if log.num_damaged:
            self.note(f"{log.num_damaged} damaged lines of the training log were skipped.")

    def _origin(self, path: Path) -> None:
        self.page.add_text(
            f"From the newest evaluation: {path.relative_to(self.run.path)}, written on {written_on(path)}."
        )


def curve(rows: Sequence[Mapping[str, float]], step: str, name: str) -> tuple[list[float], list[float]]:
    """Steps and values of one scalar."""
    present = [row for row in rows if name in row]
    return [row[step] for row in present], [row[name] for row in present]


def monitored(names: Sequence[str]) -> str | None:
    """The metric that decides which epoch is the best: overall top-1 accuracy."""
    return next((name for name in names if name.endswith("top1")), None)


def best_and_last(log: RunLog) -> Results:
    """The evaluations with the highest overall accuracy and the last one, by a label that names the epoch."""
    if not log.metrics:
        return {}
    rows = {"last": log.metrics[-1]}
    monitor = monitored([name for row in log.metrics for name in row])
    if monitor is not None:
        best = max((row for row in log.metrics if monitor in row), key=lambda row: row[monitor])
        rows = {"best and last": best} if best is rows["last"] else {"best": best, **rows}
    return {
        f"{label} ({log.unit} {row['step']})": {name: value for name, value in row.items() if name != "step"}
        for label, row in rows.items()
    }


def group_accuracies(metrics: Mapping[str, float]) -> dict[str, float]:
    """Overall, many, medium and few of a row of metrics that :class:`ShotAccuracy` made."""
    groups = {name.rpartition("/")[2]: value for name, value in metrics.items()}
    if "balanced" not in groups:
        return {}
    groups["overall"] = groups.get("accuracy_top1", groups["balanced"])
    return {group: groups[group] for group in ("overall", "many", "medium", "few") if group in groups}
