"""Draw up a run as one self-contained HTML page; works while the run is still going on."""

from __future__ import annotations

import argparse
import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from lt_plugins.atomic_write import atomic_write, check_output
from lt_plugins.errors import UserInputError
from lt_plugins.runs.cli import ToolParser, add_stage_argument, user_errors

if TYPE_CHECKING:
    from matplotlib.figure import Figure

    from lt_plugins.runs.run_folder import RunFolder, RunLog
    from lt_plugins.visualization import HtmlReport

BEST_EPOCH_NOTE = (
    "The best epoch is the evaluated one with the highest accuracy on the evaluation set. Most published numbers are "
    "chosen like that, on the test set; the last epoch is the honest one."
)
Results = Mapping[str, Mapping[str, float]]


class RunReport:
    """The page of a run, section by section; a section whose input is missing becomes one line.

    Args:
        run (RunFolder): The run.
        png_dir (Path | None): Also write each figure there.
    """

    def __init__(self, run: RunFolder, png_dir: Path | None) -> None:
        from lt_plugins.visualization import HtmlReport

        self.run = run
        self.png_dir = png_dir
        self.page = HtmlReport(f"Report: {run.path.resolve().name}")

    def build(self) -> HtmlReport:
        """Write all sections."""
        self.page.add_text(f"{self.run.path.resolve()}, read on {time.strftime('%Y-%m-%d %H:%M')}")
        self._section("Results", self.results)
        self._section("Training curves", self.training_curves)
        self._section("Accuracy against class size", self.class_accuracy)
        if any((start / "glt_cells.csv").is_file() for start in self.run.starts):
            self._section("Generalized long tail", self.generalized)
        self._section("Confusion", self.confusion)
        self._section("Calibration", self.calibration)
        self._section("Config", self.config)
        return self.page

    def results(self) -> None:
        """Best epoch, last epoch and test run in numbers, and over many, medium and few."""
        from lt_plugins.evaluation.geometry_names import is_percentage
        from lt_plugins.visualization import plot_shot_bars

        results: dict[str, Mapping[str, float]] = {}
        try:
            log = self.run.log()
        except UserInputError as error:
            self._note(str(error))
        else:
            self._progress(log)
            results.update(best_and_last(log))
            if not log.metrics:
                self._note("no evaluation has finished yet.")
        try:
            start, metrics = self.run.test_metrics()
            results[f"test run {start}"] = metrics
        except UserInputError as error:
            self._note(str(error))
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
        self._figure("shot_bars", plot_shot_bars(bars), "Accuracy over all images, and mean over each group's classes")

    def training_curves(self) -> None:
        """Losses, learning rates and metrics."""
        from lt_plugins.evaluation.geometry_names import is_percentage
        from lt_plugins.visualization import plot_training_curves

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
        self._figure("training_curves", figure, "Losses, learning rate and metrics of the evaluation set")

    def class_accuracy(self) -> None:
        """Per-class accuracy over class size, and the sizes."""
        from lt_plugins.visualization import plot_class_accuracy, plot_class_histogram

        path, table = self.run.class_table()
        self._origin(path)
        if table.train_counts is None or table.groups is None:
            raise UserInputError(f"{path} has no training counts; add ClassDistributionHook to custom_hooks.")
        if num_untested := int((table.test_counts == 0).sum()):
            self.page.add_text(f"{num_untested} classes have no test images.")
        figure = plot_class_accuracy({"accuracy": table.accuracy}, table.train_counts, table.groups, table.names)
        self._figure("class_accuracy", figure, "Accuracy of each class, classes sorted by their training images")
        figure = plot_class_histogram(table.train_counts, table.groups, table.names)
        self._figure("class_histogram", figure, "Training images of each class")

    def generalized(self) -> None:
        """Accuracy over class size and attribute, and precision against accuracy over the epochs, of a GLT run."""
        from lt_plugins.visualization import plot_cell_accuracy, plot_precision_trend

        path, table = self.run.glt_table()
        self._origin(path)
        _, classes = self.run.class_table()
        if classes.train_counts is None or len(classes.train_counts) != len(table.names):
            raise UserInputError(f"{path} has no class sizes beside it; add ShotAccuracy to val_evaluator.")
        figure = plot_cell_accuracy(table.cells(), classes.train_counts, table.groups, table.attribute_names)
        self._figure("cells", figure, "Accuracy over class size and attribute, and the number of test images")
        if trends := self.run.log().precision_trends():
            runs = {test: {self.run.path.resolve().name: trend} for test, trend in trends.items()}
            self._figure("trend", plot_precision_trend(runs), "Precision against accuracy, from the first epoch on")

    def confusion(self) -> None:
        """Confusion matrix."""
        from lt_plugins.visualization import plot_confusion_matrix

        path, predictions = self.run.predictions()
        _, table = self.run.class_table()
        if predictions.num_classes != len(table.names):
            raise UserInputError(
                f"{path} has predictions for {predictions.num_classes} classes and the table beside it "
                f"{len(table.names)}; evaluate again."
            )
        self._origin(path)
        # Without the training counts the classes keep their own order.
        sizes = table.test_counts * 0 if table.train_counts is None else table.train_counts
        figure = plot_confusion_matrix(predictions.label, predictions.predicted, sizes, table.names, table.groups)
        self._figure("confusion", figure, "Predictions for the images of each class")

    def calibration(self) -> None:
        """Reliability diagram."""
        from lt_plugins.evaluation.functional import reliability_bins
        from lt_plugins.visualization import plot_reliability_diagram

        path, predictions = self.run.predictions()
        self._origin(path)
        bins = reliability_bins(predictions.confidence, predictions.correct)
        error = bins.expected_calibration_error
        figure = plot_reliability_diagram(bins.count, bins.accuracy, bins.confidence, error)
        self._figure("reliability", figure, f"Confidence against accuracy; expected calibration error {error:.2f} %")

    def config(self) -> None:
        """The settings that tell runs apart, and the whole config."""
        text, values = self.run.config()
        self.page.add_table(["setting", "value"], summarise(values))
        self.page.add_details("the whole config", text)

    def _section(self, heading: str, write: Callable[[], None]) -> None:
        self.page.add_heading(heading)
        try:
            write()
        except UserInputError as error:
            self._note(str(error))

    def _note(self, text: str) -> None:
        self.page.add_text(text)
        print(f"note: {text}")

    def _progress(self, log: RunLog) -> None:
        if log.train:
            row = log.train[-1]
            epoch = f"epoch {row['epoch']}, " if "epoch" in row else ""
            self.page.add_text(f"Last logged training step: {epoch}iteration {row['iter']}.")
        if log.num_damaged:
            self._note(f"{log.num_damaged} damaged lines of the training log were skipped.")

    def _origin(self, path: Path) -> None:
        written = time.strftime("%Y-%m-%d %H:%M", time.localtime(path.stat().st_mtime))
        self.page.add_text(f"From the newest evaluation: {path.relative_to(self.run.path)}, written on {written}.")

    def _figure(self, name: str, figure: Figure, caption: str) -> None:
        png = self.page.add_figure(figure, caption)
        if self.png_dir is not None:
            atomic_write(self.png_dir / f"{name}.png", png)


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


