"""Whether the images have a size that the transforms of a dataset are made for."""

from __future__ import annotations

import copy
from collections.abc import Collection, Sequence
from typing import Any, NamedTuple

from PIL import Image

from lt_plugins.datasets.leaf_table import build_leaf_table
from lt_plugins.errors import UserInputError

Size = tuple[int, int]

# The share of an image's short side that a crop must at least show. The usual 224 of 256 is 0.88.
MIN_SHOWN = 2 / 3
# How much larger test images may reach the model than training images, without any resizing.
MAX_GROWTH = 2.0


class Passage(NamedTuple):
    """How the size of an image changes on its way through a pipeline (or one of its views).

    Args:
        loaded (tuple[int, int] | None): Height and width as loaded.
        final (tuple[int, int] | None): Height and width as the model gets it.
        cropped (tuple[int, int] | None): What the first crop leaves of an image that nothing has resized before.
        crop (str): Name of that crop.
        is_resized (bool): Whether a step other than a crop changes the size.
    """

    loaded: Size | None
    final: Size | None
    cropped: Size | None = None
    crop: str = ""
    is_resized: bool = False


def check_image_sizes(datasets: dict[str, Any], allow_small_crops: bool, one_by_one: Collection[str] = ()) -> None:
    """Refuse photographs in pipelines for images of a fixed small size, by the first and last image of each dataset.

    A pipeline that crops 32 x 32 pixels and does not resize, as those of CIFAR, sees the corner of a photograph.

    Args:
        datasets (dict[str, Any]): Datasets by the name of their split; training first, if it is among them.
        allow_small_crops (bool): Whether small parts of large images are wanted, as for textures.
        one_by_one (Collection[str]): Splits whose batches hold one image, so that sizes may differ. Defaults to none.

    Raises:
        UserInputError: If a crop shows little of an image, images of a split reach the model in different sizes, or
            those of testing much larger than those of training.
    """
    trained: Size | None = None
    for split, dataset in datasets.items():
        passages = [passage for index in sorted({0, len(dataset) - 1}) for passage in trace_sizes(dataset, index)]
        for passage in passages:
            if not allow_small_crops and passage.loaded and passage.cropped:
                _check_crop(split, passage)
        unchanged = [p for p in passages if p.final and p.cropped is None and not p.is_resized]
        finals = sorted({p.final for p in unchanged if p.final})
        if len(finals) > 1 and split not in one_by_one:
            raise UserInputError(
                f"images of the {split} dataset have different sizes, like {_shown(finals[0])} and "
                f"{_shown(finals[-1])}, and its pipeline neither resizes nor crops; add dict(type='Resize', "
                f"scale=(W, H)) after LoadImage to {split}_dataloader's pipeline."
            )
        if split == "train":
            trained = next((p.final for p in passages if p.final), None)
        elif finals and trained and min(finals[0]) > MAX_GROWTH * max(trained) and not allow_small_crops:
            raise UserInputError(
                f"images of the {split} dataset reach the model at {_shown(finals[0])}, those of training at "
                f"{_shown(trained)}; add dict(type='Resize', scale={trained[::-1]}) after LoadImage to "
                f"{split}_dataloader's pipeline, or take a config for images of that size."
            )


def trace_sizes(dataset: Any, index: int) -> list[Passage]:
    """Send an image through its pipeline and note its sizes.

    Args:
        dataset (Any): An mmpretrain dataset, or one in any nesting of wrappers.
        index (int): Which image.

    Returns:
        list[Passage]: One for each view; none if the dataset has no pipeline.
    """
    table = build_leaf_table(dataset)
    leaf = table.leaves[table.leaf_of[index]]
    steps = getattr(getattr(leaf, "pipeline", None), "transforms", None)
    if steps is None:
        return []
    return _trace(steps, leaf.get_data_info(int(table.index_in_leaf[index])))


def _trace(steps: Sequence[Any], results: dict, is_resized: bool = False) -> list[Passage]:
    loaded = size = _size_of(results)
    cropped, crop = None, ""
    for step in steps:
        if hasattr(step, "pipelines"):  # MultiView
            return [p for view in step.pipelines for p in _trace(view.transforms, copy.deepcopy(results), is_resized)]
        before = size
        results = step(results)
        if results is None:
            break
        size = _size_of(results) or size
        loaded = loaded or size
        if before is None or size == before:
            continue
        if _is_crop(step):
            if cropped is None and not is_resized:
                cropped, crop = size, _step_name(step)
        elif "Pad" not in _step_name(step):
            is_resized = True
    return [Passage(loaded, size, cropped, crop, is_resized)]


def _size_of(results: dict) -> Size | None:
    image = results.get("img")
    if isinstance(image, Image.Image):  # torchvision's transforms want it
        return image.height, image.width
    shape: Sequence[int] = getattr(image, "shape", ())
    return (int(shape[0]), int(shape[1])) if len(shape) >= 2 else None


def _step_name(step: Any) -> str:
    """Name of a transform; torchvision's are wrapped by mmpretrain."""
    return type(getattr(step, "t", step)).__name__


def _is_crop(step: Any) -> bool:
    """Whether a transform cuts out a part without resizing it."""
    name = _step_name(step)
    return "Crop" in name and "Resiz" not in name and "EfficientNet" not in name


def _check_crop(split: str, passage: Passage) -> None:
    assert passage.loaded is not None and passage.cropped is not None
    side = min(passage.cropped)
    if side < MIN_SHOWN * min(passage.loaded):
        raise UserInputError(
            f"{passage.crop} shows {_shown(passage.cropped)} pixels of images of {_shown(passage.loaded)} in the "
            f"{split} dataset: add dict(type='ResizeEdge', scale={side}) after LoadImage to its pipeline, take a "
            "config for images of that size, or allow it by default_hooks.preflight.allow_small_crops=True."
        )


def _shown(size: Size) -> str:
    return f"{size[1]} x {size[0]}"
