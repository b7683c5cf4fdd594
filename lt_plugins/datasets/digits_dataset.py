"""Handwritten digits that come with scikit-learn."""

from __future__ import annotations

from typing import Any, Literal, get_args

import mmcv
import numpy as np
from mmpretrain.datasets import BaseDataset

from lt_plugins.errors import UserInputError
from lt_plugins.registry import DATASETS

Split = Literal["train", "test"]


@DATASETS.register_module()
class DigitsDataset(BaseDataset):
    """UCI handwritten digits: real images that need no download.

    1,797 grayscale images of 8x8 pixels, enlarged to 32x32 (bilinear) with three equal channels. A fixed, seeded split
    puts 50 of each digit into ``test`` and the other 124 to 133 into ``train``.

    Args:
        split (Split): ``'train'`` or ``'test'``. Defaults to ``'train'``.
        **kwargs: ``pipeline``, ``test_mode`` and the other arguments of mmpretrain's ``BaseDataset``.

    Raises:
        UserInputError: If ``split`` is neither.

    Source: E. Alpaydin, C. Kaynak, "Optical Recognition of Handwritten Digits", UCI Machine Learning Repository.
    """

    METAINFO = {"classes": tuple(str(digit) for digit in range(10))}
    image_size = 32
    test_images_per_class = 50

    def __init__(self, split: Split = "train", **kwargs: Any) -> None:
        if split not in get_args(Split):
            raise UserInputError(f"unknown split {split!r}; choose one of {', '.join(get_args(Split))}")
        self.split = split
        super().__init__(ann_file="", **kwargs)

    def load_data_list(self) -> list[dict]:
        """Load the images of the split.

        Returns:
            One ``dict(img (32, 32, 3) uint8, gt_label)`` for each image, in the order of the original file.
        """
        from sklearn.datasets import load_digits  # a second of imports

        digits = load_digits()
        in_test = self._in_test(digits.target)
        chosen = np.flatnonzero(in_test if self.split == "test" else ~in_test)
        images = (digits.images[chosen] * (255 / 16)).round().astype(np.uint8)  # 17 gray levels
        return [
            {"img": self._enlarge(image), "gt_label": int(label)}
            for image, label in zip(images, digits.target[chosen], strict=True)
        ]

    def extra_repr(self) -> list[str]:
        """What ``repr`` says beside the number of samples."""
        return [f"Split: \t{self.split}"]

    def _enlarge(self, image: np.ndarray) -> np.ndarray:
        enlarged = mmcv.imresize(image, (self.image_size, self.image_size), interpolation="bilinear", backend="cv2")
        return np.repeat(enlarged[..., None], 3, axis=2)

    def _in_test(self, labels: np.ndarray) -> np.ndarray:
        """Mask of the test images; the legacy generator, because its stream never changes with numpy's version."""
        generator = np.random.RandomState(0)
        mask = np.zeros(len(labels), dtype=bool)
        for label in np.unique(labels):
            mask[generator.permutation(np.flatnonzero(labels == label))[: self.test_images_per_class]] = True
        return mask
