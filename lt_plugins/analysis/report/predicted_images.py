"""Test images of a run, opened from what its config says and nothing else.

A config of a stranger must not run code, so that its data are opened here only by the datasets that are named below,
which read images, text and (of CIFAR, with a known hash) pickles; anything else is left out with a line.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from lt_plugins.errors import UserInputError
from lt_plugins.evaluation.predictions import Predictions
from lt_plugins.runs.run_folder import read_config_values

_DATASETS = (
    *("CIFAR10", "CIFAR100", "ClassSubset", "ConcatDataset", "CustomDataset", "DigitsDataset", "GLTDataset"),
    *("ImageListDataset", "ImageNet", "LongTailDataset", "RepeatDataset", "ResidentDataset", "SplitDataset"),
)
_SIDE = 96


class SmallImage(NamedTuple):
    """Image of a test set.

    Args:
        name (str): Its file, or its position in a dataset without files.
        pixels (NDArray): RGB ``(H, W, 3)`` uint8, of 96 pixels at most.
    """

    name: str
    pixels: NDArray[np.uint8]


class PredictedImages:
    """Images that were tested, by the index of their prediction.

    Args:
        config (Path): Config of the start that predicted, as mmengine dumped it.
        predictions (Predictions): The predictions, whose labels must be those of the images.

    Raises:
        UserInputError: If the data are not here, are read by another dataset than those known here, or have other
            labels.
    """

    def __init__(self, config: Path, predictions: Predictions) -> None:
        from lt_plugins.datasets.labels import get_labels
        from lt_plugins.datasets.leaf_table import build_leaf_table

        if (predictions.sample_idx < 0).any():
            raise UserInputError("the predictions do not say which images they are of (sample_idx)")
        values = read_config_values(config)
        problem = f"{config} has no test set"
        for loader in ("test_dataloader", "val_dataloader"):
            settings = values.get(loader)
            if not isinstance(settings, Mapping) or "dataset" not in settings:
                continue
            dataset = _build(settings["dataset"])
            labels = get_labels(dataset)
            if len(labels) > predictions.sample_idx.max() and np.array_equal(
                labels[predictions.sample_idx], predictions.label
            ):
                self._table = build_leaf_table(dataset)
                self._sample_idx = predictions.sample_idx
                return
            problem = "the test images of the config are others than those that were predicted"
        raise UserInputError(problem)

    def name(self, index: int) -> str:
        """Name of an image.

        Args:
            index (int): Index of its prediction.
        """
        info = self._info(index)
        return str(info.get("img_path") or f"test image {self._sample_idx[index]}")

    def open(self, index: int) -> SmallImage | None:
        """Read an image and make it small; None if it is not there any more or cannot be decoded.

        Args:
            index (int): Index of its prediction.
        """
        from lt_plugins.datasets.integrity import DECODE_ERRORS
        from lt_plugins.datasets.transforms.load_image import LoadImage
        from lt_plugins.visualization.contact_sheet import fit_picture

        info = self._info(index)
        if "://" in str(info.get("img_path", "")):
            return None
        try:
            loaded = LoadImage(min_side=_SIDE).transform(dict(info))
        except (UserInputError, *DECODE_ERRORS):
            return None
        if loaded is None:
            return None
        pixels = np.ascontiguousarray(loaded["img"][..., ::-1])
        return SmallImage(self.name(index), np.asarray(fit_picture(pixels, _SIDE)))

    def _info(self, index: int) -> Mapping[str, Any]:
        place = int(self._sample_idx[index])
        leaf = self._table.leaves[int(self._table.leaf_of[place])]
        info: Mapping[str, Any] = leaf.get_data_info(int(self._table.index_in_leaf[place]))
        return info


def _build(settings: Any) -> Any:
    """Build a dataset of a parsed config without its transforms.

    Raises:
        UserInputError: If it, or one that it wraps, is none of those that are known here, or the data are not here.
    """
    from mmengine.registry import init_default_scope

    from lt_plugins.datasets import (  # noqa: F401  # registers them
        class_subset,
        digits_dataset,
        glt_dataset,
        image_list_dataset,
        long_tail_dataset,
        split_dataset,
    )
    from lt_plugins.registry import DATASETS

    kinds = [*_types(settings)]
    if foreign := [kind for kind in kinds if kind not in _DATASETS]:
        raise UserInputError(
            f"the config reads its images by {foreign[0]!r}, and only these datasets are opened from the config of a "
            f"run, which could be a stranger's: {', '.join(_DATASETS)}"
        )
    if "://" in repr(settings):
        raise UserInputError("the config reads its images from an address, and a page is made without the network")
    init_default_scope("mmpretrain")
    try:
        return DATASETS.build(_plain(settings))
    except (UserInputError, OSError, RuntimeError, AssertionError, ValueError, TypeError, KeyError) as error:
        reason = " ".join(str(error).split())[:300]
        raise UserInputError(
            f"the test images cannot be opened ({reason}); paths in a config are seen from the folder in which the "
            "training was started, so start the report there"
        ) from error


def _types(settings: Any) -> Iterator[Any]:
    """Type of each dataset in a config, whatever it wraps."""
    if isinstance(settings, Mapping):
        yield settings.get("type")
        inner = settings.get("dataset", settings.get("datasets", []))
        for item in inner if isinstance(inner, list) else [inner]:
            yield from _types(item)
    else:
        yield settings


def _plain(settings: Any) -> Any:
    """The same without transforms, without downloads, and not all in memory at once."""
    if isinstance(settings, list):
        return [_plain(item) for item in settings]
    if not isinstance(settings, Mapping):
        return settings
    if settings.get("type") == "ResidentDataset":
        return _plain(settings.get("dataset"))
    plain = {key: _plain(value) for key, value in settings.items() if key != "pipeline"}
    if settings.get("type") in _DATASETS and not {"dataset", "datasets"} & {*settings}:
        plain["pipeline"] = []
    return plain | ({"download": False} if str(settings.get("type")).startswith("CIFAR") else {})
