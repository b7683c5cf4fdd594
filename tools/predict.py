"""Predict the classes of images, with calibrated confidence.

    python tools/predict.py WORK_DIR photos/ --out predictions.csv
    python tools/predict.py CONFIG.py CHECKPOINT a.jpg b.jpg
    find / -name '*.jpg' | python tools/predict.py WORK_DIR - --out predictions.jsonl

WORK_DIR is the folder of a run, which holds its config and its last checkpoint, or a checkpoint in it. Folders may be
of any size. An image that cannot be read has a row with the reason; the exit code is 1 only if none could be read.
"""

from __future__ import annotations

import argparse
import sys
import time
from collections.abc import Iterator, Sequence
from contextlib import nullcontext, redirect_stdout
from pathlib import Path
from typing import TYPE_CHECKING, TextIO

from lt_plugins.atomic_write import check_output, growing_file
from lt_plugins.datasets.text_file import show_path
from lt_plugins.errors import UserInputError
from lt_plugins.runs.cli import (
    OverrideAction,
    ToolParser,
    add_data_argument,
    add_pickle_argument,
    add_stage_argument,
    positive_int,
    user_errors,
)
from lt_plugins.terminal import displayable, progress_bar

if TYPE_CHECKING:
    from lt_plugins.prediction.image_reader import ImageBatch
    from lt_plugins.prediction.prediction_file import Prediction

SHEET_IMAGES = 40
SECONDS_BETWEEN_LINES = 60.0
MAX_NAMED = 3


def parse_args(argv: Sequence[str] | None) -> argparse.Namespace:
    """Read the command line."""
    parser = ToolParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument(
        "model",
        metavar="WORK_DIR | CONFIG.py[:VARIANT,...] CHECKPOINT",
        help="the trained model; a checkpoint in its work dir is enough",
    )
    parser.add_argument("images", nargs="+", metavar="IMAGE|DIR|-", help="images, folders of them, or - for stdin")
    parser.add_argument(
        "--out", type=Path, metavar="FILE.csv|.jsonl", help="write one row an image (default: print a line an image)"
    )
    parser.add_argument("--topk", type=positive_int, default=1, metavar="K", help="the K best classes (default: 1)")
    parser.add_argument(
        "--sheet",
        type=Path,
        metavar="FILE.html|.png",
        help=f"contact sheet of the {SHEET_IMAGES} least certain images",
    )
    parser.add_argument(
        "--no-calibration",
        dest="calibration",
        action="store_false",
        help="confidence as the model gives it; by default a temperature is fitted once on the validation images",
    )
    parser.add_argument("--batch-size", type=positive_int, default=32, metavar="N", help="default: 32")
    parser.add_argument(
        "--workers", type=int, metavar="N", help="processes that read images (default: one a core, at most 8)"
    )
    parser.add_argument("--device", help="cpu, cuda, cuda:1, ... (default: cuda if there is one)")
    add_stage_argument(parser, "stage of the run (default: the last one)")
    parser.add_argument(
        "--cfg-options", nargs="+", action=OverrideAction, metavar="KEY=VALUE", help="override config values"
    )
    add_data_argument(parser)
    add_pickle_argument(parser)
    args = parser.parse_args(argv)
    args.checkpoint = args.model
    if not (Path(args.model).is_dir() or args.model.endswith((".pth", ".safetensors"))):
        args.checkpoint, *args.images = args.images
        if not args.images:
            raise UserInputError(
                f"{args.model} {args.checkpoint} names no image: give WORK_DIR IMAGES, or CONFIG.py CHECKPOINT IMAGES."
            )
    return args


