"""Check images before training on them: a folder, a list or a CSV file of your own, or the datasets of a config.

Is every image there, a regular file of a sane size, and can it be decoded to the last byte? How many images have the
classes, which of them are too small to be measured, and which recipe fits them? Do the labels mean the same in every
split? Is an image of one split also in another one, or twice under different labels? Of images of your own also: which
look alike, and which formats, sizes and channels there are; nothing but the images is needed. Ends with exit code 1 and
a list of what is wrong.

    python tools/check_data.py my_photos --out my_photos.html
    python tools/check_data.py configs/_base_/datasets/imagenet-lt.py --workers 8
"""

from __future__ import annotations

import argparse
import sys
from collections import defaultdict
from collections.abc import Sequence
from itertools import combinations
from pathlib import Path
from typing import TYPE_CHECKING, Any

from rich.console import Console
from rich.progress import Progress
from rich.table import Table

from lt_plugins.atomic_write import check_output
from lt_plugins.errors import UserInputError
from lt_plugins.runs.cli import (
    ToolParser,
    add_config_arguments,
    add_imbalance_argument,
    add_shot_thresholds_argument,
    config_overrides,
    user_errors,
)
from lt_plugins.terminal import drawing_stream

if TYPE_CHECKING:
    import numpy as np
    from mmengine.config import Config
    from numpy.typing import NDArray

    from lt_plugins.datasets.integrity import ImageReport
    from lt_plugins.evaluation.shot_thresholds import ShotThresholds

SPLITS = ("train", "val", "test")


def parse_args(argv: Sequence[str] | None) -> argparse.Namespace:
    """Read the command line."""
    parser = ToolParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    add_config_arguments(
        parser, also="DIR|LIST|CSV", help_text="images of your own, as --data of train.py takes them; or a "
    )
    add_imbalance_argument(parser)
    add_shot_thresholds_argument(parser)
    parser.add_argument("--out", metavar="FILE.png|html", help="draw the class sizes, as a picture or a page")
    parser.add_argument("--split", default=",".join(SPLITS), help="of a config: which to check (default: %(default)s)")
    parser.add_argument(
        "--workers", type=int, default=0, help="of a config: processes that read images (default: %(default)s)"
    )
    parser.add_argument("--max-shown", type=int, default=20, help="findings shown of a kind (default: %(default)s)")
    return parser.parse_args(argv)


def build_datasets(cfg: Config, splits: Sequence[str]) -> tuple[dict[str, Any], list[str]]:
    """The datasets to check, and why others cannot be built; an error if none can.

    A split that repeats another one (most configs validate on the test set) is left out.
    """
    from mmpretrain.registry import DATASETS

    datasets: dict[str, Any] = {}
    configs: list[Any] = []
    problems: list[str] = []
    if unknown := [split for split in splits if split not in SPLITS]:
        raise UserInputError(f"--split {unknown[0]!r} is not one of {', '.join(SPLITS)}")
    for split in splits:
        dataset_cfg = (cfg.get(f"{split}_dataloader") or {}).get("dataset")
        if dataset_cfg is None:
            raise UserInputError(f"the config has no {split}_dataloader.dataset; choose other splits with --split")
        if dataset_cfg not in configs:
            configs.append(dataset_cfg)
            try:
                datasets[split] = DATASETS.build(dataset_cfg)
            except UserInputError as error:
                problems.append(f"{split}: {error}")
    if not datasets:
        raise UserInputError(problems[0])
    return datasets, problems


def count_table(datasets: dict[str, Any], num_classes: int, thresholds: ShotThresholds) -> Table:
    """Class counts of each split."""
    from lt_plugins.datasets.labels import get_class_counts
    from lt_plugins.models.structures import ClassDistribution

    table = Table("split", "images", "classes", "largest", "smallest", "imbalance factor", "many / medium / few")
    for split, dataset in datasets.items():
        counts = get_class_counts(dataset, num_classes)
        distribution = ClassDistribution(num_classes, *thresholds)
        distribution.set_counts(counts)
        groups = (distribution.many, distribution.medium, distribution.few) if split == "train" else ()
        present = counts[counts > 0]
        table.add_row(
            split,
            str(int(counts.sum())),
            f"{len(present)} of {num_classes}",
            str(int(present.max())),
            str(int(present.min())),
            f"{distribution.imbalance_factor:.4g}",
            " / ".join(str(int(group.sum())) for group in groups),
        )
    return table


