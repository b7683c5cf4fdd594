"""The first step of every pipeline."""

from __future__ import annotations

from typing import Any

import cv2
import mmcv
import numpy as np
from mmcv.image.io import imread_flags
from mmcv.transforms import LoadImageFromFile
from numpy.typing import NDArray

from lt_plugins.datasets.image_file import (
    DEFAULT_MAX_PIXELS,
    ImageFileError,
    check_max_pixels,
    encoded_image_size,
    read_image_file,
)
from lt_plugins.datasets.text_file import show_path
from lt_plugins.errors import UserInputError
from lt_plugins.registry import TRANSFORMS

BIT_DEPTHS = (8, 10, 12, 14, 16)  # of cameras and scanners that write 16 bits a channel
# By how much libjpeg scales while it decodes, the largest first.
_REDUCED = {8: cv2.IMREAD_REDUCED_COLOR_8, 4: cv2.IMREAD_REDUCED_COLOR_4, 2: cv2.IMREAD_REDUCED_COLOR_2}


@TRANSFORMS.register_module()
class LoadImage(LoadImageFromFile):
    """Gives ``img`` as BGR ``uint8 (H, W, 3)``, from a file or from an array.

    Files are read as BGR, OpenMMLab's inferencers and tools hand over BGR arrays, and the colour transforms of mmcv and
    mmpretrain (saturation, hue, grayscale, AutoAugment) expect BGR; but mmpretrain's CIFAR datasets hold RGB arrays.
    So an array is BGR, unless ``channel_order='rgb'`` in the annotation says otherwise, or a dataset holds it itself:
    then it has a ``sample_idx`` and no ``img_path``. With this step one pipeline and one ``to_rgb=True`` serve all of
    them.

    Grayscale and palette images get three channels, CMYK is converted, an alpha channel is dropped, and the EXIF
    orientation is applied. A file with 16 bits a channel is scaled to 8 by its bit depth (:func:`to_8_bits`); floating
    point and integer pixels of other widths have no known range, and are refused.

    Args:
        max_pixels (int): Largest width times height of a file, looked up in its header before it is decoded: a PNG of
            100 KB can hold 900 million pixels. Defaults to 134,217,728 (400 MB in RGB).
        min_side (int | None): Pixels that the short side of a JPEG must keep where it is decoded at 1/2, 1/4 or 1/8 of
            its size, which takes half the time of a photograph of 24 megapixels. Defaults to None: full size.
        bit_depth (int | None): Bits that 16-bit files really use: 8, 10, 12, 14 or 16. Defaults to None: the fewest
            that hold the image.
        **kwargs: ``to_float32``, ``color_type``, ``imdecode_backend``, ``ignore_empty`` and ``backend_args`` of
            :class:`mmcv.transforms.LoadImageFromFile`.

    Raises:
        UserInputError: If a file is missing, no regular file, larger than ``max_pixels``, or cannot be decoded, the
            pixels are neither 8- nor 16-bit, or an argument is out of range.
    """

    def __init__(
        self,
        max_pixels: int = DEFAULT_MAX_PIXELS,
        min_side: int | None = None,
        bit_depth: int | None = None,
        **kwargs: Any,
    ) -> None:
        super().__init__(**kwargs)
        if self.file_client_args is not None:
            raise UserInputError("LoadImage knows no file_client_args; give backend_args, as mmcv advises")
        self.max_pixels = check_max_pixels(max_pixels)
        if min_side is not None and (type(min_side) is not int or min_side < 1):
            raise UserInputError(f"min_side={min_side!r} of LoadImage must be a positive integer, or None")
        if bit_depth not in (None, *BIT_DEPTHS):
            raise UserInputError(f"bit_depth={bit_depth!r} of LoadImage must be None or one of {BIT_DEPTHS}")
        self.min_side = min_side
        self.bit_depth = bit_depth

    def transform(self, results: dict) -> dict | None:
        """Load one image.

        Args:
            results (dict): Annotation with ``img`` (array) or ``img_path``.

        Returns:
            The same dict with ``img``, ``img_shape``, ``ori_shape`` and ``channel_order='bgr'``.
        """
        if "img" in results:
            held_by_dataset = "sample_idx" in results and results.get("img_path") is None
            order = results.get("channel_order", "rgb" if held_by_dataset else "bgr")
            # A copy: later steps may write into it.
            image = three_channels(results["img"], "the array img")[..., :: -1 if order == "rgb" else 1].copy()
        else:
            pixels = self._read(results["img_path"])
            if pixels is None:
                return None
            image = three_channels(pixels, f"image {show_path(results['img_path'])}")
        results["img"] = image.astype(np.float32) if self.to_float32 else image
        results["img_shape"] = results["ori_shape"] = image.shape[:2]
        results["channel_order"] = "bgr"
        return results

    def _read(self, path: str) -> NDArray[Any] | None:
        flag = self.color_type
        if self.imdecode_backend == "cv2" and isinstance(flag, str):
            flag = imread_flags[flag] | cv2.IMREAD_ANYDEPTH  # keeps 16 bits, so that they can be noticed
        try:
            data = read_image_file(path, self.max_pixels, self.backend_args)
            if self.min_side is not None and self.color_type == "color" and self.imdecode_backend == "cv2":
                flag = reduced_flag(data, self.min_side, flag)
            image = mmcv.imfrombytes(data, flag=flag, backend=self.imdecode_backend)
            if image is None:
                raise ImageFileError("cannot be decoded")
        except (ImageFileError, cv2.error) as error:
            if self.ignore_empty:
                return None
            reason = error if isinstance(error, ImageFileError) else "cannot be decoded"
            raise UserInputError(
                f"cannot read image {show_path(path)} ({reason}); tools/check_data.py CONFIG lists every bad "
                "file, and train, test and sweep leave them out with --skip-bad"
            ) from error
        return to_8_bits(image, self.bit_depth) if image.dtype == np.uint16 else image


