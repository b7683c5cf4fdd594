"""AutoAugment, RandAugment and their operations in batched form: the images of the per-image transforms, as often."""

from __future__ import annotations

from collections import Counter
from typing import Any

import numpy as np
import pytest
import torch
from mmengine.config import Config
from mmpretrain.datasets.transforms.auto_augment import AUTOAUG_POLICIES, RANDAUG_POLICIES
from numpy.typing import NDArray
from scipy.stats import chi2_contingency

import lt_plugins.plugins  # noqa: F401 (registers)
from lt_plugins.augmentation.draws import Draws
from lt_plugins.datasets.batched_forms import batched_form
from lt_plugins.errors import UserInputError
from tests.augmentation.images import as_batch, as_images, example_images
from tests.datasets.batched_forms.outcomes import assert_same_outcomes, batched, build

CIFAR_POLICIES = Config.fromfile("configs/_base_/pipelines/paco_cifar.py").cifar_policies
AUTOAUGMENT = Config.fromfile("configs/_base_/pipelines/autoaugment_cifar.py").autoaugment_train_pipeline[3]
CIFAR_RAND_AUGMENT = Config.fromfile("configs/_base_/pipelines/randaugment_cifar.py").cifar_rand_augment
PACO_RAND_AUGMENT = Config.fromfile("configs/_base_/pipelines/paco_imagenet.py").rand_augment
DIGIT_VIEW = Config.fromfile("configs/_base_/pipelines/paco_digits.py").digit_view

# An image whose outcomes all differ: smooth, with texture and without the darkest and the brightest values
IMAGE = (example_images(6, 16)[5] * 0.7 + 30).astype(np.uint8)

OPERATIONS: list[dict[str, Any]] = [
    dict(type="Invert", prob=0.3),
    dict(type="AutoContrast"),
    dict(type="Equalize", prob=0.9),
    dict(type="Posterize", bits=3, prob=0.4),
    dict(type="Posterize", bits=2.4, prob=0.4),
    dict(type="Posterize", magnitude_range=(4, 0), magnitude_level=3, magnitude_std="inf", prob=1.0),
    dict(type="FloorPosterize", magnitude_range=(0, 4), magnitude_level=9, magnitude_std=0.9, prob=0.7),
    dict(type="FloorPosterize", bits=2.4, prob=0.5),
    dict(type="Solarize", thr=100, prob=0.7),
    dict(type="Solarize", magnitude_range=(256, 0), magnitude_level=6, prob=0.7),
    dict(type="SolarizeAdd", magnitude=70, prob=0.7),
    dict(type="SolarizeAdd", magnitude=150.5, thr=120.5, prob=0.7),
    dict(type="SolarizeAdd", magnitude_range=(0, 110), magnitude_level=6, prob=0.2),
    *[
        dict(type=kind, magnitude=0.6, prob=0.8, random_negative_prob=0.3)
        for kind in ("ColorTransform", "Contrast", "Brightness", "Sharpness")
    ],
    *[
        dict(type=kind, magnitude_range=(-0.9, 0.9), magnitude_level=7, prob=0.5)
        for kind in ("ColorTransform", "Contrast", "Brightness", "Sharpness")
    ],
    dict(type="GaussianBlur", radius=1.3, prob=0.4),
    dict(type="GaussianBlur", magnitude_range=(0.1, 2.0), magnitude_level=6, prob=0.4),
    dict(type="Rotate", angle=20.0, prob=0.8),
    dict(type="Rotate", angle=20, pad_val=(1, 2, 3), center=(3.0, 4.5), scale=1.3, interpolation="bicubic", prob=0.8),
    dict(type="Rotate", magnitude_range=(0, 30), magnitude_level=5, interpolation="bilinear", random_negative_prob=0.1),
    dict(type="RandomInterpolationRotate", angle=20, pad_val=[1, 2, 3], prob=0.8),
    *[
        dict(type=kind, magnitude=0.3, direction=direction, pad_val=pad_val, prob=0.9)
        for kind in ("Shear", "Translate", "RandomInterpolationShear", "RandomInterpolationTranslate")
        for direction, pad_val in (("horizontal", 7), ("vertical", (1, 2, 3)))
    ],
    dict(type="Shear", magnitude=0.3, interpolation="nearest", random_negative_prob=0.9),
    dict(type="Translate", magnitude=0.3, interpolation="bilinear", random_negative_prob=0.9),
]


