"""Blurred images have the bits of ``PIL.ImageFilter.GaussianBlur``."""

from __future__ import annotations

import numpy as np
import pytest
from PIL import Image, ImageFilter

from lt_plugins.augmentation.gaussian_blur import gaussian_blur
from tests.augmentation.images import Images, assert_equals_per_image, example_images


def pil_blur(image: Images, radius: float) -> Images:
    return np.array(Image.fromarray(image).filter(ImageFilter.GaussianBlur(radius)))


@pytest.mark.parametrize(
    ("size", "radii"),
    [
        ((32, 32), np.linspace(0, 2, 401)),
        ((32, 32), np.linspace(2, 8, 61)),
        ((20, 33), np.linspace(0.1, 5, 40)),
        *[(size, np.linspace(0.1, 4, 15)) for size in ((1, 1), (1, 7), (2, 3), (5, 1))],
    ],
)
def test_equals_pil(size: tuple[int, int], radii: np.ndarray) -> None:
    assert_equals_per_image(gaussian_blur, pil_blur, radii, example_images(*size))
