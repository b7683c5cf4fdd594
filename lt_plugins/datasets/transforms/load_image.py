"""The first step of every pipeline."""

from __future__ import annotations

from typing import Any

import cv2
import mmcv
import numpy as np
from mmcv.transforms import LoadImageFromFile
from mmpretrain.registry import TRANSFORMS

from lt_plugins.datasets.image_file import DEFAULT_MAX_PIXELS, ImageFileError, read_image_file
from lt_plugins.datasets.text_file import show_path
from lt_plugins.errors import UserInputError


@TRANSFORMS.register_module()
class LoadImage(LoadImageFromFile):
    """Gives ``img`` as BGR ``uint8 (H, W, 3)``, from a file or from the RGB array that the data set holds.

    mmpretrain's CIFAR data sets hold RGB arrays, files are read as BGR, and the colour transforms of mmcv and
    mmpretrain (saturation, hue, grayscale, AutoAugment) expect BGR. With this step one pipeline and one ``to_rgb=True``
    serve both. Grayscale files get three channels.

    Args:
        max_pixels (int): Largest width times height of a file, looked up in its header before it is decoded: a PNG of
            100 KB can hold 900 million pixels. Defaults to 134,217,728 (400 MB in RGB).
        **kwargs: ``to_float32``, ``color_type``, ``imdecode_backend``, ``ignore_empty`` and ``backend_args`` of
            :class:`mmcv.transforms.LoadImageFromFile`.

    Raises:
        UserInputError: If a file is missing, no regular file, larger than ``max_pixels``, or cannot be decoded.
    """

    def __init__(self, max_pixels: int = DEFAULT_MAX_PIXELS, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        if not isinstance(max_pixels, int) or max_pixels < 1:
            raise UserInputError(f"max_pixels={max_pixels!r} of LoadImage must be a positive integer, like 134217728")
        if self.file_client_args is not None:
            raise UserInputError("LoadImage knows no file_client_args; give backend_args, as mmcv advises")
        self.max_pixels = max_pixels

    def transform(self, results: dict) -> dict | None:
        """Load one image.

        Args:
            results (dict): Annotation with ``img`` (RGB array) or ``img_path``.

        Returns:
            The same dict with ``img``, ``img_shape`` and ``ori_shape``.
        """
        if "img" in results:
            results["img"] = results["img"][..., ::-1].copy()
        else:
            image = self._read(results["img_path"])
            if image is None:
                return None
            results["img"] = image
        results["img_shape"] = results["ori_shape"] = results["img"].shape[:2]
        return results

    def _read(self, path: str) -> np.ndarray | None:
        try:
            data = read_image_file(path, self.max_pixels, self.backend_args)
            image = mmcv.imfrombytes(data, flag=self.color_type, backend=self.imdecode_backend)
            if image is None:
                raise ImageFileError("cannot be decoded")
        except (ImageFileError, cv2.error) as error:
            if self.ignore_empty:
                return None
            reason = error if isinstance(error, ImageFileError) else "cannot be decoded"
            raise UserInputError(
                f"cannot read image {show_path(path)} ({reason}); tools/datasets/check.py CONFIG lists every bad file"
            ) from error
        return image.astype(np.float32) if self.to_float32 else image
