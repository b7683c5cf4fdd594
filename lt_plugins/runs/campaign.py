"""Campaign: runs in order of worth for a machine that is at hand for a short time, and what fits into that time."""

from __future__ import annotations

import heapq
import math
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

from lt_plugins.errors import UserInputError
from lt_plugins.runs.published import published_accuracy
from lt_plugins.runs.recorded_run import RecordedRun
from lt_plugins.runs.spec import ConfigSpec
from lt_plugins.runs.tables import CLASSIFICATION, GLT, Result, column_values, markdown_table, result_rows
from lt_plugins.unreadable import read_json, refuse_unreadable

METHODS = {
    "ce": "ce/ce",
    "ldam-drw": "ldam/ldam-drw",
    "mislas": "mislas/mislas",
    "lcreg": "lcreg/lcreg",
    "paco": "paco/paco",
    "lpa": "lpa/lpa",
    "sbcl": "sbcl/sbcl",
}
"""Methods and their configs below ``configs/``, the one that is worth most first."""
BLOCKS = {"c100-100": "", "c100-50": "lt50", "c100-10": "lt10", "c10-100": "", "c10-50": "lt50"}
"""Datasets and the variants of their imbalance factors, in order of worth. The class folders of CIFAR-10 that this
project has hold a profile of factor 50, from which 10 cannot be drawn."""
FOLDERS = "folders"
"""Variant of the configs that reads class folders, and so draws other images than the released generator."""


class Planned(NamedTuple):
    """A run of the campaign.

    Args:
        config (str): ``configs/METHOD/CONFIG.py:VARIANT,...``.
        seed (int): Its seed.
        dataset (str): Folder of its dataset, ``cifar10`` or ``cifar100``.
    """

    config: str
    seed: int
    dataset: str


def plan_runs(methods: Iterable[str], blocks: Iterable[str], seeds: Iterable[int]) -> list[Planned]:
    """List the runs in order of worth: of a dataset all methods with the first seed, then with the next one.

    Args:
        methods (Iterable[str]): Keys of :data:`METHODS`, in the order to run them.
        blocks (Iterable[str]): Keys of :data:`BLOCKS`, likewise.
        seeds (Iterable[int]): Seeds, likewise.
    """
    methods, seeds = list(methods), list(seeds)
    planned = []
    for block in blocks:
        dataset = {"c10": "cifar10", "c100": "cifar100"}[block.partition("-")[0]]
        variants = (FOLDERS, *filter(None, [BLOCKS[block]]))
        configs = [str(ConfigSpec(f"configs/{METHODS[method]}_r32_{dataset}-lt.py", variants)) for method in methods]
        planned += [Planned(config, seed, dataset) for seed in seeds for config in configs]
    return planned


class StageSpeed(NamedTuple):
    """What a probe measured of a stage.

    Args:
        start_s (float): Seconds from the start of the stage to its first step.
        step_s (float): Seconds a training step.
        batch_size (int): Images a step.
        steps (int): Steps of an epoch.
        epochs (int): Epochs.
        val_s (float): Seconds of one evaluation.
        evaluations (int): Number of evaluations.
        pass_s (float): Seconds of all feature passes for clustering; the clustering itself is not in it.
    """

    start_s: float
    step_s: float
    batch_size: int
    steps: int
    epochs: int
    val_s: float
    evaluations: int
    pass_s: float

    @property
    def seconds(self) -> float:
        """Expected seconds of the stage."""
        return self.start_s + self.epochs * self.steps * self.step_s + self.val_s * self.evaluations + self.pass_s

    @property
    def images_per_s(self) -> float:
        """Images a second while it trains."""
        return self.batch_size / self.step_s

    @classmethod
    def read(cls, path: Path) -> list[StageSpeed]:
        """Read the stages of a probe.

        Args:
            path (Path): What :mod:`lt_plugins.runs.probe` wrote.

        Raises:
            UserInputError: If it is damaged.
        """
        content = read_json(path, "delete it to probe again.")
        with refuse_unreadable(path, "the result of a probe", "delete it to probe again."):
            return [cls(**stage) for stage in content["stages"]]


def schedule(seconds: Sequence[float], jobs: int) -> list[tuple[float, float]]:
    """Start and end of each run, where the next one begins as soon as one of ``jobs`` ends.

    Args:
        seconds (Sequence[float]): Length of each run, in order.
        jobs (int): Runs at a time.
    """
    free = [0.0] * jobs
    times = []
    for length in seconds:
        start = heapq.heappop(free)
        times.append((start, start + length))
        heapq.heappush(free, start + length)
    return times


