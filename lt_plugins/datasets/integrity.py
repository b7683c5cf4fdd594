"""What is wrong with the images and labels of datasets."""

from __future__ import annotations

import hashlib
import io
import struct
import zlib
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import cv2
import mmcv
import numpy as np
from numpy.typing import NDArray
from PIL import Image, UnidentifiedImageError
from torch.utils.data import DataLoader, Dataset

from lt_plugins.datasets.class_names import first_difference, named_classes
from lt_plugins.datasets.image_file import DEFAULT_MAX_PIXELS, ImageFileError, pillow_without_limit, read_image_file
from lt_plugins.datasets.leaf_table import build_leaf_table
from lt_plugins.datasets.text_file import show_path
from lt_plugins.datasets.transforms.load_image import reduced_flag, three_channels, to_8_bits
from lt_plugins.errors import UserInputError

# Whatever a decoder raises on a broken file.
DECODE_ERRORS = (
    *(OSError, ValueError, SyntaxError, EOFError, LookupError, TypeError, OverflowError, MemoryError, RuntimeError),
    *(struct.error, zlib.error, cv2.error, Image.DecompressionBombError),
)


@dataclass(frozen=True)
class ImageReport:
    """What was found when an image was read.

    Args:
        name (str): Its path, or its place in a dataset that holds arrays.
        label (int): Its label.
        digest (bytes): Hash of the decoded RGB pixels and their shape; empty if it cannot be decoded.
        problem (str): Why not; empty if it can be.
    """

    name: str
    label: int
    digest: bytes = b""
    problem: str = ""


def read_images(dataset: Any, num_workers: int = 0) -> Iterator[ImageReport]:
    """Decode every image of a dataset once, without its pipeline.

    Args:
        dataset (Any): An mmpretrain dataset, or one in any nesting of wrappers. An image that a wrapper repeats is
            read once.
        num_workers (int): Processes that read.

    Yields:
        A report for each image.
    """
    loader = DataLoader(_ImageReader(dataset), batch_size=32, num_workers=num_workers, collate_fn=list)
    for reports in loader:
        yield from reports


def decode_image(path: str | Path, max_pixels: int = DEFAULT_MAX_PIXELS) -> NDArray[np.uint8]:
    """Decode an image file to its last byte.

    Args:
        path (str | Path): The file.
        max_pixels (int): Largest width times height. Defaults to :data:`DEFAULT_MAX_PIXELS`.

    Returns:
        NDArray[np.uint8]: RGB, ``(H, W, 3)``.

    Raises:
        Exception: One of :data:`DECODE_ERRORS` if it is no image file, too large, or cut off.
    """
    return decode_bytes(read_image_file(path, max_pixels))


def decode_bytes(data: bytes, min_side: int | None = None) -> NDArray[np.uint8]:
    """Decode the content of an image file to its last byte.

    Args:
        data (bytes): The content.
        min_side (int | None): Pixels that the short side of a JPEG must keep where it is decoded at a part of its size.
            Defaults to None: full size.

    Returns:
        NDArray[np.uint8]: RGB, ``(H, W, 3)``.

    Raises:
        Exception: As :func:`decode_image`.
    """
    flag = cv2.IMREAD_COLOR | cv2.IMREAD_ANYDEPTH
    # Pillow refuses cut-off files, which OpenCV (what training reads with) fills with gray.
    with pillow_without_limit(), Image.open(io.BytesIO(data)) as image:
        if min_side is not None:
            image.draft(None, (min_side, min_side))
            flag = reduced_flag(data, min_side, flag)
        pixels = np.array(image.convert("RGB"))
    decoded = mmcv.imfrombytes(data, flag=flag)
    if decoded is None:
        raise ImageFileError(f"cannot be decoded by OpenCV (Pillow sees {image.format})")
    if decoded.dtype == np.uint16:
        return np.ascontiguousarray(to_8_bits(decoded)[..., ::-1])  # Pillow would cut at 255
    if decoded.dtype != np.uint8:
        raise ImageFileError(f"holds {decoded.dtype} values, expected 8 or 16 bits a channel")
    return pixels


