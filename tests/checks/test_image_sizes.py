"""Photographs in pipelines that neither resize nor are made for them."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from mmengine.config import Config
from mmengine.registry import init_default_scope

from lt_plugins.checks.image_sizes import check_image_sizes, trace_sizes
from lt_plugins.datasets.image_list_dataset import ImageListDataset
from lt_plugins.datasets.indexed_dataset import IndexedDataset
from lt_plugins.errors import UserInputError
from tests.miniatures import write_image
from tests.random_state import random_state_untouched
from tests.tool_process import ROOT

BASE = ROOT / "configs/_base_"
PHOTO, SMALL = (120, 90), (32, 32)
LOAD: dict[str, Any] = {"type": "LoadImage"}
PACK: dict[str, Any] = {"type": "PackInputs"}


def pipeline(name: str, key: str = "train_pipeline") -> list[dict[str, Any]]:
    return Config.fromfile(BASE / f"{name}.py")[key]


def folder(root: Path, steps: list[dict[str, Any]], *sizes: tuple[int, int]) -> ImageListDataset:
    init_default_scope("mmpretrain")
    for number, size in enumerate(sizes):
        write_image(root / "a" / f"{number}.png", seed=number, size=size)
    return ImageListDataset(data_root=str(root), pipeline=steps)


@pytest.mark.parametrize("size", [PHOTO, (64, 64), (500, 64)])
@pytest.mark.parametrize(
    ("name", "key"),
    [
        ("datasets/cifar100-lt", "train_pipeline"),
        ("pipelines/paco_cifar", "paco_train_pipeline"),
    ],
)
def test_photographs_in_a_cifar_pipeline(name: str, key: str, size: tuple[int, int], tmp_path: Path) -> None:
    data = folder(tmp_path, pipeline(name, key), size, size)
    message = rf"RandomCrop shows 32 x 32 pixels of images of {size[0]} x {size[1]} in the train dataset: add dict\("
    with pytest.raises(UserInputError, match=message):
        check_image_sizes({"train": IndexedDataset(data)}, allow_small_crops=False)
    check_image_sizes({"train": data}, allow_small_crops=True)


@pytest.mark.parametrize(
    ("name", "key", "size"),
    [
        ("datasets/cifar100-lt", "train_pipeline", SMALL),
        ("datasets/cifar100-lt", "test_pipeline", SMALL),
        ("pipelines/paco_cifar", "paco_train_pipeline", SMALL),
        ("datasets/imagenet-lt", "train_pipeline", (1200, 300)),
        ("datasets/imagenet-lt", "test_pipeline", (1200, 300)),
        ("datasets/imagenet-lt", "test_pipeline", (40, 30)),
        ("datasets/tiny-imagenet-lt", "train_pipeline", (64, 64)),
        ("pipelines/paco_imagenet", "paco_train_pipeline", PHOTO),
        ("pipelines/moco_imagenet", "moco_train_pipeline", PHOTO),
    ],
)
def test_images_that_a_pipeline_is_made_for(name: str, key: str, size: tuple[int, int], tmp_path: Path) -> None:
    check_image_sizes({"train": folder(tmp_path, pipeline(name, key), size, size)}, allow_small_crops=False)


def test_a_crop_after_a_resize_is_wanted(tmp_path: Path) -> None:
    steps = [LOAD, {"type": "ResizeEdge", "scale": 100}, {"type": "RandomCrop", "crop_size": 32}, PACK]
    (passage,) = trace_sizes(folder(tmp_path, steps, PHOTO), 0)
    assert (passage.loaded, passage.final, passage.cropped, passage.is_resized) == ((90, 120), (32, 32), None, True)
    check_image_sizes({"train": folder(tmp_path, steps, PHOTO, PHOTO)}, allow_small_crops=False)


def test_padding_is_no_resize(tmp_path: Path) -> None:
    steps = [LOAD, {"type": "Pad", "size": (130, 130)}, {"type": "RandomCrop", "crop_size": 32}, PACK]
    with pytest.raises(UserInputError, match="RandomCrop shows 32 x 32 pixels of images of 120 x 90 in the train"):
        check_image_sizes({"train": folder(tmp_path, steps, PHOTO)}, allow_small_crops=False)


def test_crops_of_torchvision_are_seen(tmp_path: Path) -> None:
    to_pil, to_numpy = {"type": "NumpyToPIL"}, {"type": "PILToNumpy"}
    steps = [LOAD, to_pil, {"type": "torchvision/CenterCrop", "size": 32}, to_numpy, PACK]
    with pytest.raises(UserInputError, match="CenterCrop shows 32 x 32 pixels of images of 120 x 90 in the test"):
        check_image_sizes({"test": folder(tmp_path, steps, PHOTO, PHOTO)}, allow_small_crops=False)


def test_images_of_different_sizes_without_resizing(tmp_path: Path) -> None:
    data = {"test": folder(tmp_path, [LOAD, PACK], PHOTO, PHOTO[::-1])}
    with pytest.raises(UserInputError, match="different sizes, like 120 x 90 and 90 x 120, and its pipeline neither"):
        check_image_sizes(data, allow_small_crops=False)
    check_image_sizes(data, allow_small_crops=False, one_by_one=["test"])


def test_test_images_much_larger_than_those_of_training(tmp_path: Path) -> None:
    train = folder(tmp_path / "train", pipeline("datasets/cifar100-lt"), SMALL, SMALL)
    test = folder(tmp_path / "test", [LOAD, PACK], PHOTO, PHOTO)
    with pytest.raises(UserInputError, match="val dataset reach the model at 120 x 90, those of training at 32 x 32"):
        check_image_sizes({"train": train, "val": test}, allow_small_crops=False)
    resized = folder(tmp_path / "test", [LOAD, {"type": "Resize", "scale": 224}, PACK], PHOTO, PHOTO)
    check_image_sizes({"train": train, "val": resized}, allow_small_crops=False)  # whoever resizes has chosen it


def test_a_pipeline_without_draws_leaves_the_random_state(tmp_path: Path) -> None:
    data = folder(tmp_path, [LOAD, PACK], SMALL, SMALL)
    with random_state_untouched():
        check_image_sizes({"test": data}, allow_small_crops=False)
