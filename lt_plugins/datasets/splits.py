"""Training and validation parts of one set of images: a seeded, stratified split, and how to say what came out."""

from __future__ import annotations

from collections.abc import Sequence
from hashlib import blake2b

import numpy as np

from lt_plugins.errors import UserInputError

DEFAULT_FRACTION = 0.2
MAX_SHOWN = 5  # classes in a line


def split_sizes(counts: np.ndarray, val_fraction: float) -> np.ndarray:
    """How many images of each class go to the validation part.

    The fraction, rounded, and at least one image of each class that has two: at least one stays in training.

    Args:
        counts (np.ndarray): Images of each class, ``(C,)`` integers.
        val_fraction (float): Part of them for validation, above 0 and below 1.

    Returns:
        np.ndarray: Validation images of each class, ``(C,)`` int64.

    Raises:
        UserInputError: If the fraction is out of range.
    """
    if isinstance(val_fraction, bool) or not isinstance(val_fraction, (int, float)) or not 0 < val_fraction < 1:
        raise UserInputError(f"val_fraction={val_fraction!r} must be a number above 0 and below 1.")
    wanted = np.floor(counts * val_fraction + 0.5).astype(np.int64)
    return np.where(counts < 2, 0, np.clip(wanted, 1, np.maximum(counts - 1, 1)))


def split_validation(labels: np.ndarray, keys: Sequence[str], val_fraction: float, seed: int) -> np.ndarray:
    """Choose the validation images of each class, by the hash of the seed and their names.

    So the split follows from the seed and the names alone, whatever order, place or machine they are read in; an image
    that is added to a class changes the part of at most one other.

    Args:
        labels (np.ndarray): Labels, ``(N,)`` int64.
        keys (Sequence[str]): Names of the ``N`` images, all different.
        val_fraction (float): Part of each class for validation, see :func:`split_sizes`.
        seed (int): Which images are chosen.

    Returns:
        np.ndarray: Whether each image is for validation, ``(N,)`` bool.

    Raises:
        UserInputError: If the fraction is out of range.
    """
    digests = [blake2b(f"{seed}:{key}".encode("utf-8", "surrogateescape"), digest_size=8).digest() for key in keys]
    ranks = np.frombuffer(b"".join(digests), dtype=">u8")
    counts = np.bincount(labels)
    chosen = np.zeros(len(labels), dtype=bool)
    order = np.lexsort((ranks, labels))
    starts = np.cumsum(counts) - counts
    for start, size in zip(starts, split_sizes(counts, val_fraction), strict=True):
        chosen[order[start : start + size]] = True
    return chosen


def hash_names(names: Sequence[str]) -> str:
    """Hash of a set of images, by their names, in any order.

    Args:
        names (Sequence[str]): The names.

    Returns:
        str: 32 hexadecimal digits.
    """
    text = "\0".join(sorted(names))
    return blake2b(text.encode("utf-8", "surrogateescape"), digest_size=16).hexdigest()


def describe_split(labels: np.ndarray, chosen: np.ndarray, names: Sequence[str], val_fraction: float, seed: int) -> str:
    """One line on a split: its sizes, and the classes that no validation image measures.

    Args:
        labels (np.ndarray): Labels, ``(N,)`` int64.
        chosen (np.ndarray): Which images are for validation, ``(N,)`` bool.
        names (Sequence[str]): Names of the classes, in label order.
        val_fraction (float): Part of each class for validation.
        seed (int): Which images were chosen.
    """
    counts = np.bincount(labels, minlength=len(names))
    single = [names[label] for label in np.flatnonzero(counts == 1).tolist()]
    text = (
        f"no validation part is given, so {100 * val_fraction:g} % of each class is split off (seed {seed}): "
        f"{int((~chosen).sum()):,} training and {int(chosen.sum()):,} validation images"
    )
    if single:
        shown = ", ".join(single[:MAX_SHOWN]) + (", ..." if len(single) > MAX_SHOWN else "")
        verb = "1 class has" if len(single) == 1 else f"{len(single)} classes have"
        text += f"; {verb} a single image, which stays in training, and is not measurable: {shown}"
    return text
