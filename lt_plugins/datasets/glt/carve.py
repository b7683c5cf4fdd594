"""Splits of a generalized long-tailed benchmark, carved out of any labelled set of images with attributes."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np

from lt_plugins.datasets.glt.draw import GroupDraw
from lt_plugins.datasets.profiles import class_profile
from lt_plugins.errors import UserInputError

RESERVE = 4
"""A cell gives Test-GBL at most one of this many of its images."""
_LARGEST = np.iinfo(np.int64).max
MANY_PERCENT, MEDIUM_PERCENT = 40, 85
"""Shares of the classes, by rank, that are many, and many or medium: 400 and 850 of the 1000 of ImageNet-GLT."""


@dataclass(frozen=True)
class Plan:
    """Sizes of the splits of a generalized long-tailed benchmark.

    Args:
        test_per_cell (int): Test-GBL: images of each class with each attribute, ``t``. Of a class with fewer attributes
            than others, as many more of each that all classes have the same number. Defaults to 20.
        min_per_cell (int): Images of each of its attributes that a class needs to be in Test-GBL, beside 4 times what
            Test-GBL takes. Defaults to 0.
        test_per_class (int | None): Test-CBL: images of each class. Defaults to as many as Test-GBL has.
        val_per_class (int | None): Validation: images of each class of val-CBL; val-GLT has as many in all, long-tailed
            as Train-GLT is. Defaults to half of Test-GBL's, as of ImageNet-GLT.
        profile (str | Sequence[int]): Class sizes of Train-GLT, from the largest class to the smallest: ``'natural'``,
            all images that are left; ``'exp:MU'``, falling exponentially to ``MU`` of the largest class; or the sizes
            themselves. A class that has fewer gives what it has. Defaults to ``'natural'``.
        max_count (int | None): Of an exponential profile: images of the largest class. Defaults to what it has left.
        intra (Sequence[int] | None): Proportions of the attributes of each class, from the most frequent to the rarest,
            in Test-CBL, validation and training. None for the natural ones. Defaults to ``(7, 2, 1)``.
        train_cbl_per_class (int | None): Train-CBL: images of each class. Defaults to the mean of Train-GLT, or what
            the class with the fewest has left.
        seed (int): Seed of all draws. Defaults to 0.
    """

    test_per_cell: int = 20
    min_per_cell: int = 0
    test_per_class: int | None = None
    val_per_class: int | None = None
    profile: str | Sequence[int] = "natural"
    max_count: int | None = None
    intra: Sequence[int] | None = (7, 2, 1)
    train_cbl_per_class: int | None = None
    seed: int = 0


class Carving(NamedTuple):
    """Splits that were carved.

    Args:
        splits (dict[str, np.ndarray]): Indices of the images of each split in ascending order, int64, by its name.
        class_group (tuple[int, ...]): Group of each class: 0 many, 1 medium, 2 few.
        outside_gbl (tuple[int, ...]): Classes that are too small for Test-GBL, or have fewer than two attributes.
        shortfalls (tuple[str, ...]): What a split lacks of the plan because images stay together: a line for each.
    """

    splits: dict[str, np.ndarray]
    class_group: tuple[int, ...]
    outside_gbl: tuple[int, ...]
    shortfalls: tuple[str, ...]


def carve(
    keys: Sequence[str],
    labels: np.ndarray,
    attributes: np.ndarray,
    classes: Sequence[str],
    plan: Plan | None = None,
    groups: Sequence[int] | np.ndarray | None = None,
) -> Carving:
    """Carve the splits of a GLT benchmark out of a labelled set of images.

    Each split is a seeded draw without replacement from what is left, in this order: Test-GBL, which has the same
    number of images of each attribute of a class; Test-CBL, the same number of each class; val-GLT and val-CBL. From
    the rest Train-GLT and Train-CBL, which may overlap, since no run uses both. A class whose attributes are too
    small for Test-GBL stays in all others.

    What is drawn follows from the names of the images and the seed alone, not from their order.

    Args:
        keys (Sequence[str]): Names of the ``N`` images, all different: their relative paths.
        labels (np.ndarray): Classes, ``(N,)`` integers from 0 to ``C - 1``.
        attributes (np.ndarray): Attributes, ``(N,)`` integers from 0; -1 for none.
        classes (Sequence[str]): Names of the ``C`` classes.
        plan (Plan | None): Sizes of the splits. Defaults to ``Plan()``.
        groups (Sequence[int] | np.ndarray | None): Images that stay together in every draw, like copies, ``(N,)``.
            Defaults to none.

    Returns:
        Carving: The splits.

    Raises:
        UserInputError: If a setting is out of range or a class is too small for its splits; :func:`find_small_classes`
            lists all of these.
    """
    plan = plan or Plan()
    cells = _Cells(labels, attributes, classes, plan)
    if small := find_small_classes(labels, attributes, classes, plan):
        more = f" (and {len(small) - 1} classes more)" if len(small) > 1 else ""
        raise UserInputError(small[0] + more)
    draws = GroupDraw(keys, groups, plan.seed)
    splits: dict[str, np.ndarray] = {}
    shortfalls: list[str] = []

    def take(split: str, wanted: np.ndarray, *, keep: bool = False) -> None:
        """Draw a split of so many images of each cell, ``(C, A)``, or of each class, ``(C,)``."""
        bins = cells.of_image if wanted.ndim == 2 else cells.labels
        splits[split] = draws.draw(split, bins, wanted.ravel(), keep=keep)
        lacks = wanted.ravel() - np.bincount(bins[splits[split]], minlength=wanted.size)
        shortfalls.extend(
            f"{split}: {cells.describe(place, wanted.ndim)} lacks {lacks[place]} of {wanted.ravel()[place]} images, "
            "because images that stay together do not fit"
            for place in np.flatnonzero(lacks).tolist()
        )

    def left() -> np.ndarray:
        return cells.count(draws.left)

    take("test-gbl", cells.balanced_tests)
    take("test-cbl", cells.spread(np.full(len(classes), cells.test_per_class), left(), fill=True))
    # Ranks are those before validation takes more of larger classes.
    ranking = np.argsort(-left().sum(axis=1), kind="stable")
    tail = _validation(_profile(plan, left().sum(axis=1), ranking), cells.val_per_class, left().sum(axis=1))
    take("val-glt", cells.spread(tail, left(), fill=True))
    take("val-cbl", cells.spread(np.full(len(classes), cells.val_per_class), left(), fill=True))
    available = left()
    take("train-glt", cells.spread(_profile(plan, available.sum(axis=1), ranking), available), keep=True)
    mean = len(splits["train-glt"]) // len(classes)
    each = min(plan.train_cbl_per_class or mean, int(available.sum(axis=1).min()))
    take("train-cbl", cells.spread(np.full(len(classes), each), available, fill=True), keep=True)
    return Carving(splits, class_groups(ranking), cells.outside_gbl, tuple(shortfalls))


def find_small_classes(
    labels: np.ndarray, attributes: np.ndarray, classes: Sequence[str], plan: Plan
) -> tuple[str, ...]:
    """Find the classes that are too small for their part of the splits.

    Args:
        labels (np.ndarray): Classes, ``(N,)`` integers.
        attributes (np.ndarray): Attributes, ``(N,)`` integers; -1 for none.
        classes (Sequence[str]): Names of the ``C`` classes.
        plan (Plan): Sizes of the splits.

    Returns:
        tuple[str, ...]: A line for each such class.

    Raises:
        UserInputError: If a setting, a label or an attribute is out of range.
    """
    cells = _Cells(labels, attributes, classes, plan)
    test, val = cells.test_per_class, cells.val_per_class
    balanced = cells.balanced_tests.sum(axis=1)
    # Besides these, one image each for val-GLT and Train-GLT.
    return tuple(
        f"class {label} ({name}) has {has} images, but {takes + test + val + 2} are needed: {takes} for Test-GBL, "
        f"{test} for Test-CBL, {val} for val-CBL, 1 for val-GLT and 1 to train on; lower test_per_cell, "
        "test_per_class or val_per_class, or leave the class out"
        for label, (name, has, takes) in enumerate(
            zip(classes, cells.counts.sum(axis=1).tolist(), balanced.tolist(), strict=True)
        )
        if has < takes + test + val + 2
    )


class _Cells:
    """Cells of a labelled set: the images of each class with each attribute; the last column is for those without."""

    def __init__(self, labels: np.ndarray, attributes: np.ndarray, classes: Sequence[str], plan: Plan) -> None:
        _check_plan(plan)
        _check_range("label", labels, 0, len(classes))
        _check_range("attribute", attributes, -1, len(attributes))
        if len(labels) != len(attributes):
            raise UserInputError(f"{len(labels)} labels and {len(attributes)} attributes are given; give one an image.")
        num_attributes = int(attributes.max(initial=-1)) + 1
        self.labels, self.classes, self.intra = labels, classes, plan.intra
        self._shape = (len(classes), num_attributes + 1)
        self.of_image = labels * (num_attributes + 1) + np.where(attributes < 0, num_attributes, attributes)
        self.counts = self.count(np.ones(len(labels), dtype=bool))
        self._ranks = np.argsort(-self.counts, axis=1, kind="stable")
        occurs = self.counts[:, :num_attributes] > 0
        per_class = plan.test_per_cell * int(occurs.sum(axis=1).max(initial=0))
        each = per_class // np.maximum(occurs.sum(axis=1), 1)
        smallest = np.where(occurs, self.counts[:, :num_attributes], _LARGEST).min(axis=1, initial=_LARGEST)
        fits = (occurs.sum(axis=1) >= 2) & (smallest >= np.maximum(RESERVE * each, plan.min_per_cell))
        self.balanced_tests = np.zeros(self._shape, dtype=np.int64)
        """Images of each cell in Test-GBL, ``(C, A + 1)``."""
        self.balanced_tests[:, :num_attributes] = np.where(occurs & fits[:, None], each[:, None], 0)
        self.outside_gbl = tuple(np.flatnonzero(~fits).tolist())
        self.test_per_class = per_class if plan.test_per_class is None else plan.test_per_class
        self.val_per_class = per_class // 2 if plan.val_per_class is None else plan.val_per_class

    def count(self, chosen: np.ndarray) -> np.ndarray:
        """Number of some of the images, ``(N,)`` bool, in each cell, ``(C, A + 1)``."""
        size = self._shape[0] * self._shape[1]
        return np.bincount(self.of_image[chosen], minlength=size).reshape(self._shape)

    def describe(self, place: int, ndim: int) -> str:
        """Name of a class, or of a cell."""
        label = place if ndim == 1 else place // self._shape[1]
        cell = "" if ndim == 1 else f", attribute {place % self._shape[1]}"
        return f"class {label} ({self.classes[label]}){cell}"

    def spread(self, totals: np.ndarray, available: np.ndarray, *, fill: bool = False) -> np.ndarray:
        """Images of each class, ``(C,)``, or of each of its cells ``(C, A + 1)`` where proportions are given.

        Proportions are floored, and a cell gives what it has; ``fill`` makes up for both from the larger cells.
        """
        totals = np.minimum(totals, available.sum(axis=1))
        if self.intra is None:
            return totals
        wanted = np.zeros(self._shape, dtype=np.int64)
        for label, total in enumerate(totals.tolist()):
            cells = [cell for cell in self._ranks[label].tolist() if self.counts[label, cell]]
            weights = [*self.intra[: len(cells)], *[0] * (len(cells) - len(self.intra))]
            for cell, weight in zip(cells, weights, strict=True):
                wanted[label, cell] = min(total * weight // sum(weights), available[label, cell])
            # Every class is somewhere, however small its part.
            rest = total - int(wanted[label].sum()) if fill else int(total > 0 and not wanted[label].any())
            for cell in cells:
                more = min(rest, int(available[label, cell] - wanted[label, cell]))
                wanted[label, cell] += more
                rest -= more
        return wanted


def _check_plan(plan: Plan) -> None:
    optional = ("test_per_class", "val_per_class", "max_count", "train_cbl_per_class")
    least = {"test_per_cell": 1, "min_per_cell": 0, **{name: 1 for name in optional if getattr(plan, name) is not None}}
    for name, smallest in least.items():
        value = getattr(plan, name)
        if type(value) is not int or value < smallest:
            raise UserInputError(f"{name}={value!r} must be an integer of at least {smallest}.")
    if plan.intra is not None and (
        not plan.intra
        or any(type(weight) is not int or weight < 1 for weight in plan.intra)
        or [*plan.intra] != sorted(plan.intra, reverse=True)
    ):
        raise UserInputError(
            f"intra={plan.intra!r} must be positive integers from the most frequent attribute to the rarest, like "
            "(7, 2, 1), or None."
        )


def _check_range(name: str, values: np.ndarray, first: int, end: int) -> None:
    if values.dtype.kind not in "iu" or values.ndim != 1:
        raise UserInputError(f"{name}s are {values.dtype} of shape {values.shape}, expected one integer an image.")
    if len(values) and not first <= int(values.min()) <= int(values.max()) < end:
        raise UserInputError(f"{name}s run from {values.min()} to {values.max()}, expected {first} to {end - 1}.")


def _profile(plan: Plan, left: np.ndarray, ranking: np.ndarray) -> np.ndarray:
    """Class sizes of Train-GLT ``(C,)``, by the images that are left and the ranks of the classes."""
    sizes = left.copy()
    if isinstance(plan.profile, str):
        kind, _, ratio = plan.profile.partition(":")
        if plan.profile == "natural":
            return sizes
        try:
            smallest = float(ratio) if kind == "exp" else 0.0
        except ValueError:
            smallest = 0.0
        if not 0 < smallest <= 1:
            raise UserInputError(
                f"profile={plan.profile!r} must be 'natural', 'exp:MU' with the smallest class over the largest, above "
                "0 and at most 1, like 'exp:0.01', or a list of class sizes."
            )
        largest = plan.max_count or int(left[ranking[0]])
        by_rank = class_profile(len(left), largest, 1 / smallest)
    else:
        by_rank = np.asarray(plan.profile)
        if (
            by_rank.shape != left.shape
            or by_rank.dtype.kind not in "iu"
            or bool((np.diff(by_rank) > 0).any())
            or by_rank[-1] < 1
        ):
            raise UserInputError(
                f"profile has {by_rank.size} sizes, expected one positive integer for each of the {len(left)} classes, "
                "from the largest to the smallest."
            )
    sizes[ranking] = np.minimum(np.maximum(by_rank, 1), left[ranking])
    return sizes


def _validation(planned: np.ndarray, per_class: int, left: np.ndarray) -> np.ndarray:
    """Class sizes of val-GLT: long-tailed as Train-GLT, at least an image, at most a quarter of what is left."""
    shares = per_class * len(planned) * planned // max(int(planned.sum()), 1)
    return np.clip(shares, 1, np.maximum(left // RESERVE, 1))


def class_groups(ranking: np.ndarray) -> tuple[int, ...]:
    """Groups of classes by their rank in size: many, medium and few.

    Args:
        ranking (np.ndarray): The ``C`` classes from the largest to the smallest.

    Returns:
        tuple[int, ...]: 0 for the first 40 %, 1 up to 85 %, 2 for the others, by class: 400, 450 and 150 of 1000.
    """
    middle = np.empty(len(ranking), dtype=np.int64)
    middle[ranking] = 50 * (2 * np.arange(len(ranking)) + 1)  # of the place of a class, in percent of a place
    limits = np.array([MANY_PERCENT, MEDIUM_PERCENT]) * len(ranking)
    return tuple(np.searchsorted(limits, middle, side="right").tolist())
