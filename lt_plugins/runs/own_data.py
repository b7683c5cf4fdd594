"""Own data, ``--data DIR|LIST|CSV``: replaces a config's datasets and every number of classes."""

from __future__ import annotations

import logging
import re
from collections.abc import Collection, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from mmengine.config import Config, ConfigDict
from mmengine.logging import print_log

from lt_plugins.checks.config_rules import LOOPS
from lt_plugins.datasets.decoded_size import limit_decoded_size
from lt_plugins.datasets.folder_scan import is_folder, list_folder
from lt_plugins.datasets.glt.glt_file import read_glt
from lt_plugins.datasets.image_file import IMAGE_SUFFIXES
from lt_plugins.datasets.image_table import SPLITS, SUFFIX, read_image_table
from lt_plugins.datasets.splits import DEFAULT_FRACTION, some_names
from lt_plugins.datasets.text_file import read_lines, show_path
from lt_plugins.errors import UserInputError
from lt_plugins.runs.imbalance import cut_to_factor
from lt_plugins.terminal import displayable

EVALUATORS = ("val_evaluator", "test_evaluator")
GLT = "GLTDataset"
SUBSET = "ClassSubset"
OWN_IMAGES = "OwnImages"
"""Type of the datasets of a recipe that has no images but those of ``--data``."""


@dataclass(frozen=True)
class OwnData:
    """Own data: the images of a user, by split.

    Args:
        parts (dict[str, dict]): Config of the dataset of each split that is there, without transforms. A single one,
            ``"all"``, is to be split.
        num_classes (int): Number of classes.
        imbalance_factor (float | None): What the training images are cut to. Defaults to None, as they are.
    """

    parts: dict[str, dict[str, Any]]
    num_classes: int
    imbalance_factor: float | None = None

    def dataset(self, split: str, settings: dict[str, Any]) -> tuple[dict[str, Any], dict[str, Any]]:
        """Config of the dataset of a split, and the part of it that takes the transforms.

        Without a validation part the test part is validated on, and the other way round; with neither, a validation
        part is split off.

        Args:
            split (str): ``"train"``, ``"val"`` or ``"test"``.
            settings (dict): Of :class:`~lt_plugins.datasets.split_dataset.SplitDataset`.
        """
        part, inner = self._part(split, settings)
        if split == "train" and self.imbalance_factor is not None:
            return cut_to_factor(part, self.imbalance_factor), inner
        return part, inner

    def _part(self, split: str, settings: dict[str, Any]) -> tuple[dict[str, Any], dict[str, Any]]:
        """Config of the dataset of a split with all its images, and the innermost part of it."""
        if split != "train" and not {"val", "test"} & {*self.parts}:
            split = "val"
        elif split not in self.parts:
            split = {"val": "test", "test": "val"}.get(split, split)
        if "all" not in self.parts:
            inner = dict(self.parts[split])
            return inner, inner
        inner = dict(self.parts["all"])
        return {"type": "SplitDataset", "part": split, **settings, "dataset": inner}, inner


def find_data(source: str) -> OwnData:
    """Detect the kind of data that ``--data`` names.

    Args:
        source (str): A folder ``DIR/{train,val,test}/<class>/<image>`` or ``DIR/<class>/<image>``, a list with lines
            ``path label``, a CSV file (:func:`~lt_plugins.datasets.image_table.read_image_table`), or the JSON file of
            a GLT benchmark (:func:`~lt_plugins.datasets.glt.glt_file.read_glt`).

    Returns:
        OwnData: Its parts.

    Raises:
        UserInputError: If it is neither, or has no classes.
    """
    path = Path(source)
    if path.is_dir():
        return _find_folders(path)
    find = {SUFFIX: _find_table, ".json": _find_glt}.get(path.suffix.lower(), _find_list)
    return find(path)


def require_data(cfg: Config) -> None:
    """Refuse the config of a recipe that has no images of its own and got none.

    Args:
        cfg (Config): The config of a stage.

    Raises:
        UserInputError: If the type of one of its datasets is still ``OwnImages``.
    """
    loaders = [cfg.get(f"{loop}_dataloader") for loop in LOOPS]
    datasets = [loader.get("dataset") for loader in loaders if isinstance(loader, dict)]
    if any(isinstance(dataset, dict) and innermost(dataset).get("type") == OWN_IMAGES for dataset in datasets):
        raise UserInputError(
            "this recipe has no images of its own; give yours with --data DIR, a folder with one folder of images a "
            "class (or a list or a CSV table: docs/data.md)."
        )


