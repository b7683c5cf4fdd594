"""The first step of every pipeline."""

from __future__ import annotations

import cv2
from mmcv.transforms import LoadImageFromFile
from mmpretrain.registry import TRANSFORMS

from lt_plugins.errors import UserInputError


@TRANSFORMS.register_module()
class LoadImage(LoadImageFromFile):
    """Gives ``img`` as BGR ``uint8 (H, W, 3)``, from a file or from the RGB array that the data set holds.

    mmpretrain's CIFAR data sets hold RGB arrays, files are read as BGR, and the colour transforms of mmcv and
    mmpretrain (saturation, hue, grayscale, AutoAugment) expect BGR. With this step one pipeline and one ``to_rgb=True``
    serve both. Grayscale files get three channels. The options are those of :class:`mmcv.transforms.LoadImageFromFile`.

    Raises:
        UserInputError: If a file is missing or cannot be decoded.
    """

    def transform(self, results: dict) -> dict | None:
        """Load one image.

        Args:
            results (dict): Annotation with ``img`` (RGB array) or ``img_path``.

        Returns:
            The same dict with ``img``, ``img_shape`` and ``ori_shape``.
        """
        if "img" in results:
            results["img"] = results["img"][..., ::-1].copy()
            results["img_shape"] = results["ori_shape"] = results["img"].shape[:2]
            return results
        try:
            return super().transform(results)
        # What OpenCV cannot decode ends in an assertion of mmcv, or in an error of its own (an empty file).
        except (FileNotFoundError, AssertionError, cv2.error) as error:
            raise UserInputError(
                f"cannot read image {results['img_path']} ({type(error).__name__}); "
                "tools/datasets/check.py CONFIG lists every bad file"
            ) from error
