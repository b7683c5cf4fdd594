"""Train cross-entropy and LPA on long-tailed digits on the CPU, compare them, and draw what LPA has learned."""

from __future__ import annotations

import argparse
import os
import statistics
import sys
import time
import warnings
from collections.abc import Sequence
from contextlib import redirect_stdout
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

from rich.box import SIMPLE
from rich.console import Console
from rich.progress import BarColumn, Progress, TextColumn, TimeElapsedColumn, TimeRemainingColumn
from rich.table import Table

from lt_plugins.atomic_write import atomic_write
from lt_plugins.resources import CONFIGS, spell_tools
from lt_plugins.runs.cli import ToolParser, user_errors
from lt_plugins.runs.launch import prepare_launch
from lt_plugins.runs.tables import mean_and_spread
from lt_plugins.terminal import drawing_stream

if TYPE_CHECKING:
    from mmengine.hooks import Hook
    from mmengine.runner import Runner

    from lt_plugins.runs.run_folder import RunFolder

METHODS = {
    "cross-entropy": CONFIGS / "demo" / "ce_r20_digits.py",
    "LPA": CONFIGS / "demo" / "lpa_r20_digits.py",
}
COLUMNS = {
    "overall": "shot/accuracy_top1",
    "many": "shot/many",
    "medium": "shot/medium",
    "few": "shot/few",
    "ECE": "calibration/ece",
}
NUM_ATTRIBUTES_SHOWN = 6


class Trained(NamedTuple):
    """A trained method: its work dir, last metrics in percent, seconds of training, and runner."""

    folder: RunFolder
    metrics: dict[str, float]
    seconds: float
    runner: Runner


def progress_hook(progress: Progress, label: str) -> Hook:
    """A hook that moves the progress line on."""
    from mmengine.hooks import Hook

    class ProgressHook(Hook):
        """Adds a line at the first step, and shows each step and its loss."""

        def before_train(self, runner: Runner) -> None:
            """Start the line."""
            self.task = progress.add_task(label, total=runner.max_iters, loss="")

        def after_train_iter(
            self,
            runner: Runner,  # noqa: ARG002 (mmengine's signature)
            batch_idx: int,  # noqa: ARG002
            data_batch: Any = None,  # noqa: ARG002
            outputs: dict | None = None,
        ) -> None:
            """Move it on."""
            progress.update(self.task, advance=1, loss=f"loss {outputs['loss']:.2f}" if outputs else "")

    return ProgressHook()


def train(method: str, seed: int, out: Path, progress: Progress) -> Trained:
    """Train one method as tools/train.py does, with a progress line instead of the log, which goes to the work dir."""
    from lt_plugins.runs.config import load_config
    from lt_plugins.runs.quiet_runner import QuietRunner
    from lt_plugins.runs.run_folder import RunFolder

    cfg = load_config(str(METHODS[method]), {"randomness.seed": seed})
    cfg.work_dir = str(out / f"{METHODS[method].stem}_seed{seed}")
    cfg.default_hooks.checkpoint.overwrite = True  # a demo that is shown again
    prepare_launch(cfg, "none")
    runner = QuietRunner.from_cfg(cfg)
    runner.register_hook(progress_hook(progress, f"{method}, seed {seed}"))
    start = time.perf_counter()
    runner.train()
    seconds = time.perf_counter() - start
    folder = RunFolder(cfg.work_dir)
    return Trained(folder, folder.log().metrics[-1], seconds, runner)


def compare(runs: dict[str, list[Trained]]) -> Table:
    """Make a table with a row a method, averaged over the seeds."""
    num_seeds = len(next(iter(runs.values())))
    title = "UCI digits, imbalance factor 50: accuracy and expected calibration error (ECE) in %"
    title += f", mean of {num_seeds} seeds ± standard deviation" if num_seeds > 1 else ""
    table = Table(title=title, box=SIMPLE, pad_edge=False, collapse_padding=True)
    table.add_column("method", no_wrap=True)
    for column in (*COLUMNS, "time"):
        table.add_column(column, justify="right", no_wrap=True)
    for method, trained in runs.items():
        # Without blanks, for terminals of 80 columns.
        cells = [mean_and_spread([run.metrics[key] for run in trained]).replace(" ", "") for key in COLUMNS.values()]
        seconds = statistics.mean(run.seconds for run in trained)
        table.add_row(method, *cells, f"{seconds:.0f} s")
    return table


