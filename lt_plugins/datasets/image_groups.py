"""Image groups: what a split must not tear apart, copies of an image and groups that the user gives."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from lt_plugins.datasets.duplicates import Fingerprint, connect, find_exact_duplicates, find_near_duplicates

# Images that are compared each with each: 100,000 X-rays on the same black take seconds then, not a quarter of an hour.
_MAX_SHARING = 2048


class CopyPairs(NamedTuple):
    """Pairs of images that are copies of each other.

    Args:
        exact (NDArray): Of equal files: the first one and each other one, positions ``(P, 2)`` int64.
        near (NDArray): Of files that differ but look alike, positions ``(Q, 2)`` int64.
    """

    exact: NDArray[np.int64]
    near: NDArray[np.int64]


def find_copies(fingerprints: Sequence[Fingerprint]) -> CopyPairs:
    """Find the copies among images; those that cannot be read have none.

    Args:
        fingerprints (Sequence[Fingerprint]): Of all images.
    """
    readable = np.array([index for index, found in enumerate(fingerprints) if not found.problem], dtype=np.int64)
    found = [fingerprints[index] for index in readable.tolist()]
    near = find_near_duplicates(found, max_sharing=_MAX_SHARING)
    is_equal = np.array([found[a].sha256 == found[b].sha256 for a, b in near.tolist()], dtype=bool)
    return CopyPairs(readable[find_exact_duplicates(found)], readable[near[~is_equal]])


def group_images(
    labels: NDArray[np.int64], copies: CopyPairs | None, given: Sequence[str]
) -> tuple[NDArray[np.int64], list[int]]:
    """Group images by copies and by the groups of the user.

    Images of a class that look so much alike that all of them would be one group (X-rays, parts in the same frame) are
    grouped by equal files alone: a perceptual hash cannot tell such images from copies.

    Args:
        labels (NDArray): Labels, ``(N,)``.
        copies (CopyPairs | None): Copies; None if they need not stay together.
        given (Sequence[str]): Group of each image, such as a patient; empty strings where there is none.

    Returns:
        tuple: The first image of the group of each, ``(N,)`` int64, and the labels of classes that look too much alike.
    """
    first: dict[str, int] = {}
    members = [(first.setdefault(group, index), index) for index, group in enumerate(given) if group]
    certain = [np.array(members, dtype=np.int64).reshape(-1, 2)]
    if copies is None:
        return connect(len(labels), certain[0]), []
    certain.append(copies.exact)
    near = copies.near
    apart = _is_one_group(labels, connect(len(labels), np.concatenate(certain)))
    alike = _is_one_group(labels, connect(len(labels), np.concatenate([*certain, near]))) & ~apart
    near = near[~alike[labels[near]].any(axis=1)]
    return connect(len(labels), np.concatenate([*certain, near])), np.flatnonzero(alike).tolist()


def _is_one_group(labels: NDArray[np.int64], groups: NDArray[np.int64]) -> NDArray[np.bool_]:
    """Whether all images of each class belong to one group."""
    pairs = np.unique(np.stack([labels, groups], axis=1), axis=0)
    return np.bincount(pairs[:, 0], minlength=int(labels.max(initial=-1)) + 1) == 1
