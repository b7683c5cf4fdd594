"""Pool of images made fit for drawing: what cannot be read or has two labels is found, copies are put together."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Collection, Sequence
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from lt_plugins.analysis.glt.image_pool import ImagePool
from lt_plugins.datasets.attribute_table import AttributeTable
from lt_plugins.datasets.duplicates import Fingerprint, connect, find_exact_duplicates, find_near_duplicates
from lt_plugins.datasets.glt.glt_file import GLTFile
from lt_plugins.datasets.text_file import show_path

UNREADABLE, CONFLICTS, SMALL = "unreadable", "conflicts", "small"
LEAVE_OUT = (UNREADABLE, CONFLICTS, SMALL)

Faults = defaultdict[str, list[str]]
"""Lines about what is wrong, by kind; nothing is written while there is one."""


class PreparedPool(NamedTuple):
    """Pool of images that can all be drawn.

    Args:
        pool (ImagePool): The ``N`` images.
        hashes (tuple[str, ...]): SHA-256 of the file of each.
        groups (NDArray): First member of what must stay together, copies and groups of the user, of each image
            ``(N,)`` int64.
        info (dict): What was found and left out, for the JSON.
    """

    pool: ImagePool
    hashes: tuple[str, ...]
    groups: NDArray[np.int64]
    info: dict[str, Any]


def prepare_pool(
    pool: ImagePool, found: Sequence[Fingerprint], leave_out: Collection[str], max_bits: int | None, faults: Faults
) -> PreparedPool:
    """Leave out or complain about images that cannot be used, and group copies.

    Args:
        pool (ImagePool): The images.
        found (Sequence[Fingerprint]): Of each of them.
        leave_out (Collection[str]): Kinds of :data:`LEAVE_OUT` that are left out instead of being faults.
        max_bits (int | None): Different bits of near copies; None if only equal files are copies.
        faults (Faults): Takes a line for each image that cannot be used.
    """
    readable = np.array([index for index, image in enumerate(found) if not image.problem], dtype=np.int64)
    unreadable = [f"{show_path(pool.paths[i])}: {image.problem}" for i, image in enumerate(found) if image.problem]
    if UNREADABLE not in leave_out:
        faults[UNREADABLE] += unreadable
    pool, found = pool.select(readable), [found[index] for index in readable.tolist()]

    exact = find_exact_duplicates(found)
    copies = connect(len(pool), exact)
    labels_of = defaultdict(set)
    for first, label in zip(copies.tolist(), pool.labels.tolist(), strict=True):
        labels_of[first].add(label)
    conflicting = np.array([len(labels_of[first]) > 1 for first in copies.tolist()], dtype=bool)
    conflicts = [
        f"{_named(pool, first)} and {_named(pool, second)} are the same image"
        for first, second in exact.tolist()
        if pool.labels[first] != pool.labels[second]
    ]
    if CONFLICTS in leave_out:
        kept = np.flatnonzero(~conflicting)
        pool, found = pool.select(kept), [found[index] for index in kept.tolist()]
        exact = find_exact_duplicates(found)
    else:
        faults[CONFLICTS] += conflicts

    near = np.empty((0, 2), np.int64) if max_bits is None else find_near_duplicates(found, max_bits)
    groups = connect(len(pool), np.concatenate([exact, near, _given_groups(pool.groups)]))
    copy_groups = connect(len(pool), np.concatenate([exact, near]))
    info = {
        "unreadable": unreadable,
        "copies_with_other_labels": conflicts,
        "copies": [[pool.paths[index] for index in members] for members in _larger_groups(copy_groups)],
        "near_copies_max_bits": max_bits,
        "given_groups": len({*pool.groups} - {""}),
    }
    return PreparedPool(pool, tuple(image.sha256 for image in found), groups, info)


def table_rows(table: AttributeTable, pool: ImagePool, faults: Faults) -> NDArray[np.float64]:
    """Attributes of the images of a pool.

    Args:
        table (AttributeTable): The table, whose paths are relative to the folder of the images.
        pool (ImagePool): The ``N`` images.
        faults (Faults): Takes a line for each image that the table misses.

    Returns:
        NDArray: Shape ``(N, A)``; zeros for an image that it misses.
    """
    faults["table"] += [
        f"{show_path(path)} is not in the attribute table" for path in pool.paths if path not in table.rows
    ]
    nothing = np.zeros(len(table.names))
    return np.stack([table.rows.get(path, nothing) for path in pool.paths])


def find_torn_groups(benchmark: GLTFile, prepared: PreparedPool) -> list[str]:
    """Find copies of an image on both sides of training, or validation, and test.

    Args:
        benchmark (GLTFile): The splits.
        prepared (PreparedPool): The images that they were drawn from.

    Returns:
        list[str]: A line for each group and pair of splits.
    """
    group = dict(zip(prepared.pool.paths, prepared.groups.tolist(), strict=True))
    tests = {name: images for name, images in benchmark.splits.items() if name.startswith("test")}
    lines = []
    for split, images in benchmark.splits.items():
        seen = {group[image.path]: image.path for image in reversed(images)} if split not in tests else {}
        for test, tested in tests.items():
            torn = {group[image.path]: image.path for image in reversed(tested) if group[image.path] in seen}
            lines += [
                f"{show_path(seen[one])} in {split} and {show_path(path)} in {test} belong together"
                for one, path in torn.items()
            ]
    return lines


def list_faults(faults: Faults, max_shown: int) -> list[str]:
    """List all faults, those of one kind together.

    Args:
        faults (Faults): The faults.
        max_shown (int): How many of a kind are listed.
    """
    lines = []
    for found in faults.values():
        lines += found[:max_shown]
        if len(found) > max_shown:
            lines.append(f"... and {len(found) - max_shown:,} more of this kind (--max-shown)")
    return lines


def _named(pool: ImagePool, index: int) -> str:
    return f"{show_path(pool.paths[index])} (class {pool.classes[pool.labels[index]]})"


def _given_groups(groups: Sequence[str]) -> NDArray[np.int64]:
    first: dict[str, int] = {}
    pairs = [(first.setdefault(group, index), index) for index, group in enumerate(groups) if group]
    return np.array(pairs, dtype=np.int64).reshape(-1, 2)


def _larger_groups(groups: NDArray[np.int64]) -> list[list[int]]:
    members = defaultdict(list)
    for index, first in enumerate(groups.tolist()):
        members[first].append(index)
    return [found for found in members.values() if len(found) > 1]
