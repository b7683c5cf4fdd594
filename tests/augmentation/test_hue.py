"""Rotated hues are those of OpenCV, but for a few colours that its single precision rounds the other way."""

from __future__ import annotations

import mmcv
import numpy as np
import torch

from lt_plugins.augmentation.hue import _rounded_quotient, adjust_hue
from tests.augmentation.images import Images, as_batch, as_images


def share_of_other_colours(colours: Images, shifts: np.ndarray) -> float:
    """How many of the colours ``(H, W, 3)``, each by all shifts, are not those of mmcv; none is off by two levels."""
    found = as_images(adjust_hue(as_batch(np.broadcast_to(colours, (len(shifts), *colours.shape))), shifts))
    expected = np.stack([mmcv.adjust_hue(colours, shift / 255, backend="cv2") for shift in shifts])
    assert np.abs(found.astype(int) - expected).max() <= 1
    return (found != expected).any(axis=-1).mean()


def all_colours(step: int) -> Images:
    """Colours whose channels are multiples of ``step``, and of 255."""
    levels = np.append(np.arange(0, 255, step), 255).astype(np.uint8)
    return np.stack(np.meshgrid(levels, levels, levels), axis=-1).reshape(1, -1, 3)


def test_every_shift() -> None:
    assert share_of_other_colours(all_colours(17), np.arange(-127, 128)) < 1e-5


def test_many_colours() -> None:
    assert share_of_other_colours(all_colours(4), np.array([-25, -3, 0, 1, 17, 25, 85, 127])) < 1e-5


def test_no_shift_of_gray() -> None:
    gray = np.repeat(np.arange(256, dtype=np.uint8), 3).reshape(1, 1, 256, 3)
    np.testing.assert_array_equal(as_images(adjust_hue(as_batch(gray), np.array([40]))), gray)


def test_every_quotient() -> None:
    number = torch.arange(255**3 + 1, dtype=torch.int32)
    whole, rest = number // 65025, number % 65025
    assert torch.equal(_rounded_quotient(number), whole + (rest > 32512))