def to_8_bits(pixels: NDArray[np.uint16], bit_depth: int | None = None) -> NDArray[np.uint8]:
    """16-bit to 8-bit conversion: drops the lower bits of the bit depth that an image really uses.

    Cameras and scanners write 10, 12 or 14 bits into files of 16 bits a channel, whose upper 8 bits alone are nearly
    black. An image that uses fewer bits than its camera has, a dark one, becomes brighter by a power of 4; where that
    matters, give the depth.

    Args:
        pixels (NDArray): Any shape, uint16.
        bit_depth (int | None): 8, 10, 12, 14 or 16; larger values are white. Defaults to None: the fewest of these bits
            that hold the largest value.

    Returns:
        NDArray: The same shape, uint8.
    """
    if bit_depth is None:
        largest = int(pixels.max(initial=0))
        bit_depth = next(depth for depth in BIT_DEPTHS if largest < 2**depth)
    return np.minimum(pixels >> (bit_depth - 8), 255).astype(np.uint8)


def reduced_flag(data: bytes, min_side: int, full: int) -> int:
    """OpenCV's flag for the smallest decoding of a JPEG whose short side keeps enough pixels.

    Args:
        data (bytes): Content of an image file.
        min_side (int): Pixels that its short side must keep.
        full (int): The flag for its full size, also of other formats.
    """
    size = encoded_image_size(data) if data.startswith(b"\xff\xd8") else None
    if size is None:
        return full
    return next((flag for factor, flag in _REDUCED.items() if -(-min(size) // factor) >= min_side), full)


def three_channels(image: NDArray[Any], name: str) -> NDArray[np.uint8]:
    """Check decoded pixels, and give gray ones three channels and those with alpha no more.

    Args:
        image (NDArray): Pixels, shape ``(H, W)``, ``(H, W, 1)``, ``(H, W, 3)`` or ``(H, W, 4)``.
        name (str): How to name the image.

    Returns:
        NDArray[np.uint8]: Shape ``(H, W, 3)``.

    Raises:
        UserInputError: If they are not 8-bit, or have another shape.
    """
    kind = getattr(image, "dtype", type(image).__name__)
    if kind != np.uint8:
        extent = f" from {image.min():g} to {image.max():g}" if getattr(image, "size", 0) else ""
        raise UserInputError(
            f"{name} holds {kind} values{extent}, expected 8 bits a channel; convert such images once, with the "
            "scaling that is right for them (12-bit: divide by 16)."
        )
    if image.ndim == 2:
        image = image[..., None]
    if image.ndim != 3 or image.shape[2] not in (1, 3, 4) or image.size == 0:
        raise UserInputError(f"{name} has shape {image.shape}, expected (height, width, 3), or 1 or 4 channels.")
    if image.shape[2] == 1:
        return np.repeat(image, 3, axis=2)
    return np.ascontiguousarray(image[..., :3])
