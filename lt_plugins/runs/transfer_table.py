"""Transfer table: mean and spread of fine-tuned detectors by backbone, and the published numbers."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from typing import NamedTuple

from lt_plugins.runs.tables import mean_and_spread

# Our names -> those of mmdet's VOCMetric, which gives fractions; in the order of the papers' tables.
DETECTION_METRICS = {"AP50": "pascal_voc/AP50", "AP": "pascal_voc/mAP", "AP75": "pascal_voc/AP75"}
TRANSFER_HEADER = ("Backbone", *DETECTION_METRICS, "Published AP50 / AP / AP75", "Seeds")
NUMERIC_COLUMNS = (1, 2, 3, 4)
# What other names the methods go by.
ALIASES = {"supcon": "scl", "cl": "scl"}


class TransferRun(NamedTuple):
    """Transfer run: the outcome of one fine-tuning.

    Args:
        backbone (str): Name of the backbone that it started from.
        seed (int): Seed of the fine-tuning.
        metrics (Mapping[str, float]): ``AP50``, ``AP`` and ``AP75`` in percent.
    """

    backbone: str
    seed: int
    metrics: Mapping[str, float]


def detection_metrics(row: Mapping[str, float]) -> dict[str, float]:
    """Convert average precisions to percent under the names of the tables.

    Args:
        row (Mapping[str, float]): What mmdet's ``VOCMetric`` logged.

    Returns:
        dict[str, float]: ``AP50``, ``AP`` and ``AP75``.

    Raises:
        KeyError: If one of them was not logged.
    """
    return {name: round(100 * row[key], 4) for name, key in DETECTION_METRICS.items()}


def transfer_rows(
    backbones: Sequence[str], runs: Collection[TransferRun], published: Mapping[str, Mapping[str, float]]
) -> list[tuple[str, ...]]:
    """Format the cells under :data:`TRANSFER_HEADER`, a row a backbone.

    Args:
        backbones (Sequence[str]): Names in the order of the rows. That of a method may go on after ``_``, as in
            ``sbcl_r50_imagenet-lt``.
        runs (Collection[TransferRun]): What is finished.
        published (Mapping[str, Mapping]): ``AP50``, ``AP`` and ``AP75`` in percent by the name of the method.

    Returns:
        list[tuple[str, ...]]: The rows; ``-`` where there is no number, ± the standard deviation over seeds.
    """
    rows = []
    for backbone in backbones:
        own = sorted((run for run in runs if run.backbone == backbone), key=lambda run: run.seed)
        numbers = published.get(method_of(backbone))
        paper = " / ".join(f"{numbers[name]:.1f}" for name in DETECTION_METRICS) if numbers else "-"
        means = [mean_and_spread([run.metrics[name] for run in own]) for name in DETECTION_METRICS]
        rows.append((backbone, *means, paper, ", ".join(str(run.seed) for run in own) or "-"))
    return rows


def method_of(backbone: str) -> str:
    """Extract the method from the name of a backbone.

    Args:
        backbone (str): Like ``supcon`` or ``sbcl_r50_imagenet-lt_stage1``.

    Returns:
        str: Like ``scl`` or ``sbcl``.
    """
    method = backbone.lower().partition("_")[0]
    return ALIASES.get(method, method)