def plan_table(
    runs: Sequence[RecordedRun], speeds: Mapping[str, Sequence[StageSpeed]], jobs: int, minutes: float
) -> tuple[str, int]:
    """Table of the expected times.

    Args:
        runs (Sequence[RecordedRun]): Those that are not finished, in order.
        speeds (Mapping[str, Sequence[StageSpeed]]): What was measured, by config; those without are shown by ``-``.
        jobs (int): Runs at a time.
        minutes (float): How long the machine is at hand.

    Returns:
        tuple[str, int]: The table in Markdown, and how many runs end in time.
    """
    lengths = [sum(stage.seconds for stage in speeds.get(run.config, ())) or math.inf for run in runs]
    cells, num_fitting = [], 0
    for number, (run, length, (start, end)) in enumerate(zip(runs, lengths, schedule(lengths, jobs), strict=True), 1):
        fits = "yes" if end <= 60 * minutes else "in part" if start < 60 * minutes else "no"
        num_fitting += fits == "yes"
        stages = speeds.get(run.config)
        if stages is None:
            cells.append((str(number), str(run), *["-"] * 5, "-"))
            continue
        first = stages[0]
        share = sum(stage.val_s * stage.evaluations for stage in stages) / length
        cells.append(
            (
                *(str(number), str(run), f"{first.images_per_s:.0f}"),
                " + ".join(str(stage.epochs * stage.steps) for stage in stages),
                *(f"{100 * share:.0f} %", f"{length / 60:.1f}", f"{end / 60:.1f}", fits),
            )
        )
    header = ("", "Run", "Images/s", "Steps", "Evaluation", "Minutes", "Ends at", "Fits")
    return markdown_table(header, cells, numeric=(0, 2, 3, 4, 5, 6)), num_fitting


def result_table(runs: Iterable[RecordedRun], metrics: Mapping[RecordedRun, Mapping[str, float]]) -> str:
    """Table of what is finished, with the published numbers of the recipe, which have another draw of the images.

    Args:
        runs (Iterable[RecordedRun]): The runs of the campaign, whose names end in ``_seedN``.
        metrics (Mapping[RecordedRun, Mapping[str, float]]): Of those that are finished.
    """
    runs = list(runs)
    names = {run: run.name.rpartition("_seed")[0] for run in runs}
    numbers = {run: column_values(metrics[run], CLASSIFICATION | GLT) for run in runs if run in metrics}
    results = [Result(names[run], run.seed, found) for run, found in numbers.items()]
    columns = CLASSIFICATION | (GLT if any(GLT.keys() & found.keys() for found in numbers.values()) else {})
    published = {names[run]: published_accuracy(without_folders(run.config)) for run in runs}
    rows = result_rows(published, results, columns, published)
    header = ("Config", *columns, "Published", "Seeds")
    table = markdown_table(header, rows, numeric=range(1, 1 + len(columns)))
    notes = (
        f"{len(results)} of {len(runs)} runs are finished. Percent, after the last epoch; ± is the standard deviation "
        "over seeds. Published: of the whole schedule.",
        "The images are drawn from class folders: the same profile as the published one, but another selection.",
    )
    return "\n\n".join([table, *notes]) + "\n"


def without_folders(config: str) -> str:
    """The config that reads the original files of a dataset.

    Args:
        config (str): One of the campaign.
    """
    path, _, variants = config.partition(":")
    kept = [name for name in variants.split(",") if name != FOLDERS]
    return f"{path}:{','.join(kept)}" if kept else path


def data_overrides(data: Path, dataset: str) -> list[str]:
    """Overrides that read a dataset from another folder than ``data``.

    Args:
        data (Path): The folder of the datasets.
        dataset (str): Name of the dataset.
    """
    if data == Path("data"):
        return []
    root = data / dataset
    train = [f"train_dataloader.dataset.dataset.data_root={root}"]
    return train + [f"{split}_dataloader.dataset.data_root={root}" for split in ("val", "test")]


def check_names(option: str, given: Sequence[str], known: Mapping[str, Any]) -> None:
    """Check names of methods or datasets.

    Args:
        option (str): The option that took them.
        given (Sequence[str]): As given.
        known (Mapping[str, Any]): Those that there are.

    Raises:
        UserInputError: If one is unknown or there twice.
    """
    for name in given:
        if name not in known:
            raise UserInputError(f"{option} {name!r} is unknown; give some of {', '.join(known)}.")
        if given.count(name) > 1:
            raise UserInputError(f"{option} has {name} twice.")
