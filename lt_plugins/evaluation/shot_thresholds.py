"""What a config measures: the thresholds of its many-, medium- and few-shot classes, and whether GLT protocols."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, MutableMapping, Sequence
from typing import Any, NamedTuple

from lt_plugins.errors import UserInputError
from lt_plugins.models.structures.class_distribution import FEW_THRESHOLD, MANY_THRESHOLD


class ShotThresholds(NamedTuple):
    """Limits of the groups of classes.

    Args:
        many_threshold (int): Classes with more training images than this are many-shot. Defaults to 100.
        few_threshold (int): Classes with fewer training images than this are few-shot. Defaults to 20.
    """

    many_threshold: int = MANY_THRESHOLD
    few_threshold: int = FEW_THRESHOLD


def shot_thresholds(cfg: Mapping[str, Any]) -> ShotThresholds:
    """Read the thresholds of ``ShotAccuracy`` from a config, for all else that shows groups of classes.

    Args:
        cfg (Mapping[str, Any]): The config.

    Returns:
        ShotThresholds: Those of its validation and test metric; the defaults if it has none.

    Raises:
        UserInputError: If validation and test have different ones.
    """
    found = {key: _read(cfg.get(key)) for key in ("val_evaluator", "test_evaluator")}
    distinct = list(dict.fromkeys(thresholds for thresholds in found.values() if thresholds is not None))
    if len(distinct) > 1:
        raise UserInputError(
            f"ShotAccuracy has many_threshold={distinct[0].many_threshold} and few_threshold="
            f"{distinct[0].few_threshold} in val_evaluator, but {distinct[1].many_threshold} and "
            f"{distinct[1].few_threshold} in test_evaluator; give both the same."
        )
    return distinct[0] if distinct else ShotThresholds()


def set_shot_thresholds(cfg: MutableMapping[str, Any]) -> None:
    """Resolve ``shot_thresholds = (MANY, FEW)`` of a config into those of its metrics.

    Args:
        cfg (MutableMapping[str, Any]): The config of a stage; changed in place, the key is removed.

    Raises:
        UserInputError: If they are no two whole numbers with ``0 <= FEW <= MANY``.
    """
    given = cfg.pop("shot_thresholds", None)
    if given is None:
        return
    is_pair = isinstance(given, Sequence) and len(given) == 2 and all(type(number) is int for number in given)
    if not is_pair or not 0 <= given[1] <= given[0]:
        shown = " ".join(map(str, given)) if isinstance(given, Sequence) else given
        raise UserInputError(
            f"--shot-thresholds {shown} must be two whole numbers MANY FEW, 0 <= FEW <= MANY, like 100 20: a class "
            "with more than MANY training images is many-shot, one with fewer than FEW is few-shot."
        )
    for key in ("val_evaluator", "test_evaluator"):
        for metric in _metrics(cfg.get(key)):
            if _is_called(metric, "ShotAccuracy"):
                metric.update(many_threshold=given[0], few_threshold=given[1])


def is_glt(cfg: Mapping[str, Any]) -> bool:
    """Whether a config measures the protocols of the generalized long tail.

    Args:
        cfg (Mapping[str, Any]): The config.
    """
    return any(_is_called(metric, "GLTMetric") for metric in _metrics(cfg.get("test_evaluator")))


def _is_called(metric: Mapping[str, Any], name: str) -> bool:
    return str(metric.get("type")).rpartition(".")[2] == name


def find_shot_metric(evaluator: Any) -> Mapping[str, Any] | None:
    """Find the config of ``ShotAccuracy`` in that of an evaluator.

    Args:
        evaluator (Any): Config of an evaluator, of a metric, or of several.

    Returns:
        Mapping[str, Any] | None: The first one; None if there is none.
    """
    return next((metric for metric in _metrics(evaluator) if _is_called(metric, "ShotAccuracy")), None)


def _read(evaluator: Any) -> ShotThresholds | None:
    metric = find_shot_metric(evaluator)
    if metric is None:
        return None
    return ShotThresholds(**{name: metric[name] for name in ShotThresholds._fields if name in metric})


def _metrics(evaluator: Any) -> Iterator[MutableMapping[str, Any]]:
    """Metrics of an evaluator: one, a list of them, or those of ``dict(type='Evaluator', metrics=...)``."""
    if isinstance(evaluator, MutableMapping):
        yield evaluator
        yield from _metrics(evaluator.get("metrics"))
    elif isinstance(evaluator, Sequence) and not isinstance(evaluator, str):
        for metric in evaluator:
            yield from _metrics(metric)
