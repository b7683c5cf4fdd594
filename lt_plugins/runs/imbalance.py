"""Imbalance factor of a run: any ``CONFIG.py:ltN`` and ``--imbalance-factor N``, without a variant of this name."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from typing import TYPE_CHECKING, Any

from lt_plugins.errors import UserInputError
from lt_plugins.runs.spec import parse_spec

if TYPE_CHECKING:
    from mmengine.config import Config

OPTION = "--imbalance-factor"
LONG_TAIL = "LongTailDataset"
_VARIANT = re.compile(r"lt(\d{1,6}(?:\.\d{1,3})?)")


def variant_factor(name: str) -> float | None:
    """Imbalance factor that a variant names.

    Args:
        name (str): Its name, like ``lt200``.

    Returns:
        float | None: The factor, None if it names none.
    """
    match = _VARIANT.fullmatch(name)
    return float(match[1]) if match else None


def named_factor(names: Iterable[str]) -> float | None:
    """Imbalance factor that variants of a config name, the last one of several.

    Args:
        names (Iterable[str]): Their names.
    """
    found = [factor for name in names if (factor := variant_factor(name)) is not None]
    return found[-1] if found else None


def with_factor(spec: str, factor: str) -> str:
    """Add the variant of an imbalance factor to a config.

    Args:
        spec (str): ``CONFIG.py[:VARIANT,...]``.
        factor (str): The factor as typed, like ``20``.

    Returns:
        str: Like ``CONFIG.py:lt20``.

    Raises:
        UserInputError: If the factor is no number of at least 1, or the config names one.
    """
    name, parsed = f"lt{factor}", parse_spec(spec)
    if (variant_factor(name) or 0) < 1:
        raise UserInputError(f"{OPTION} {factor} must be a number of at least 1: largest over smallest class, like 20.")
    if named_factor(parsed.variants) is not None:
        raise UserInputError(f"{spec} names an imbalance factor, and {OPTION} {factor} another; give one of them.")
    return str(parsed._replace(variants=(*parsed.variants, name)))


def set_factor(cfg: Config, factor: float, spec: str) -> None:
    """Set the imbalance factor of the training set of a config.

    Args:
        cfg (Config): The config; changed in place.
        factor (float): The factor.
        spec (str): The config and its variant, for the message.

    Raises:
        UserInputError: If its training set is not cut to a profile.
    """
    dataset = _long_tail(cfg)
    if dataset is None:
        loader = cfg.get("train_dataloader")
        kind = (loader.get("dataset") or {}).get("type") if isinstance(loader, dict) else None
        raise UserInputError(
            f"{spec}: its training images ({kind}) are taken as they are; an imbalance factor can be chosen for "
            f"configs with a {LONG_TAIL}, like those of CIFAR, and for your own images (--data)."
        )
    dataset["imbalance_factor"] = factor if factor % 1 else int(factor)


def image_draw(cfg: Mapping[str, Any]) -> str | None:
    """Name which images of a class the training set has, where it is cut to a profile (``draw`` of the dataset).

    Args:
        cfg (Mapping[str, Any]): The config of a run.

    Returns:
        str | None: ``ldam``, ``first`` or ``choice``; None for a set that is taken as it is.
    """
    dataset = _long_tail(cfg)
    return None if dataset is None else str(dataset.get("draw", "ldam"))


def _long_tail(cfg: Mapping[str, Any]) -> dict[str, Any] | None:
    """Config of the dataset in the training set of a run that is cut to a profile, in any wrappers."""
    loader = cfg.get("train_dataloader")
    dataset = loader.get("dataset") if isinstance(loader, dict) else None
    while isinstance(dataset, dict) and dataset.get("type") != LONG_TAIL:
        dataset = dataset.get("dataset") or next(iter(dataset.get("datasets") or ()), None)
    return dataset if isinstance(dataset, dict) else None


def cut_to_factor(dataset: dict[str, Any], factor: float) -> dict[str, Any]:
    """Cut a training set of any class sizes to an imbalance factor, its largest class first.

    Args:
        dataset (dict): Its config.
        factor (float): The factor.

    Returns:
        dict: Config of the smaller one.
    """
    return {"type": LONG_TAIL, "imbalance_factor": factor, "order": "size", "dataset": dataset}
