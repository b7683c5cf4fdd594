"""Transforms that apply others, in batched form."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from lt_plugins.augmentation.draws import Draws
from lt_plugins.datasets.batched_forms import batched_form
from lt_plugins.errors import UserInputError
from tests.datasets.batched_forms.outcomes import assert_same_outcomes, batched, build, random_image

CROP_OR_FLIP = [dict(type="RandomCrop", crop_size=(3, 4), padding=1), dict(type="RandomFlip", prob=0.5)]


@pytest.mark.parametrize("prob", [0.0, 0.3, 0.8, 1.0])
def test_random_apply(prob: float) -> None:
    assert_same_outcomes(dict(type="RandomApply", prob=prob, transforms=CROP_OR_FLIP), random_image(3, 4))


def test_does_not_depend_on_the_batch() -> None:
    config = dict(type="RandomApply", prob=0.5, transforms=CROP_OR_FLIP)
    images = np.stack([random_image(3, 4, seed) for seed in range(20)])
    together, form = batched(config, images), batched_form(build(config))
    for index, image in enumerate(images):
        alone = form(torch.from_numpy(image.transpose(2, 0, 1)[None]), Draws.of_images(0, 0, 0, [index]))
        np.testing.assert_array_equal(alone[0].permute(1, 2, 0).numpy(), together[index])


def test_images_of_other_size_are_refused() -> None:
    config = dict(type="RandomApply", prob=0.5, transforms=[dict(type="RandomCrop", crop_size=2)])
    with pytest.raises(UserInputError, match=r"made \(2, 2\) pixels of \(3, 4\)"):
        batched(config, np.stack([random_image(3, 4)] * 20))
