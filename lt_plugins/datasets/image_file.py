"""Files that should hold an image, looked at before they are decoded."""

from __future__ import annotations

import io
import os
import stat
import struct
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, BinaryIO

from PIL import Image

from lt_plugins.datasets.text_file import show_path
from lt_plugins.errors import UserInputError

# Endings of the formats that both OpenCV (training) and Pillow (tools/check_data.py) read.
IMAGE_SUFFIXES = (
    *(".jpg", ".jpeg", ".jpe", ".jfif", ".png", ".webp", ".bmp", ".dib", ".ppm", ".pgm", ".pbm", ".pnm"),
    *(".tif", ".tiff", ".gif", ".avif", ".jp2"),
)

# 400 MB in RGB: above what a camera takes (108 megapixels), below what a few decoded at once fill a machine with.
DEFAULT_MAX_PIXELS = 2**27
_BYTES_PER_PIXEL = 8  # of the widest format, 16-bit RGBA without compression
_METADATA_BYTES = 2**24
ORIENTATION_TAG = 0x0112  # EXIF tag

_OPEN_FLAGS = os.O_RDONLY | getattr(os, "O_NONBLOCK", 0) | getattr(os, "O_CLOEXEC", 0) | getattr(os, "O_BINARY", 0)
_KINDS = {
    stat.S_IFDIR: "a folder",
    stat.S_IFIFO: "a pipe",
    stat.S_IFCHR: "a device",
    stat.S_IFBLK: "a device",
    stat.S_IFSOCK: "a socket",
}


class ImageFileError(ValueError):
    """Why a file cannot be used as an image: the rest of a sentence that begins with its name."""


def check_max_pixels(max_pixels: Any) -> int:
    """Refuse a limit that is no positive integer.

    Args:
        max_pixels (int): The limit.

    Raises:
        UserInputError: If it is something else.
    """
    if type(max_pixels) is not int or max_pixels < 1:
        raise UserInputError(f"max_pixels={max_pixels!r} must be a positive integer, like {DEFAULT_MAX_PIXELS}")
    return max_pixels


def read_image_file(
    path: str | Path, max_pixels: int = DEFAULT_MAX_PIXELS, backend_args: dict[str, Any] | None = None
) -> bytes:
    """Content of an image file that is safe to decode.

    The file is opened once, and what must be known of it is asked of the open file: a network disk has no more to do
    than for reading it, and a pipe or device is neither waited for nor read.

    Args:
        path (str | Path): The file; an address with ``://`` is read through mmengine's file backends.
        max_pixels (int): Largest width times height. Defaults to :data:`DEFAULT_MAX_PIXELS`.
        backend_args (dict, optional): Of mmengine's file backend; with it that backend reads.

    Raises:
        ImageFileError: If the file cannot be opened, is no regular file, is no image, or has more pixels.
    """
    if backend_args is not None or "://" in str(path):
        from mmengine.fileio import get

        data = get(str(path), backend_args=backend_args)
    else:
        with _open_regular_file(str(path), max_pixels) as file:
            data = file.read()
    size = encoded_image_size(data)
    if size is None:
        raise ImageFileError("is in no known image format")
    _check_size(size, max_pixels)
    return data


def probe_image_file(path: str | Path, max_pixels: int = DEFAULT_MAX_PIXELS) -> tuple[int, int]:
    """Width and height of an image file, from its header; no more of it is read.

    Args:
        path (str | Path): The file.
        max_pixels (int): Largest width times height. Defaults to :data:`DEFAULT_MAX_PIXELS`.

    Returns:
        tuple[int, int]: In pixels, turned upright as EXIF says and as training sees it.

    Raises:
        ImageFileError: As :func:`read_image_file`.
    """
    with _open_regular_file(str(path), max_pixels) as file:
        try:
            with pillow_without_limit(), Image.open(file) as image:
                width, height = image.size
                turned = image.getexif().get(ORIENTATION_TAG, 1) in (5, 6, 7, 8)
        # Pillow's plugins raise nearly everything on damaged headers.
        except Exception as error:
            raise ImageFileError("is in no known image format") from error
    _check_size((width, height), max_pixels)
    return (height, width) if turned else (width, height)


