"""Metrics by the names that the field writes."""

from __future__ import annotations

from collections.abc import Mapping

NAMES = {"accuracy_top1": "overall", "ece": "ECE"}
SHOWN = ("overall", "balanced", "many", "medium", "few", "ECE")


def short_names(metrics: Mapping[str, float]) -> dict[str, float]:
    """Metrics by the names that the field writes, those of every run first.

    Args:
        metrics (Mapping[str, float]): By their names in the log.
    """
    named = {NAMES.get(key.rpartition("/")[2], key.rpartition("/")[2]): value for key, value in metrics.items()}
    first = {name: named[name] for name in SHOWN if name in named}
    return first or {name: value for name, value in named.items() if name not in ("time", "data_time", "step")}
