"""Class sizes: what the counts and names of classes say before anything is trained."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import product

import numpy as np
from numpy.typing import NDArray

from lt_plugins.models.structures.class_distribution import FEW_THRESHOLD, MANY_THRESHOLD

_ROUND = tuple(step * 10**power for power in range(5) for step in (1, 2, 5))
# Words in names of classes that hold whatever is none of the others.
_BACKGROUND = {
    *("background", "bg", "clutter", "distractor", "distractors", "empty", "misc", "miscellaneous", "negative"),
    *("negatives", "noise", "none", "nothing", "other", "others", "rest", "unknown", "unlabeled", "unlabelled"),
    *("unsorted", "various"),
}


def suggest_thresholds(counts: NDArray[np.int64]) -> tuple[int, int]:
    """Suggest limits of many- and few-shot classes.

    Those of the field, 100 and 20, where each group has a twentieth of the classes or more. Otherwise the round numbers
    (1, 2 or 5 times a power of ten) by which the groups come nearest to a third each; of equally good ones the largest.

    Args:
        counts (NDArray): Training images of each class, ``(C,)``.

    Returns:
        tuple[int, int]: Classes with more images than the first are many-shot, with fewer than the second few-shot.
    """
    present = counts[counts > 0]
    field = (MANY_THRESHOLD, FEW_THRESHOLD)
    if len(np.unique(present)) < 3 or min(_group_sizes(present, *field)) >= max(1.0, len(present) / 20):
        return field
    pairs = [(many, few) for many, few in product(_ROUND, _ROUND) if few <= many]
    return min(pairs, key=lambda pair: (float(np.ptp(_group_sizes(present, *pair))), -pair[0], -pair[1]))


def background_classes(names: Sequence[str]) -> list[int]:
    """Find the classes whose name says that they hold whatever is none of the others, like ``BACKGROUND_Google``.

    Args:
        names (Sequence[str]): Names of the classes, in label order.

    Returns:
        list[int]: Their labels.
    """
    return [label for label, name in enumerate(names) if _BACKGROUND & set(_words(name))]


def _words(name: str) -> list[str]:
    return "".join(letter if letter.isalpha() else " " for letter in name.lower()).split()


def _group_sizes(counts: NDArray[np.int64], many: int, few: int) -> tuple[int, int, int]:
    numbers = int((counts > many).sum()), int((counts < few).sum())
    return numbers[0], len(counts) - sum(numbers), numbers[1]