def read_all(datasets: dict[str, Any], num_workers: int) -> dict[str, list[ImageReport]]:
    """Decode every image, with a progress bar."""
    from lt_plugins.datasets.integrity import read_images
    from lt_plugins.datasets.leaf_table import build_leaf_table

    reports: dict[str, list[ImageReport]] = {}
    console = Console(file=drawing_stream(sys.stderr))
    with Progress(console=console, disable=not console.is_terminal) as progress:
        for split, dataset in datasets.items():
            images = read_images(dataset, num_workers)
            total = sum(len(indices) for _, indices in build_leaf_table(dataset).distinct_images())
            reports[split] = list(progress.track(images, total=total, description=f"reading {split}"))
    return reports


def find_problems(datasets: dict[str, Any], reports: dict[str, list[ImageReport]], num_classes: int) -> list[list[str]]:
    """Findings, those of one kind together."""
    from lt_plugins.datasets.integrity import find_conflicts, find_duplicates, find_renamed_class
    from lt_plugins.datasets.labels import get_class_counts

    problems: defaultdict[str, list[str]] = defaultdict(list)
    for split, found in reports.items():
        problems[f"{split} unreadable"] = [
            f"{split}: {report.name}: {report.problem}" for report in found if report.problem
        ]
        problems[f"{split} conflict"] = [
            f"{split}: {a.name} (label {a.label}) and {b.name} (label {b.label}) are the same image"
            for a, b in find_conflicts(found)
        ]
    for first, second in combinations(datasets, 2):
        problems[f"{first} {second}"] = [
            f"{first} and {second} share an image: {a.name} and {b.name}"
            for a, b in find_duplicates(reports[first], reports[second])
        ]
        if renamed := find_renamed_class(datasets[first], datasets[second]):
            problems["names"].append(f"{first} and {second}: {renamed}")
    if "train" in datasets:
        counts = get_class_counts(datasets["train"], num_classes)
        problems["empty"] = [
            f"train: class {label} has no images" for label in (counts == 0).nonzero().flatten().tolist()
        ]
    return [found for found in problems.values() if found]


def number_of_classes(cfg: Config, datasets: dict[str, Any]) -> int:
    """What the model of the config predicts; for a dataset config, what its preprocessor expects."""
    from lt_plugins.datasets.labels import get_labels

    for part in (cfg.get("model", {}).get("head") or {}, cfg.get("data_preprocessor") or {}):
        if part.get("num_classes"):
            return int(part["num_classes"])
    return max(int(get_labels(dataset).max(initial=0)) + 1 for dataset in datasets.values())


def check_config_data(args: argparse.Namespace) -> None:
    """Check the datasets of a config."""
    from lt_plugins.datasets.labels import get_class_counts, get_class_names
    from lt_plugins.evaluation.shot_thresholds import ShotThresholds, shot_thresholds
    from lt_plugins.runs.config import load_config

    cfg = load_config(args.config, config_overrides(args), allow_parts=True, data=args.data)
    datasets, unbuilt = build_datasets(cfg, args.split.split(","))
    num_classes = number_of_classes(cfg, datasets)
    thresholds = ShotThresholds(*args.shot_thresholds) if args.shot_thresholds else shot_thresholds(cfg)
    console = make_console()
    console.print(count_table(datasets, num_classes, thresholds))
    if "train" in datasets:
        names = [*get_class_names(datasets["train"])]
        names += map(str, range(len(names), num_classes))
        show_classes(console, get_class_counts(datasets["train"], num_classes).numpy(), names, thresholds, args)
    problems = [[line] for line in unbuilt]
    problems += find_problems(datasets, read_all(datasets, args.workers), num_classes)
    finish(problems, args.max_shown)


def check_images(args: argparse.Namespace) -> None:
    """Check images of one's own, without a config."""
    from lt_plugins.analysis.data_advice import advise
    from lt_plugins.analysis.image_pool_check import check_own_images, describe_classes, read_own_images
    from lt_plugins.evaluation.shot_thresholds import ShotThresholds

    for option, given in {"--data": args.data, "--cfg-options": args.cfg_options}.items():
        if given:
            raise UserInputError(f"{option} is for a config, and {args.config} holds images; drop one of them.")
    images = read_own_images(args.config)
    thresholds = ShotThresholds(*(args.shot_thresholds or ()))
    console = make_console()
    console.print(count_table(images.datasets, len(images.classes), thresholds))
    counts = images.train_counts
    show_classes(console, counts, images.classes, thresholds, args)
    for line in describe_classes(images):
        console.print(f"* {line}", markup=False)
    path = Path(args.config)
    found = check_own_images(images, path if path.is_dir() else path.parent)
    for line in found.facts:
        console.print(line, markup=False)
    print_lines(found.notes, args.max_shown + 1)
    console.print(f"Which method? {advise(counts, args.config)}", markup=False)
    finish(found.problems, args.max_shown)