@pytest.mark.parametrize("config", OPERATIONS, ids=lambda config: f"{config['type']}-{len(str(config))}")
def test_operation(config: dict[str, Any]) -> None:
    assert_same_outcomes(config, IMAGE, num_draws=2000)


def test_radius_of_blur() -> None:
    config = dict(type="GaussianBlur", magnitude_range=(0.1, 2.0), magnitude_std="inf", prob=0.5)
    assert_same_outcomes(config, np.array([[[20, 60, 220], [90, 30, 40]]], dtype=np.uint8))


def test_auto_augment_for_cifar() -> None:
    """All outcomes of the 25 sub-policies: their operations, in both orders of signs, taken or not."""
    assert_same_outcomes(dict(type="AutoAugment", policies=CIFAR_POLICIES), IMAGE, num_draws=6000)


def test_a_rotation_of_one_direction() -> None:
    """In the pipeline of one view; the other sub-policies are the same."""
    assert_same_outcomes(dict(type="AutoAugment", policies=AUTOAUGMENT.policies[1:2]), IMAGE, num_draws=1000)


def test_the_rotation_of_auto_augment_is_filled_with_gray() -> None:
    """In all channels, of one image and of a batch."""
    [rotate] = [step for policy in CIFAR_POLICIES for step in policy if step["type"] == "Rotate"]
    always = dict(type="AutoAugment", policies=[[dict(rotate, prob=1.0)]])
    black = np.zeros((32, 32, 3), dtype=np.uint8)
    for corner in (build(always)({"img": black.copy()})["img"][0, 0], batched(always, black[None])[0, 0, 0]):
        assert corner.tolist() == [128, 128, 128]


def test_auto_augment_of_imagenet() -> None:
    assert_same_outcomes(dict(type="AutoAugment", policies="imagenet"), IMAGE, num_draws=5000)


@pytest.mark.parametrize("name", RANDAUG_POLICIES)
def test_rand_augment(name: str) -> None:
    assert_same_outcomes(
        dict(type="RandAugment", policies=name, num_policies=2, magnitude_level=6), IMAGE, num_draws=4000
    )


def test_rand_augment_for_cifar() -> None:
    """All pairs of the 14 operations, one of which is the identity."""
    assert_same_outcomes(dict(CIFAR_RAND_AUGMENT), IMAGE, num_draws=4000)


def test_rand_augment_with_operations_of_other_transforms() -> None:
    policies = [
        dict(type="Invert", prob=0.7),
        dict(type="RandomFlip", prob=0.5, direction="horizontal"),
        dict(type="Cutout", shape=15, pad_val=3, prob=0.0),
    ]
    assert_same_outcomes(dict(type="RandAugment", policies=policies, num_policies=3, magnitude_level=1), IMAGE)


def outcomes_of(config: dict[str, Any], image: NDArray[np.uint8], count: int) -> tuple[NDArray, NDArray]:
    """What both make of an image, each ``(count, H, W, 3)``."""
    np.random.seed(0)  # noqa: NPY002 (the generator of all transforms)
    transform = build(config)
    one_by_one = np.stack([transform({"img": image.copy()})["img"] for _ in range(count)])
    return batched(config, np.broadcast_to(image, (count, *image.shape))), one_by_one