def use_data(cfg: Config, data: OwnData) -> None:
    """Replace the datasets of a config by the images of a user; its transforms stay.

    Large JPEG files are decoded as small as these allow
    (:func:`~lt_plugins.datasets.decoded_size.limit_decoded_size`).

    ``split = dict(val_fraction=0.2, seed=0, copies_together=True)`` in the config says what is split off where there is
    no validation part.

    Args:
        cfg (Config): The config of a stage; changed in place.
        data (OwnData): The images.

    Raises:
        UserInputError: If it is the config of a detector.
    """
    if cfg.get("default_scope") == "mmdet":
        raise UserInputError("--data is for classification; a detector reads boxes, set the data_root of its datasets.")
    split = cfg.get("split") if isinstance(cfg.get("split"), dict) else {}
    settings = {"val_fraction": DEFAULT_FRACTION, "seed": 0, "copies_together": True, **split}
    if settings["copies_together"] is False:
        del settings["copies_together"]  # as runs have it from before there was such a setting
    for loop in LOOPS:
        loader = cfg.get(f"{loop}_dataloader")
        if not isinstance(loader, dict) or not isinstance(loader.get("dataset"), dict):
            continue
        before = innermost(loader["dataset"])
        dataset, inner = data.dataset(loop, settings)
        inner.update({key: before[key] for key in ("pipeline", "test_mode") if key in before})
        if isinstance(inner.get("pipeline"), (list, tuple)):
            inner["pipeline"] = limit_decoded_size(inner["pipeline"])  # they may be photographs
        if inner["type"] == before.get("type") == GLT:
            inner["split"] = before.get("split", inner["split"])  # the protocol is the config's
        if loader["dataset"].get("type") == SUBSET:  # an expert of these classes stays one
            counted = (
                {} if "counted_in" not in loader["dataset"] else {"counted_in": data.dataset("train", settings)[0]}
            )
            dataset = {**loader["dataset"], **counted, "dataset": dataset}
        cfg[f"{loop}_dataloader"] = ConfigDict({**loader, "dataset": dataset})
    for part in (cfg.get("model"), cfg.get("data_preprocessor")):
        set_num_classes(part, data.num_classes)
    if "num_classes" in cfg:  # a variable, that our configs of image lists have
        cfg.num_classes = data.num_classes
    _set_glt_metric(cfg, any(part["type"] == GLT for part in data.parts.values()))
    for name in EVALUATORS:
        for metric in _metrics(cfg.get(name)):
            if isinstance(metric.get("topk"), (list, tuple)):
                metric["topk"] = tuple(k for k in metric["topk"] if k <= data.num_classes) or (1,)


def _find_folders(root: Path) -> OwnData:
    """Find class folders, by split or alone."""
    names = _folder_names(root)
    parts = {split: _folder_names(root / split) for split in SPLITS if split in names}
    parts = {split: classes for split, classes in parts.items() if classes}
    is_split = "train" in parts or {*parts} == {*names}
    classes = next(iter(parts.values()), []) if is_split else names
    if not classes:
        raise UserInputError(
            f"--data {show_path(root)} has no class folders; expected {show_path(root)}/<class>/<image>, or "
            f"{show_path(root)}/train/<class>/<image> with val/ or test/ beside it."
        )
    if is_split:
        _warn_of_others(root, parts)
    common = {"type": "ImageListDataset", "data_root": str(root)}
    if not is_split:
        found = {"all": common}
    elif {*parts} == {"train"}:
        found = {"all": {**common, "data_prefix": "train"}}
    else:
        found = {"train": {**common, "data_prefix": "train"}}
        found |= {
            split: {**common, "data_prefix": split, "class_folder": "train"} for split in parts if split != "train"
        }
    return OwnData(found, len(classes))


def _warn_of_others(root: Path, parts: Collection[str]) -> None:
    """Say which images and folders beside the splits are left out."""
    entries = list_folder(root)
    folders = [entry.name for entry in entries if is_folder(entry) and entry.name not in parts]
    images = [entry.name for entry in entries if entry.name.lower().endswith(IMAGE_SUFFIXES) and not is_folder(entry)]
    for found, what in ((folders, "folder"), (images, "image")):
        if found:
            plural = "s" if len(found) > 1 else ""
            names = some_names([displayable(name) for name in found])
            line = f"{show_path(root)}: {len(found):,} {what}{plural} beside {'/, '.join(parts)}/ left out: {names}"
            print_log(line, logger="current", level=logging.WARNING)


