"""Datasets that a stage derives from those of its config: held-out validation images, subsets of the classes.

``skip_bad``, ``hold_out`` and ``class_subset`` are resolved as a config is read, after variants, overrides and
``--data``, so that a recipe of stages need not know the datasets, and all that reads a config sees the wrapped ones.
"""

from __future__ import annotations

import copy
from collections.abc import Iterator
from typing import Any

from mmengine.config import Config, ConfigDict

from lt_plugins.checks.config_rules import LOOPS
from lt_plugins.checks.training_settings import has_validation
from lt_plugins.datasets.splits import DEFAULT_FRACTION
from lt_plugins.errors import UserInputError
from lt_plugins.runs.own_data import innermost

KEYS = {
    "hold_out": ({"val_fraction", "seed"}, "hold_out = dict(val_fraction=0.1, seed=0)"),
    "class_subset": ({"keep", "many_threshold", "few_threshold"}, "class_subset = dict(keep='few')"),
}


def derive_datasets(cfg: Config) -> None:
    """Resolve ``hold_out`` and ``class_subset`` of a stage into the datasets of its data loaders.

    * ``hold_out = dict(val_fraction=0.1, seed=0)``: where validation would be on the test set, split the validation
      images off the training set (:class:`~lt_plugins.datasets.split_dataset.SplitDataset`). A config that has
      validation images keeps them.
    * ``class_subset = dict(keep='few')``: arguments of :class:`~lt_plugins.datasets.class_subset.ClassSubset`, which
      all three datasets are reduced to; classes are counted in the training set.

    * ``skip_bad = True``: images that cannot be read are left out of all datasets of image files.

    None for any leaves the datasets alone.

    Args:
        cfg (Config): The config of a stage; changed in place, the keys are removed.

    Raises:
        UserInputError: If a value is no dict of these arguments, or no dataset is one of image files.
    """
    if cfg.pop("skip_bad", None):
        _skip_bad(cfg)
    hold_out, subset = (_pop(cfg, key) for key in KEYS)
    if hold_out is not None and not has_validation(cfg):
        _hold_out(cfg, hold_out)
    if subset is None:
        return
    if "keep" not in subset:
        raise UserInputError(f"class_subset={subset} names no classes; expected {KEYS['class_subset'][1]}.")
    counted = copy.deepcopy(_dataset(cfg, "train") or {})
    innermost(counted).pop("pipeline", None)  # it gives labels, no images
    for loop in LOOPS:
        dataset = _dataset(cfg, loop)
        if dataset is not None:
            others = {} if loop == "train" or not isinstance(subset["keep"], str) else {"counted_in": counted}
            _set_dataset(cfg, loop, {"type": "ClassSubset", **subset, **others, "dataset": dataset})


def _skip_bad(cfg: Config) -> None:
    """Leave unreadable images out of each ``ImageListDataset``."""
    datasets = [dataset for loop in LOOPS for dataset in _inner_datasets(_dataset(cfg, loop), "ImageListDataset")]
    if not datasets:
        raise UserInputError(
            "--skip-bad is for datasets of image files (ImageListDataset), and the config has none; drop it, or give "
            "your images by --data."
        )
    for dataset in datasets:
        dataset["skip_unreadable"] = True


def seed_draws(cfg: Config) -> None:
    """Give datasets with ``draw='choice'`` the seed of the run, ``randomness.seed``, unless they have one.

    Args:
        cfg (Config): The config of a stage; changed in place.

    Raises:
        UserInputError: If the run has no seed.
    """
    seed = (cfg.get("randomness") or {}).get("seed")
    for dataset in (part for loop in LOOPS for part in _inner_datasets(_dataset(cfg, loop), "LongTailDataset")):
        if dataset.get("draw") == "choice" and dataset.get("seed") is None:
            if seed is None:
                raise UserInputError("draw='choice' draws by the seed of the run; give it, randomness.seed=0.")
            dataset["seed"] = seed


def _inner_datasets(node: Any, kind: str) -> Iterator[dict[str, Any]]:
    """Each dataset of a type in the config of a dataset."""
    if isinstance(node, dict):
        if str(node.get("type")).rpartition(".")[2] == kind:
            yield node
        for key in ("dataset", "datasets", "counted_in"):
            yield from _inner_datasets(node.get(key), kind)
    elif isinstance(node, (list, tuple)):
        for part in node:
            yield from _inner_datasets(part, kind)


def _hold_out(cfg: Config, hold_out: dict[str, Any]) -> None:
    """Validate on images of the training set, which it loses."""
    train, val = (_dataset(cfg, loop) for loop in ("train", "val"))
    if train is None or val is None:
        return
    part = {"type": "SplitDataset", "val_fraction": DEFAULT_FRACTION, **hold_out}
    held_out = copy.deepcopy(train)
    innermost(held_out).pop("pipeline", None)
    pipeline = innermost(val).get("pipeline", ())
    _set_dataset(cfg, "val", {**part, "part": "val", "dataset": held_out, "pipeline": pipeline})
    _set_dataset(cfg, "train", {**part, "part": "train", "dataset": train})


def _pop(cfg: Config, key: str) -> dict[str, Any] | None:
    value = cfg.pop(key, None)
    known, example = KEYS[key]
    if value is not None and not (isinstance(value, dict) and {*value} <= known):
        raise UserInputError(f"{key}={value!r:.100} in the config must be None or like {example}.")
    return None if value is None else dict(value)


def _dataset(cfg: Config, loop: str) -> dict[str, Any] | None:
    """Config of the dataset of a split, if it has one."""
    loader = cfg.get(f"{loop}_dataloader")
    dataset = loader.get("dataset") if isinstance(loader, dict) else None
    return dataset if isinstance(dataset, dict) else None


def _set_dataset(cfg: Config, loop: str, dataset: dict[str, Any]) -> None:
    cfg[f"{loop}_dataloader"] = ConfigDict({**cfg[f"{loop}_dataloader"], "dataset": dataset})