def describe_decode_error(error: Exception) -> str:
    """Why an image cannot be decoded, in one line.

    Args:
        error (Exception): One of :data:`DECODE_ERRORS`.
    """
    if isinstance(error, UnidentifiedImageError):
        return "is damaged, or in no known image format"  # Pillow's own text names an object in memory
    text = str(error) if isinstance(error, ImageFileError) else f"{type(error).__name__}: {error}"
    return " ".join(text.split())


def find_duplicates(first: list[ImageReport], second: list[ImageReport]) -> list[tuple[ImageReport, ImageReport]]:
    """Images of one dataset whose pixels are also in another.

    Args:
        first (list[ImageReport]): Reports on one dataset.
        second (list[ImageReport]): Reports on the other.

    Returns:
        Pairs of an image of ``first`` and an equal one of ``second``, one for each such image of ``second``.
    """
    known = {report.digest: report for report in first if report.digest}
    return [(known[report.digest], report) for report in second if report.digest in known]


def find_conflicts(reports: list[ImageReport]) -> list[tuple[ImageReport, ImageReport]]:
    """Equal images of one dataset with different labels.

    Args:
        reports (list[ImageReport]): Reports on the dataset.

    Returns:
        Pairs of such images.
    """
    first: dict[bytes, ImageReport] = {}
    conflicts = []
    for report in reports:
        if report.digest and first.setdefault(report.digest, report).label != report.label:
            conflicts.append((first[report.digest], report))
    return conflicts


def find_renamed_class(first: Any, second: Any) -> str:
    """The first label that means something else in another dataset.

    Args:
        first (Any): An mmpretrain dataset, or one in any nesting of wrappers.
        second (Any): Another one.

    Returns:
        A line that names the label and both classes; empty if there is none, or one of the sets knows no names.
    """
    one, other = named_classes(first), named_classes(second)
    return "" if one is None or other is None else first_difference(("one", one), ("the other", other))


class _ImageReader(Dataset):
    """Reads the distinct images below any wrappers."""

    def __init__(self, dataset: Any) -> None:
        images = build_leaf_table(dataset).distinct_images()
        self.leaves = [leaf for leaf, _ in images]
        self.leaf_of = np.repeat(np.arange(len(images)), [len(indices) for _, indices in images])
        self.index_in_leaf = np.concatenate([indices for _, indices in images])
        self.max_pixels = [max_pixels_of(leaf) for leaf in self.leaves]

    def __len__(self) -> int:
        return len(self.leaf_of)

    def __getitem__(self, idx: int) -> ImageReport:
        position, index = int(self.leaf_of[idx]), int(self.index_in_leaf[idx])
        leaf = self.leaves[position]
        info = leaf.get_data_info(index)
        path = info.get("img_path", f"{type(leaf).__name__}[{index}]")
        name = show_path(path)
        try:
            pixels = _rgb_array(info) if "img" in info else decode_image(path, self.max_pixels[position])
        except UserInputError as error:
            return ImageReport(name, info["gt_label"], problem=str(error))
        except DECODE_ERRORS as error:
            return ImageReport(name, info["gt_label"], problem=describe_decode_error(error))
        content = repr(pixels.shape).encode() + pixels.tobytes()
        return ImageReport(name, info["gt_label"], hashlib.blake2b(content, digest_size=16).digest())


def _rgb_array(info: dict[str, Any]) -> NDArray[np.uint8]:
    """The array of an annotation as ``LoadImage`` takes it, in RGB."""
    pixels = three_channels(info["img"], "the array")
    return pixels[..., ::-1] if info.get("channel_order") == "bgr" else pixels


def max_pixels_of(dataset: Any) -> int:
    """Find the largest width times height that the ``LoadImage`` of a dataset takes.

    Args:
        dataset (Any): A dataset that wraps nothing.
    """
    steps = getattr(getattr(dataset, "pipeline", None), "transforms", ())
    return next((step.max_pixels for step in steps if hasattr(step, "max_pixels")), DEFAULT_MAX_PIXELS)