def _folder_names(root: Path) -> list[str]:
    return [entry.name for entry in list_folder(root) if is_folder(entry)]


def _find_list(path: Path) -> OwnData:
    """Read a list of images, ``path label`` lines."""
    lines = read_lines(path, "--data", "give a folder of class folders, or a list of images")
    fields = [line.split() for line in lines if line.strip()]
    # Whatever is malformed is for the dataset to say, by the number of its line.
    labels = [int(words[-1]) for words in fields if re.fullmatch("[0-9]{1,9}", words[-1])]
    num_classes = max(labels, default=0) + 1
    return OwnData({"all": _list_config(path, bool(fields) and fields[0][0].startswith("/"), num_classes)}, num_classes)


def _find_table(path: Path) -> OwnData:
    """Read a CSV file, with or without a column of splits."""
    rows, classes = read_image_table(str(path))
    if not rows:
        raise UserInputError(f"--data {show_path(path)} has no images.")
    num_classes = max(row.label for row in rows) + 1 if classes is None else len(classes)
    common = _list_config(path, rows[0].path.startswith("/"), num_classes)
    splits = {row.split for row in rows}
    if splits == {None}:
        parts = {"all": common}
    elif splits == {"train"}:
        parts = {"all": {**common, "split": "train"}}
    else:
        parts = {split: {**common, "split": split} for split in SPLITS if split in splits}
    return OwnData(parts, num_classes)


def _find_glt(path: Path) -> OwnData:
    """Read the file of a GLT benchmark, whose images lie below its folder."""
    common = {"type": GLT, "data_root": str(path.parent), "ann_file": path.name}
    splits = {"train": "train-glt", "val": "val-glt", "test": ["test-cbl", "test-gbl"]}
    return OwnData({loop: {**common, "split": split} for loop, split in splits.items()}, len(read_glt(path).classes))


def _list_config(path: Path, is_absolute: bool, num_classes: int) -> dict[str, Any]:
    """Config of a list dataset whose paths are absolute, or below the folder of the list."""
    root, name = ("", str(path)) if is_absolute else (str(path.parent), path.name)
    return {"type": "ImageListDataset", "data_root": root, "ann_file": name, "num_classes": num_classes}


def innermost(dataset: dict[str, Any]) -> dict[str, Any]:
    """Find the dataset at the end of a chain of wrappers, the first one of several.

    Args:
        dataset (dict): Config of a dataset.

    Returns:
        dict: That of the one that wraps nothing.
    """
    while True:
        inner = dataset.get("dataset") or next(iter(dataset.get("datasets") or ()), None)
        if not isinstance(inner, dict):
            return dataset
        dataset = inner


def set_num_classes(node: Any, num_classes: int) -> None:
    """Set every number of classes in a part of a config.

    Args:
        node (Any): The part; changed in place.
        num_classes (int): The number.
    """
    if isinstance(node, dict):
        if "num_classes" in node:
            node["num_classes"] = num_classes
        for value in node.values():
            set_num_classes(value, num_classes)
    elif isinstance(node, (list, tuple)):
        for value in node:
            set_num_classes(value, num_classes)


def _set_glt_metric(cfg: Config, is_glt: bool) -> None:
    """Measure GLT benchmarks by their metric, and nothing else by it: it reads attributes.

    Where a config has no other metric for the test, that takes those of validation.
    """
    if is_glt:
        cfg.test_evaluator = ConfigDict(type="GLTMetric")
        return
    kept = {name: [one for one in _metrics(cfg.get(name)) if one.get("type") != "GLTMetric"] for name in EVALUATORS}
    for name, metrics in kept.items():
        if len(metrics) < len(list(_metrics(cfg.get(name)))):
            cfg[name] = metrics or kept["val_evaluator"]


def _metrics(evaluator: Any) -> Iterator[dict[str, Any]]:
    for metric in evaluator if isinstance(evaluator, (list, tuple)) else [evaluator]:
        if isinstance(metric, dict):
            yield metric