def encoded_image_size(data: bytes) -> tuple[int, int] | None:
    """Width and height of an encoded image, without decoding it.

    Args:
        data (bytes): Content of an image file.

    Returns:
        tuple[int, int] | None: Width and height in pixels, before a rotation by EXIF; None if it is no image.
    """
    # The two most frequent formats by hand: Pillow takes ten times as long, a tenth of the time for decoding 64 x 64.
    size = None
    if data.startswith(b"\x89PNG\r\n\x1a\n") and data[12:16] == b"IHDR" and len(data) >= 24:
        size = struct.unpack(">II", data[16:24])
    elif data.startswith(b"\xff\xd8"):
        size = _jpeg_size(data)
    if size is not None:
        return size
    try:
        with pillow_without_limit(), Image.open(io.BytesIO(data)) as image:
            return image.size
    # Pillow's plugins raise nearly everything on damaged headers.
    except Exception:
        return None


@contextmanager
def pillow_without_limit() -> Iterator[None]:
    """Lift Pillow's own limit on the number of pixels, where :func:`check_image_size` sets another one."""
    before = Image.MAX_IMAGE_PIXELS
    Image.MAX_IMAGE_PIXELS = None
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            yield
    finally:
        Image.MAX_IMAGE_PIXELS = before


def _check_size(size: tuple[int, int], max_pixels: int) -> None:
    if size[0] * size[1] > max_pixels:
        raise ImageFileError(f"has {size[0]} x {size[1]} pixels, more than max_pixels={max_pixels} allows")


@contextmanager
def _open_regular_file(path: str, max_pixels: int) -> Iterator[BinaryIO]:
    if "\0" in path:
        raise ImageFileError("has a NUL byte in its name")
    try:
        descriptor = os.open(path, _OPEN_FLAGS)
    except FileNotFoundError as error:
        raise ImageFileError(_why_missing(path)) from error
    except OSError as error:
        raise ImageFileError(f"cannot be opened: {error.strerror}") from error
    try:
        status = os.fstat(descriptor)
        if not stat.S_ISREG(status.st_mode):
            raise ImageFileError(f"is {_KINDS.get(stat.S_IFMT(status.st_mode), 'something else')}, not a regular file")
        if not status.st_size:
            raise ImageFileError("is empty")
        if status.st_size > max_pixels * _BYTES_PER_PIXEL + _METADATA_BYTES:
            raise ImageFileError(f"has {status.st_size} bytes, more than an image of max_pixels={max_pixels} needs")
        with open(descriptor, "rb", closefd=False) as file:
            try:
                yield file
            except OSError as error:
                raise ImageFileError(f"cannot be read: {error.strerror}") from error
    finally:
        os.close(descriptor)


def _why_missing(path: str) -> str:
    if Path(path).is_symlink():
        return f"is a link to {show_path(Path(path).readlink())}, which does not exist"
    return "is missing"


def _jpeg_size(data: bytes) -> tuple[int, int] | None:
    """From the first frame header (marker SOF0 to SOF15); None if there is none before the first scan."""
    position = 2
    while (position := data.find(b"\xff", position)) >= 0 and position + 9 <= len(data):
        marker = data[position + 1]
        if marker == 0xFF:  # a fill byte
            position += 1
        elif marker == 0 or marker == 0x01 or 0xD0 <= marker <= 0xD8:  # markers without a segment
            position += 2
        elif 0xC0 <= marker <= 0xCF and marker not in (0xC4, 0xC8, 0xCC):
            height, width = struct.unpack(">HH", data[position + 5 : position + 9])
            return (width, height) if width and height else None
        elif marker in (0xD9, 0xDA):
            return None
        else:
            position += 2 + int.from_bytes(data[position + 2 : position + 4], "big")
    return None