def summarise(config: Mapping[str, Any]) -> list[tuple[str, str]]:
    """The settings that tell runs apart, as rows of a table; what a config does not have is left out."""
    keys = {
        "model": "model.type",
        "backbone": "model.backbone.type",
        "backbone depth": "model.backbone.depth",
        "head": "model.head.type",
        "loss": "model.head.loss.type",
        "classes": "model.head.num_classes",
        "dataset": "train_dataloader.dataset",
        "batch size per process": "train_dataloader.batch_size",
        "epochs": "train_cfg.max_epochs",
        "iterations": "train_cfg.max_iters",
        "optimizer": "optim_wrapper.optimizer",
        "schedule": "param_scheduler",
        "seed": "randomness.seed",
    }
    rows = []
    for label, key in keys.items():
        value: Any = config
        for part in key.split("."):
            value = value.get(part) if isinstance(value, dict) else None
        if value is not None:
            rows.append((label, describe(value)))
    return rows


def describe(value: Any) -> str:
    """A config value in one line, without the transforms."""
    if isinstance(value, dict):
        settings = [f"{key}={describe(item)}" for key, item in value.items() if key not in ("type", "pipeline")]
        return f"{value.get('type', 'dict')}({', '.join(settings)})"
    if isinstance(value, list):
        return f"[{', '.join(map(describe, value))}]"
    return str(value)


def parse_args(argv: Sequence[str] | None) -> argparse.Namespace:
    """Read the command line."""
    parser = ToolParser(description=__doc__)
    parser.add_argument("work_dir", help="work dir of the run, like work_dirs/NAME")
    add_stage_argument(parser, "stage of the run to draw up (default: the last one)")
    parser.add_argument("-o", "--out", help="the page (default: report.html in the work dir, or in that of the stage)")
    parser.add_argument("--png", metavar="DIR", help="also write each figure as a PNG file there")
    return parser.parse_args(argv)


def write_report(args: argparse.Namespace) -> None:
    """Do what the command line asks for."""
    from lt_plugins.runs.run_folder import RunFolder
    from lt_plugins.runs.spec import stage_source

    work_dir = stage_source(args.work_dir, args.stage)
    report = RunReport(RunFolder(work_dir), Path(args.png) if args.png else None)
    out = Path(args.out or Path(work_dir, "report.html"))
    check_output(out, report.run.files())
    report.build().save(out)
    print(f"wrote {out}")


def main(argv: Sequence[str] | None = None) -> None:
    """Write the report."""
    with user_errors():
        write_report(parse_args(argv))


if __name__ == "__main__":
    main()
