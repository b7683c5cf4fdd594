"""Copies among image files: exact ones by the hash of their bytes, near ones by a perceptual hash."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray
from PIL import Image
from scipy.sparse import coo_array
from scipy.sparse.csgraph import connected_components

from lt_plugins.datasets.integrity import DECODE_ERRORS, decode_image, describe_decode_error
from lt_plugins.errors import UserInputError

DEFAULT_MAX_BITS = 4
HASH_BYTES = 16
THUMBNAIL_SIDE = 8
# Largest mean difference of the thumbnails, of 255: of bland pictures, such as two of the sea, the hash tells little.
_MAX_COLOUR_DIFFERENCE = 8.0
_CHUNK = 1024
_BITS_SET = np.array([value.bit_count() for value in range(256)], dtype=np.uint8)


class Fingerprint(NamedTuple):
    """What tells an image file from others.

    Args:
        sha256 (str): Hash of the file, 64 hexadecimal digits; empty if it cannot be read.
        perceptual (NDArray): Difference hash, ``(16,)`` uint8.
        thumbnail (NDArray): RGB ``(8, 8, 3)`` uint8.
        problem (str): Why the image cannot be decoded; empty if it can be.
    """

    sha256: str
    perceptual: NDArray[np.uint8]
    thumbnail: NDArray[np.uint8]
    problem: str = ""


def fingerprint_file(path: str | Path) -> Fingerprint:
    """Read and decode an image file, and hash it.

    Args:
        path (str | Path): The file.
    """
    try:
        pixels = decode_image(path)
        digest = hashlib.sha256(Path(path).read_bytes()).hexdigest()
    except DECODE_ERRORS as error:
        return no_fingerprint(describe_decode_error(error))
    return fingerprint_pixels(pixels, digest)


def fingerprint_pixels(pixels: NDArray[np.uint8], sha256: str) -> Fingerprint:
    """Hash the pixels of an image.

    Args:
        pixels (NDArray): RGB ``(H, W, 3)`` uint8.
        sha256 (str): Hash of its file.
    """
    thumbnail = Image.fromarray(pixels).resize((THUMBNAIL_SIDE, THUMBNAIL_SIDE), Image.Resampling.BOX)
    return Fingerprint(sha256, difference_hash(pixels), np.asarray(thumbnail))


def no_fingerprint(problem: str) -> Fingerprint:
    """The fingerprint of a file that cannot be decoded.

    Args:
        problem (str): Why.
    """
    nothing = np.zeros(HASH_BYTES, np.uint8), np.zeros((THUMBNAIL_SIDE, THUMBNAIL_SIDE, 3), np.uint8)
    return Fingerprint("", *nothing, problem=problem)


def difference_hash(pixels: NDArray[np.uint8]) -> NDArray[np.uint8]:
    """Difference hash: says of each place of an 8 x 8 grid whether its right and its lower neighbour are brighter.

    It stays nearly the same when an image is scaled or compressed. Source: Krawetz, "Kind of Like That" (2013), in both
    directions.

    Args:
        pixels (NDArray): RGB ``(H, W, 3)`` uint8.

    Returns:
        NDArray: 128 bits, ``(16,)`` uint8.
    """
    grey = Image.fromarray(pixels).convert("L")
    wide, high = (
        np.asarray(grey.resize(size, Image.Resampling.BOX), dtype=np.int16)
        for size in ((THUMBNAIL_SIDE + 1, THUMBNAIL_SIDE), (THUMBNAIL_SIDE, THUMBNAIL_SIDE + 1))
    )
    bits = np.concatenate([(wide[:, 1:] > wide[:, :-1]).ravel(), (high[1:] > high[:-1]).ravel()])
    return np.packbits(bits)


def find_near_duplicates(
    fingerprints: Sequence[Fingerprint], max_bits: int = DEFAULT_MAX_BITS, max_sharing: int | None = None
) -> NDArray[np.int64]:
    """Find all pairs of images whose perceptual hashes differ in few bits and whose colours are about the same.

    Hashes with at most ``b`` different bits are equal in at least one of ``b + 1`` pieces, so only images that share a
    piece are compared, and no pair is missed.

    Args:
        fingerprints (Sequence[Fingerprint]): Of ``N`` readable images.
        max_bits (int): Different bits of the 128, from 0 to 15. Defaults to 4.
        max_sharing (int | None): A piece that more images share, such as one of an even background, tells little and is
            passed over, which bounds the time. Defaults to None: no pair is missed.

    Returns:
        NDArray: Pairs of positions, the smaller one first, ``(P, 2)`` int64, sorted.

    Raises:
        UserInputError: If ``max_bits`` is out of range.
    """
    if type(max_bits) is not int or not 0 <= max_bits < HASH_BYTES:
        raise UserInputError(f"max_bits={max_bits!r} of near duplicates must be an integer from 0 to {HASH_BYTES - 1}.")
    if not fingerprints:
        return np.empty((0, 2), np.int64)
    hashes = np.stack([found.perceptual for found in fingerprints])
    thumbnails = np.stack([found.thumbnail for found in fingerprints]).reshape(len(hashes), -1)
    pairs = [np.empty((0, 2), np.int64)]
    for piece in np.array_split(np.arange(HASH_BYTES), max_bits + 1):
        for members in _equal_rows(hashes[:, piece]):
            if max_sharing is not None and len(members) > max_sharing:
                continue
            for start in range(0, len(members), _CHUNK):
                some = members[start : start + _CHUNK]
                different = np.zeros((len(some), len(members)), np.int16)
                for byte in range(HASH_BYTES):
                    different += _BITS_SET[hashes[some, None, byte] ^ hashes[None, members, byte]]
                left, right = np.nonzero(different <= max_bits)
                pairs.append(np.stack([some[left], members[right]], axis=1))
    found = np.unique(np.concatenate(pairs), axis=0)
    found = found[found[:, 0] < found[:, 1]]
    colours = [
        np.abs(thumbnails[some[:, 0]].astype(np.int16) - thumbnails[some[:, 1]]).mean(axis=1)
        for some in np.array_split(found, len(found) // _CHUNK + 1)
    ]
    return found[np.concatenate(colours) <= _MAX_COLOUR_DIFFERENCE]


def find_exact_duplicates(fingerprints: Sequence[Fingerprint]) -> NDArray[np.int64]:
    """Find the images whose files are equal.

    Args:
        fingerprints (Sequence[Fingerprint]): Of ``N`` readable images.

    Returns:
        NDArray: Pairs of the first image and each other one of its copies, ``(P, 2)`` int64.
    """
    first: dict[str, int] = {}
    pairs = [(first.setdefault(found.sha256, index), index) for index, found in enumerate(fingerprints)]
    return np.array([pair for pair in pairs if pair[0] != pair[1]], dtype=np.int64).reshape(-1, 2)


def connect(num_images: int, pairs: NDArray[np.int64]) -> NDArray[np.int64]:
    """Group what pairs connect, directly or through others.

    Args:
        num_images (int): Number of images ``N``.
        pairs (NDArray): Pairs of positions, ``(P, 2)``.

    Returns:
        NDArray: The first member of the group of each image, ``(N,)`` int64; an image without a pair is its own.
    """
    links = coo_array((np.ones(len(pairs), np.int8), (pairs[:, 0], pairs[:, 1])), shape=(num_images, num_images))
    _, group = connected_components(links, directed=False)
    _, first = np.unique(group, return_index=True)
    return first[group].astype(np.int64)


def _equal_rows(rows: NDArray[np.uint8]) -> Iterator[NDArray[np.int64]]:
    """Positions of the rows of each value that occurs more than once."""
    _, value, count = np.unique(rows, axis=0, return_inverse=True, return_counts=True)
    value = value.reshape(-1)  # numpy 2.0 gives it another shape
    order = np.argsort(value, kind="stable")
    for members in np.split(order, np.cumsum(count)[:-1]):
        if len(members) > 1:
            yield members
