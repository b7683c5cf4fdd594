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


def split_validation(
    labels: np.ndarray, keys: Sequence[str], val_fraction: float, seed: int, groups: np.ndarray | None = None
) -> np.ndarray:
    """Choose the validation images of each class, by the hash of the seed and their names.

    So the split follows from the seed and the names alone, whatever order, place or machine they are read in; an image
    that is added to a class changes the part of at most one other.

    Images of a group stay together. Groups come in the order of the hash of their first name, and each is chosen whole
    if no class gets more than its share by it; a class that gets none so gives its smallest group that leaves another
    one in training. A class that is a single group stays in training.

    Args:
        labels (np.ndarray): Labels, ``(N,)`` int64.
        keys (Sequence[str]): Names of the ``N`` images, all different.
        val_fraction (float): Part of each class for validation, see :func:`split_sizes`.
        seed (int): Which images are chosen.
        groups (np.ndarray | None): Number of the group of each image, ``(N,)`` integers. Defaults to None: no groups.

    Returns:
        np.ndarray: Whether each image is for validation, ``(N,)`` bool.

    Raises:
        UserInputError: If the fraction is out of range.
    """
    digests = [blake2b(f"{seed}:{key}".encode("utf-8", "surrogateescape"), digest_size=8).digest() for key in keys]
    ranks = np.frombuffer(b"".join(digests), dtype=">u8")
    counts = np.bincount(labels)
    if groups is not None and len(np.unique(groups)) < len(groups):
        return _split_groups(labels, keys, ranks, groups, split_sizes(counts, val_fraction))
    chosen = np.zeros(len(labels), dtype=bool)
    order = np.lexsort((ranks, labels))
    starts = np.cumsum(counts) - counts
    for start, size in zip(starts, split_sizes(counts, val_fraction), strict=True):
        chosen[order[start : start + size]] = True
    return chosen


def _split_groups(
    labels: np.ndarray, keys: Sequence[str], ranks: np.ndarray, groups: np.ndarray, wanted: np.ndarray
) -> np.ndarray:
    """Choose whole groups."""
    order = np.argsort(groups, kind="stable")
    members = np.split(order, np.flatnonzero(np.diff(groups[order])) + 1)
    leaders = [min(some.tolist(), key=keys.__getitem__) for some in members]
    members = [members[k] for k in sorted(range(len(members)), key=lambda k: (ranks[leaders[k]], keys[leaders[k]]))]
    sizes = [dict(zip(*np.unique(labels[some], return_counts=True), strict=True)) for some in members]
    chosen = np.zeros(len(labels), dtype=bool)
    left, staying = wanted.copy(), np.bincount(labels)

    def choose(number: int) -> None:
        chosen[members[number]] = True
        for label, size in sizes[number].items():
            left[label] -= size
            staying[label] -= size

    for number, parts in enumerate(sizes):
        if all(size <= left[label] for label, size in parts.items()):
            choose(number)
    for label in np.flatnonzero((wanted > 0) & (left == wanted)).tolist():
        fitting = [
            number
            for number, parts in enumerate(sizes)
            if label in parts and not chosen[members[number][0]] and all(n < staying[k] for k, n in parts.items())
        ]
        if fitting and left[label] == wanted[label]:
            choose(min(fitting, key=lambda number: (len(members[number]), number)))
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
    measured = np.bincount(labels[chosen], minlength=len(names))
    whole = [names[label] for label in np.flatnonzero((counts > 1) & (measured == 0)).tolist()]
    text = (
        f"no validation part is given, so {100 * val_fraction:g} % of each class is split off (seed {seed}): "
        f"{int((~chosen).sum()):,} training and {int(chosen.sum()):,} validation images"
    )
    if single:
        verb = "1 class has" if len(single) == 1 else f"{len(single)} classes have"
        text += f"; {verb} a single image, which stays in training, and is not measurable: {some_names(single)}"
    if whole:
        verb = "1 class is" if len(whole) == 1 else f"{len(whole)} classes are"
        text += (
            f"; {verb} copies of one image or one group, stay in training, and are not measurable: {some_names(whole)}"
        )
    return text


def some_names(names: Sequence[str]) -> str:
    """The first of many names, for a line.

    Args:
        names (Sequence[str]): The names.
    """
    return ", ".join(names[:MAX_SHOWN]) + (", ..." if len(names) > MAX_SHOWN else "")