@pytest.mark.parametrize("config", [PACO_RAND_AUGMENT, *DIGIT_VIEW[:2]], ids=["paco", "digits-rotate", "digits-shear"])
def test_drawn_magnitudes_in_configs(config: dict[str, Any]) -> None:
    """Magnitudes are drawn from a range: the values of a few pixels are distributed alike."""
    ours, theirs = outcomes_of(dict(config), IMAGE, 4000)
    for row, column, channel in ((3, 3, 0), (0, 1, 1), (4, 7, 2), (5, 10, 1)):
        values = [images[:, row, column, channel].astype(int) // 8 for images in (ours, theirs)]
        table = np.stack([np.bincount(each, minlength=32) for each in values])
        rare = table.sum(axis=0) < 20
        table = np.column_stack([table[:, ~rare], table[:, rare].sum(axis=1)])
        assert chi2_contingency(table[:, table.any(axis=0)]).pvalue > 1e-4
    share = [np.mean((images == IMAGE).all(axis=(1, 2, 3))) for images in (ours, theirs)]
    assert share[0] == pytest.approx(share[1], abs=0.03)


@pytest.mark.parametrize(
    "config",
    [
        dict(type="AutoAugment", policies=CIFAR_POLICIES),
        dict(type="AutoAugment", policies="imagenet"),
        PACO_RAND_AUGMENT,
        CIFAR_RAND_AUGMENT,
    ],
    ids=["cifar", "imagenet", "paco", "cifar-randaugment"],
)
def test_an_image_does_not_depend_on_the_batch(config: dict[str, Any]) -> None:
    form = batched_form(build(dict(config)))
    images = as_batch(np.concatenate([example_images(16, 20, seed=seed) for seed in range(20)]))
    together = form(images, Draws.of_images(3, 5, 1, range(len(images))))
    for index in range(len(images)):
        assert torch.equal(form(images[index : index + 1], Draws.of_images(3, 5, 1, [index]))[0], together[index])
    assert not torch.equal(form(images, Draws.of_images(3, 6, 1, range(len(images)))), together)


@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a CUDA device")
def test_same_pixels_on_every_device() -> None:
    for config in (dict(type="AutoAugment", policies=CIFAR_POLICIES), dict(PACO_RAND_AUGMENT)):
        form = batched_form(build(config))
        images = as_batch(np.concatenate([example_images(32, 32, seed=seed) for seed in range(50)]))
        on_gpu, on_cpu = (form(each, Draws.of_images(0, 0, 0, range(600))) for each in (images.cuda(), images))
        assert torch.equal(on_gpu.cpu(), on_cpu)


def test_every_magnitude_of_the_policies() -> None:
    """Each operation of the presets and of our configs, always taken: equal on images of all kinds."""
    policies = [each for sub in [*CIFAR_POLICIES, *AUTOAUG_POLICIES["imagenet"]] for each in sub]
    for level in range(0, 11, 2):
        drawn = RANDAUG_POLICIES["timm_increasing"] + PACO_RAND_AUGMENT["policies"]
        for each in drawn:
            if "magnitude_range" in each and not each["type"].startswith("RandomInterpolation"):
                policies.append(dict(each, magnitude_level=level))
    images = example_images(32, 32)[:6]
    seen: Counter[str] = Counter()
    for policy in policies:
        for negative in (0.0, 1.0):
            config = dict(policy, prob=1.0)
            transform = build(config)
            if negative == 1.0 and not transform.random_negative_prob:
                continue
            transform.random_negative_prob = negative
            found = as_images(batched_form(transform)(as_batch(images), Draws.of_images(0, 0, 0, range(len(images)))))
            for index, image in enumerate(images):
                np.testing.assert_array_equal(found[index], transform({"img": image.copy()})["img"], str(config))
            seen[policy["type"]] += 1
    assert len(seen) == 14, seen  # Cutout and the operations of random interpolation apart


@pytest.mark.parametrize(
    ("config", "message"),
    [
        (
            dict(type="Shear", magnitude=0.1, interpolation="lanczos"),
            "Shear has no batched form with interpolation='lanczos'; use 'nearest' or 'bilinear' or 'bicubic', or "
            "--no-resident.",
        ),
        (
            dict(type="Rotate", angle=3, pad_val=300),
            "Rotate has no batched form with pad_val=300; use whole numbers from 0 to 255, one or three, or "
            "--no-resident.",
        ),
        (
            dict(type="Translate", magnitude=0.1, pad_val=(1, 2)),
            r"Translate has no batched form with pad_val=(1, 2); use whole numbers from 0 to 255, one or three, or "
            "--no-resident.",
        ),
        (
            dict(type="GaussianBlur", magnitude_range=(-1, 2), magnitude_std="inf"),
            "GaussianBlur has no batched form with magnitude_range=(-1, 2); use nothing negative, or --no-resident.",
        ),
        (
            dict(type="Rotate", angle=3, scale=0),
            "Rotate has no batched form with scale=0; use another number, or --no-resident.",
        ),
        (
            dict(type="Posterize", magnitude_range=(0, 9)),
            "Posterize has no batched form with magnitude_range=(0, 9); use at most 8 bits, or --no-resident.",
        ),
        (
            dict(type="SolarizeAdd", magnitude=150),
            "SolarizeAdd has no batched form with magnitude=150; use 150.0, which stops at 255, or --no-resident.",
        ),
        (
            dict(type="SolarizeAdd", magnitude_range=(-5, 100), magnitude_std="inf"),
            "SolarizeAdd has no batched form with magnitude_range=(-5, 100); use nothing negative, or --no-resident.",
        ),
    ],
    ids=lambda value: value["type"] if isinstance(value, dict) else "",
)
def test_unknown_settings_are_refused(config: dict[str, Any], message: str) -> None:
    with pytest.raises(UserInputError) as caught:
        batched_form(build(config))
    assert str(caught.value) == message