def predict(args: argparse.Namespace, stdout: TextIO) -> None:
    """Do what the command line asks for; of what it prints predictions alone go to ``stdout``."""
    from lt_plugins.checkpoints.checkpoint import guard_pickles
    from lt_plugins.prediction.calibration import try_calibrate
    from lt_plugins.prediction.classifier import choose_device, config_beside, open_classifier, read_model_config
    from lt_plugins.prediction.image_paths import ImagePaths
    from lt_plugins.prediction.image_reader import choose_workers, read_batches
    from lt_plugins.prediction.least_certain import LeastCertain, check_sheet, write_sheet
    from lt_plugins.prediction.prediction_file import RowFormat
    from lt_plugins.runs.spec import stage_source

    guard_pickles(args.allow_pickle)
    device, workers = choose_device(args.device), choose_workers(args.workers)
    files = [path for path in args.images if Path(path).is_file()]
    for path in filter(None, (args.out, args.sheet)):
        check_output(path, files)
    if args.sheet:
        check_sheet(args.sheet)
    if args.out:
        RowFormat(args.out, args.topk, is_calibrated=False)  # its ending
    config = config_beside(args.model) if args.model is args.checkpoint else args.model
    cfg = read_model_config(config, args.cfg_options, args.data, args.stage)
    classifier = open_classifier(cfg, stage_source(args.checkpoint, args.stage), device, args.allow_pickle)
    paths = ImagePaths(args.images)
    for note in paths.notes:
        say(f"warning: {note}")
    is_calibrated, how = try_calibrate(classifier, args.calibration, args.batch_size, workers)
    rows = RowFormat(args.out, args.topk, is_calibrated) if args.out else None
    least, summary = LeastCertain(SHEET_IMAGES), Summary()
    with growing_file(args.out) if args.out else nullcontext() as file:
        try:
            if rows and file:
                file.write(rows.header)
            batches = read_batches(paths, classifier.pipeline, args.batch_size, workers)
            for batch in show_progress(batches, paths.total):
                predictions = classifier.predict_batch(batch, args.topk)
                summary.add(batch)
                if args.sheet:
                    least.add(one for one in predictions if not one.error)
                if rows and file:
                    file.write(rows.encode(predictions))
                    file.flush()
                else:
                    print_lines(predictions, stdout)
        except BaseException:
            if file and summary.total:
                say(f"the rows of the first {summary.total:,} images are in {file.name}")
            raise
    written = [str(args.out)] if args.out else []
    if args.sheet and summary.total > summary.num_broken:
        count = write_sheet(args.sheet, least.ranked(), f"The {SHEET_IMAGES} least certain of {summary.total:,} images")
        written.append(f"{args.sheet} ({count} images)")
    say(f"{summary.describe()}; probabilities {how}" + (f"; wrote {', '.join(written)}" if written else ""))
    summary.report_broken(" (column error)" if args.out else "")


class Summary:
    """Counts of a prediction, for its last lines."""

    def __init__(self) -> None:
        self.total = 0
        self.broken: list[str] = []  # descriptions of the first few
        self.num_broken = 0
        self.num_sizes = 1
        self.start = time.monotonic()

    def add(self, batch: ImageBatch) -> None:
        """Count a batch."""
        self.total += len(batch.paths)
        for path, problem in zip(batch.paths, batch.problems, strict=True):
            if problem:
                self.num_broken += 1
                if len(self.broken) < MAX_NAMED:
                    self.broken.append(f"{show_path(path)} ({problem})")
        self.num_sizes = max(self.num_sizes, len(batch.groups))

    def describe(self) -> str:
        """How many images, and how fast."""
        seconds = time.monotonic() - self.start
        return f"{self.total:,} images in {seconds:.1f} s ({self.total / max(seconds, 1e-9):.1f} a second)"

    def report_broken(self, column: str) -> None:
        """Say which images could not be read, and fail if none could."""
        if self.num_sizes > 1:
            say(
                "warning: the images reach the model in different sizes, since the test transforms of the config do "
                "not resize them; a model predicts well at the size that it was trained at."
            )
        if not self.num_broken:
            return
        more = ", ..." if self.num_broken > len(self.broken) else ""
        line = f"{self.num_broken:,} of {self.total:,} images cannot be read{column}: {', '.join(self.broken)}{more}"
        if self.num_broken == self.total:
            raise UserInputError(line)
        say(f"warning: {line}")


def show_progress(batches: Iterator[ImageBatch], total: int | None) -> Iterator[ImageBatch]:
    """Pass batches on, with a progress bar on a terminal, or a line a minute elsewhere."""
    start = last = time.monotonic()
    done = 0
    with progress_bar() as progress:
        task = progress.add_task("images", total=total)
        for batch in batches:
            yield batch
            done += len(batch.paths)
            progress.advance(task, len(batch.paths))
            now = time.monotonic()
            if progress.disable and now - last > SECONDS_BETWEEN_LINES and done != total:
                rate = done / (now - start)
                left = "" if total is None else f" of {total:,}, {describe_seconds((total - done) / rate)} left"
                say(f"{done:,}{left} ({rate:.1f} images a second)")
                last = now


def print_lines(predictions: Sequence[Prediction], stdout: TextIO) -> None:
    """Print one line an image."""
    for one in predictions:
        ranked = (f"{displayable(name)} ({100 * p:.1f} %)" for name, p in zip(one.classes, one.confidence, strict=True))
        shown = f"cannot be read ({one.error})" if one.error else ", ".join(ranked)
        print(f"{show_path(one.path)}: {shown}", file=stdout, flush=True)


def describe_seconds(seconds: float) -> str:
    """Hours, minutes and seconds."""
    minutes, seconds = divmod(int(seconds), 60)
    return f"{minutes // 60}:{minutes % 60:02d}:{seconds:02d}"


def say(text: str) -> None:
    """Print on stderr, so that stdout holds predictions alone."""
    print(text, file=sys.stderr, flush=True)


def main(argv: Sequence[str] | None = None) -> None:
    """Predict."""
    with user_errors():
        args, stdout = parse_args(argv), sys.stdout
        with redirect_stdout(sys.stderr):  # the lines of libraries
            predict(args, stdout)


if __name__ == "__main__":
    main()