def make_console() -> Console:
    """The console of tables and bars."""
    return Console(file=drawing_stream(sys.stdout), soft_wrap=True, highlight=False)


def show_classes(
    console: Console,
    counts: NDArray[np.int64],
    names: Sequence[str],
    thresholds: ShotThresholds,
    args: argparse.Namespace,
) -> None:
    """Class sizes as bars, and as the picture or page that is asked for; thresholds that would suit them better."""
    from lt_plugins.datasets.class_sizes import suggest_thresholds
    from lt_plugins.models.structures import ClassDistribution
    from lt_plugins.visualization.class_bars import class_bars

    distribution = ClassDistribution(len(counts), *thresholds)
    distribution.set_counts(counts.tolist())
    console.print("training images by class, bars on a logarithmic scale")
    for line in class_bars(counts, distribution.groups, names):
        console.print(line, markup=False)
    suggested = suggest_thresholds(counts)
    if args.shot_thresholds is None and suggested != tuple(thresholds):
        console.print(
            f"Thresholds {thresholds.many_threshold} and {thresholds.few_threshold} of many and few leave a group with "
            f"few classes or none; these split better: --shot-thresholds {suggested[0]} {suggested[1]}"
        )
    if args.out:
        draw_classes(counts, distribution.groups, names, args)
        console.print(f"wrote {args.out}", markup=False)


def draw_classes(
    counts: NDArray[np.int64], groups: Sequence[str], names: Sequence[str], args: argparse.Namespace
) -> None:
    """Write the class sizes as a picture or a page."""
    import numpy as np

    from lt_plugins.atomic_write import atomic_write
    from lt_plugins.visualization.class_histogram import plot_class_histogram
    from lt_plugins.visualization.html import HtmlReport, figure_to_png

    figure = plot_class_histogram(counts, np.array(groups), names)
    if Path(args.out).suffix.lower() == ".png":
        atomic_write(args.out, figure_to_png(figure))
        return
    page = HtmlReport(f"Class sizes of {args.config}")
    page.add_figure(figure, "Training images of each class, on a logarithmic axis.")
    page.add_heading("Classes")
    order = np.argsort(-counts, kind="stable").tolist()
    page.add_table(("class", "images", "group"), [(names[k], int(counts[k]), groups[k]) for k in order])
    page.save(args.out)


def print_lines(found: Sequence[Sequence[str]], max_shown: int) -> None:
    """Lines of each kind, no more than a number of them."""
    for lines in found:
        for line in lines[:max_shown]:
            print(line)
        if len(lines) > max_shown:
            print(f"... and {len(lines) - max_shown} more of this kind (--max-shown)")


def finish(problems: Sequence[Sequence[str]], max_shown: int) -> None:
    """List what is wrong, and end with an error if anything is."""
    print_lines(problems, max_shown)
    if problems:
        raise UserInputError(f"{sum(map(len, problems))} problems")
    print("everything is in order")


def check(args: argparse.Namespace) -> None:
    """Do what the command line asks for."""
    from mmengine.registry import init_default_scope

    import lt_plugins.plugins  # noqa: F401 (registers what the part of a config names, which has no custom_imports)
    from lt_plugins.runs.spec import parse_spec

    if args.out:
        if Path(args.out).suffix.lower() not in (".png", ".html"):
            raise UserInputError(f"--out {args.out} must end in .png (a picture) or .html (a page).")
        check_output(args.out, [args.config])
    init_default_scope("mmpretrain")
    path = Path(args.config)
    if path.is_dir() or (path.is_file() and path.suffix != ".py"):
        check_images(args)
    elif ".py" not in args.config and not Path(parse_spec(args.config).file).is_file():
        raise UserInputError(f"{args.config} does not exist: give a folder, list or CSV of images, or a config.")
    else:
        check_config_data(args)


def main(argv: Sequence[str] | None = None) -> None:
    """Check, print, and exit with 1 if something is wrong."""
    with user_errors():
        check(parse_args(argv))


if __name__ == "__main__":
    main()
