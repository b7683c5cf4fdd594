"""Check the datasets of a config before training on them.

Is every image there, a regular file of a sane size, and can it be decoded to the last byte? How many images have the
classes? Do the labels fit the model, and mean the same in every split? Is an image of the test set also in the training
set (equal pixels), or twice in one set under different labels? Ends with exit code 1 and a list of what is wrong.

    python tools/check_data.py configs/_base_/datasets/imagenet-lt.py --workers 8
"""

from __future__ import annotations

import argparse
import sys
from collections import defaultdict
from collections.abc import Sequence
from itertools import combinations
from typing import TYPE_CHECKING, Any

from rich.console import Console
from rich.progress import Progress
from rich.table import Table

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
    from mmengine.config import Config

    from lt_plugins.datasets.integrity import ImageReport
    from lt_plugins.evaluation.shot_thresholds import ShotThresholds

SPLITS = ("train", "val", "test")


def parse_args(argv: Sequence[str] | None) -> argparse.Namespace:
    """Read the command line."""
    parser = ToolParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    add_config_arguments(parser)
    add_imbalance_argument(parser)
    add_shot_thresholds_argument(parser)
    parser.add_argument("--split", default=",".join(SPLITS), help="which to check (default: %(default)s)")
    parser.add_argument("--workers", type=int, default=0, help="processes that read images (default: %(default)s)")
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


def check(args: argparse.Namespace) -> None:
    """Do what the command line asks for."""
    from mmengine.registry import init_default_scope

    import lt_plugins.plugins  # noqa: F401 (registers what the part of a config names, which has no custom_imports)
    from lt_plugins.evaluation.shot_thresholds import ShotThresholds, shot_thresholds
    from lt_plugins.runs.config import load_config

    init_default_scope("mmpretrain")
    cfg = load_config(args.config, config_overrides(args), allow_parts=True, data=args.data)
    datasets, unbuilt = build_datasets(cfg, args.split.split(","))
    num_classes = number_of_classes(cfg, datasets)
    console = Console(file=drawing_stream(sys.stdout), soft_wrap=True, highlight=False)
    thresholds = ShotThresholds(*args.shot_thresholds) if args.shot_thresholds else shot_thresholds(cfg)
    console.print(count_table(datasets, num_classes, thresholds))
    problems = [[line] for line in unbuilt]
    problems += find_problems(datasets, read_all(datasets, args.workers), num_classes)
    for found in problems:
        for line in found[: args.max_shown]:
            print(line)
        if len(found) > args.max_shown:
            print(f"... and {len(found) - args.max_shown} more of this kind (--max-shown)")
    if problems:
        raise UserInputError(f"{sum(map(len, problems))} problems")
    print("everything is in order")


def main(argv: Sequence[str] | None = None) -> None:
    """Check, print, and exit with 1 if something is wrong."""
    with user_errors():
        check(parse_args(argv))


if __name__ == "__main__":
    main()
