"""Image scan: reads every file of a set once, says which cannot be used, and what tells each from others."""

from __future__ import annotations

import hashlib
import io
import os
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import NamedTuple

import numpy as np
from PIL import Image

from lt_plugins.datasets.duplicates import Fingerprint, fingerprint_pixels, no_fingerprint
from lt_plugins.datasets.image_file import DEFAULT_MAX_PIXELS, ORIENTATION_TAG, pillow_without_limit, read_image_file
from lt_plugins.datasets.integrity import DECODE_ERRORS, decode_bytes, describe_decode_error
from lt_plugins.datasets.scan_cache import ScanCache
from lt_plugins.terminal import progress_bar

# Short side to which large JPEG files are decoded: with fewer pixels copies of other sizes differ in a few bits.
_MIN_SIDE = 256
_MAX_THREADS = 16
_CHUNK = 512
_UPRIGHT = {
    2: Image.Transpose.FLIP_LEFT_RIGHT,
    3: Image.Transpose.ROTATE_180,
    4: Image.Transpose.FLIP_TOP_BOTTOM,
    5: Image.Transpose.TRANSPOSE,
    6: Image.Transpose.ROTATE_270,
    7: Image.Transpose.TRANSVERSE,
    8: Image.Transpose.ROTATE_90,
}


class ScannedImage(NamedTuple):
    """What a scan found out about an image file.

    Args:
        fingerprint (Fingerprint): What tells it from others, and why it cannot be used.
        width (int): In pixels, upright; 0 if it cannot be used.
        height (int): The same.
        mode (str): Pillow's name of its channels, such as ``"RGB"``, ``"CMYK"`` and ``"I;16"``.
        format (str): Pillow's name of its format, such as ``"JPEG"``.
        is_turned (bool): Whether EXIF says that it is to be turned.
    """

    fingerprint: Fingerprint
    width: int = 0
    height: int = 0
    mode: str = ""
    format: str = ""
    is_turned: bool = False


def scan_image(path: str, max_pixels: int = DEFAULT_MAX_PIXELS) -> ScannedImage:
    """Read and decode an image file to its last byte.

    Args:
        path (str): The file.
        max_pixels (int): Largest width times height. Defaults to :data:`DEFAULT_MAX_PIXELS`.
    """
    try:
        data = read_image_file(path, max_pixels)
        pixels = decode_bytes(data, _MIN_SIDE)
        with pillow_without_limit(), Image.open(io.BytesIO(data)) as image:
            width, height = image.size
            mode, kind, orientation = image.mode, image.format or "", _orientation(image)
    except DECODE_ERRORS as error:
        return ScannedImage(no_fingerprint(describe_decode_error(error)))
    if orientation in _UPRIGHT:
        pixels = np.asarray(Image.fromarray(pixels).transpose(_UPRIGHT[orientation]))
    if orientation >= 5:
        width, height = height, width
    fingerprint = fingerprint_pixels(pixels, hashlib.sha256(data).hexdigest())
    return ScannedImage(fingerprint, width, height, mode, kind, orientation != 1)


def scan_images(paths: Sequence[str], max_pixels: int = DEFAULT_MAX_PIXELS) -> list[ScannedImage]:
    """Read every file once, in threads and with a progress bar; known ones are taken from a cache.

    The cache is a file for the folder that all images are in, in ``$LT_PLUGINS_CACHE``, ``$XDG_CACHE_HOME/lt_plugins``
    or ``~/.cache/lt_plugins``. An image is known by its path, size and time of modification. Of several
    processes that scan the same folder one reads and the others wait.

    Args:
        paths (Sequence[str]): The files, ``N`` of them.
        max_pixels (int): Largest width times height. Defaults to :data:`DEFAULT_MAX_PIXELS`.

    Returns:
        list[ScannedImage]: What was found, ``N`` of them.
    """
    with ScanCache(paths, max_pixels) as cache:
        found = {index: ScannedImage(*row) for index, row in cache.known()}
        missing = [index for index in range(len(paths)) if index not in found]
        for index, image in zip(missing, _scan([paths[i] for i in missing], max_pixels), strict=True):
            found[index] = image
        cache.save([found[index] for index in range(len(paths))], changed=bool(missing))
    return [found[index] for index in range(len(paths))]


def _scan(paths: Sequence[str], max_pixels: int) -> Iterator[ScannedImage]:
    if not paths:
        return
    # Decoders work outside of Python's lock; threads also serve where processes cannot be forked any more.
    with progress_bar() as progress, ThreadPoolExecutor(min(_MAX_THREADS, os.cpu_count() or 1)) as pool:
        task = progress.add_task("reading images", total=len(paths))
        for start in range(0, len(paths), _CHUNK):
            for image in pool.map(lambda path: scan_image(path, max_pixels), paths[start : start + _CHUNK]):
                progress.advance(task)
                yield image


def _orientation(image: Image.Image) -> int:
    """What EXIF says, from 1 (upright) to 8."""
    try:
        value = image.getexif().get(ORIENTATION_TAG, 1)
    except DECODE_ERRORS:  # damaged EXIF, which the reader of training passes over
        return 1
    return value if value in _UPRIGHT else 1
