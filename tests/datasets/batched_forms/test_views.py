"""Whole views of the configs for small images, in batched form."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import torch
from mmengine.config import Config
from numpy.typing import NDArray
from scipy.stats import ks_2samp

from lt_plugins.augmentation.draws import Draws
from lt_plugins.datasets.batched_forms import batched_form
from tests.augmentation.images import Images, as_batch, as_images, example_images
from tests.datasets.batched_forms.outcomes import build

PACO = Config.fromfile("configs/_base_/pipelines/paco_cifar.py")
VIEWS: dict[str, tuple[list[dict[str, Any]], int]] = {
    "cifar": (Config.fromfile("configs/_base_/datasets/cifar100-lt.py").train_pipeline[1:-1], 32),
    "digits": (Config.fromfile("configs/_base_/datasets/digits.py").train_pipeline[1:-1], 32),
    "tiny-imagenet": (Config.fromfile("configs/_base_/datasets/tiny-imagenet-lt.py").train_pipeline[1:-1], 64),
    "simclr": (Config.fromfile("configs/_base_/pipelines/simclr_cifar.py").simclr_view, 32),
    "simclr of tiny-imagenet": (Config.fromfile("configs/_base_/pipelines/simclr_tiny-imagenet.py").simclr_view, 64),
    "paco, regular": (PACO.regular_view, 32),
    "paco, blurred": (PACO.blurred_simclr_view, 32),
    "paco of digits": (Config.fromfile("configs/_base_/pipelines/paco_digits.py").digit_view, 32),
}


def build_view(name: str) -> tuple[Any, int]:
    """The view of one image, and the side of its images."""
    steps, side = VIEWS[name]
    return build(dict(type="mmcv.Compose", transforms=[dict(step) for step in steps])), side


@pytest.mark.parametrize("name", VIEWS)
def test_an_image_does_not_depend_on_the_batch(name: str) -> None:
    view, side = build_view(name)
    form = batched_form(view)
    images = as_batch(np.concatenate([example_images(side, side, seed) for seed in range(3)]))
    before = images.clone()
    together = form(images, Draws.of_images(3, 5, 1, range(len(images))))
    assert torch.equal(images, before)
    for index in range(len(images)):
        assert torch.equal(form(images[index : index + 1], Draws.of_images(3, 5, 1, [index]))[0], together[index])
    assert not torch.equal(form(images, Draws.of_images(3, 6, 1, range(len(images)))), together)


def statistics(images: Images) -> NDArray[np.float64]:
    """Mean of each channel, and how much pixels differ, from each other and from their neighbours; ``(5, N)``."""
    values = images.astype(np.float64)
    steps = np.abs(np.diff(values, axis=2)).mean(axis=(1, 2, 3))
    return np.stack([*values.mean(axis=(1, 2)).T, values.std(axis=(1, 2, 3)), steps])


@pytest.mark.parametrize("name", ["simclr", "paco, regular", "paco, blurred", "paco of digits"])
def test_looks_like_the_view_of_one_image(name: str) -> None:
    np.random.seed(0)  # noqa: NPY002 (the generator of all transforms)
    view, side = build_view(name)
    image = example_images(side, side)[5]
    ours = as_images(batched_form(view)(as_batch(np.stack([image] * 1000)), Draws.of_images(0, 0, 0, range(1000))))
    theirs = np.stack([view({"img": image.copy()})["img"] for _ in range(1000)])
    for found, expected in zip(statistics(ours), statistics(theirs), strict=True):
        assert ks_2samp(found, expected).pvalue > 1e-4


@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a CUDA device")
@pytest.mark.parametrize("name", VIEWS)
def test_same_pixels_on_every_device(name: str) -> None:
    view, side = build_view(name)
    images = as_batch(np.concatenate([example_images(side, side, seed) for seed in range(50)]))
    on_gpu, on_cpu = (
        batched_form(view)(each, Draws.of_images(0, 0, 0, range(600))) for each in (images.cuda(), images)
    )
    assert torch.equal(on_gpu.cpu(), on_cpu)