def draw(runs: dict[str, list[Trained]], out: Path) -> list[Path]:
    """Write the figures: per-class accuracy as the mean over the seeds, confusion and attributes of the first run."""
    import numpy as np

    from lt_plugins.visualization import figure_to_png, plot_class_accuracy, plot_confusion_matrix

    tables = {method: [run.folder.class_table()[1] for run in trained] for method, trained in runs.items()}
    classes = tables["LPA"][0]
    if classes.train_counts is None or classes.groups is None:
        raise RuntimeError("the digits configs lack ClassDistributionHook")
    accuracies = {method: np.mean([table.accuracy for table in found], axis=0) for method, found in tables.items()}
    figures = {"class_accuracy": plot_class_accuracy(accuracies, classes.train_counts, classes.groups, classes.names)}
    for method, trained in runs.items():
        _, predictions = trained[0].folder.predictions()
        figures[f"confusion_{method.lower()}"] = plot_confusion_matrix(
            predictions.label, predictions.predicted, classes.train_counts, classes.names, classes.groups
        )
    figures["pseudo_attributes"] = draw_attributes(runs["LPA"][0].runner)
    paths = [out / f"{name}.png" for name in figures]
    for path, figure in zip(paths, figures.values(), strict=True):
        atomic_write(path, figure_to_png(figure))
    return paths


def draw_attributes(runner: Runner) -> Any:
    """Draw the training images that show the most shared pseudo-attributes most clearly."""
    from lt_plugins.analysis.attribute_gallery import AttributeGallery
    from lt_plugins.analysis.attribute_retrieval import retrieve_attributes
    from lt_plugins.analysis.figures import draw_attribute_grid
    from lt_plugins.datasets.pipelines import replace_pipeline

    pipeline = runner.cfg.test_dataloader.dataset.pipeline
    dataset = replace_pipeline(runner.train_dataloader.dataset, pipeline)
    retrieval = retrieve_attributes(runner.model, dataset, max_per_class=2)
    gallery = AttributeGallery(runner.model, dataset, retrieval)
    rows = [gallery.attribute_row(k) for k in gallery.most_shared_attributes(NUM_ATTRIBUTES_SHOWN)]
    return draw_attribute_grid(rows, heading="training images that show the pseudo-attribute most clearly")


def parse_args(argv: Sequence[str] | None) -> argparse.Namespace:
    """Read the command line."""
    parser = ToolParser(description=__doc__)
    parser.add_argument("--seed", type=int, default=0, help="first seed")
    parser.add_argument("--seeds", type=int, default=1, metavar="N", help="average over N seeds")
    parser.add_argument("--out", type=Path, default=Path("work_dirs/demo"), help="folder of logs, weights and figures")
    args = parser.parse_args(argv)
    if args.seeds < 1:
        parser.error(f"--seeds {args.seeds} must be at least 1")
    return args


def run(args: argparse.Namespace) -> None:
    """Do what the command line asks for."""
    import torch

    # Small batches gain little from more threads, and threads that wait for each other lose much on a busy machine.
    torch.set_num_threads(1)
    console = Console(file=drawing_stream(sys.stdout))
    progress = Progress(
        TextColumn("{task.description:<22}"),
        BarColumn(),
        TextColumn("{task.fields[loss]:<10}"),
        TimeElapsedColumn(),
        TimeRemainingColumn(),
        console=console,
        redirect_stdout=False,
        redirect_stderr=False,
    )
    warnings.simplefilter("ignore")  # of other packages; the logs in the work dirs have what matters
    runs: dict[str, list[Trained]] = {method: [] for method in METHODS}
    with Path(os.devnull).open("w") as silence, redirect_stdout(silence), progress:
        for seed in range(args.seed, args.seed + args.seeds):
            for method, trained in runs.items():
                trained.append(train(method, seed, args.out, progress))
        paths = draw(runs, args.out)
    console.print(compare(runs))
    print("figures:", *(f"  {path}" for path in paths), sep="\n")
    print(f"a whole report: {spell_tools('python tools/report.py')} {runs['LPA'][0].folder.path}")


def main(argv: Sequence[str] | None = None) -> None:
    """Run the demo."""
    with user_errors():
        run(parse_args(argv))


if __name__ == "__main__":
    main()
