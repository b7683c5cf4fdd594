"""MSCOCO-GLT by the published protocol, from instances of COCO and their attributes."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np

from lt_plugins.datasets.glt.carve import class_groups
from lt_plugins.datasets.glt.draw import hash_order
from lt_plugins.datasets.glt.glt_file import GROUPS, GLTFile, GLTImage
from lt_plugins.errors import UserInputError

if TYPE_CHECKING:
    from PIL import Image

IMBALANCE = 0.005
"""Smallest class of the training pool over the largest."""
NUM_CLASSES, MANY, MEDIUM = 29, 11, 23
"""Of the published set, and the ranks before which its classes are many, and medium: 11, 12 and 6."""
SMALL_SIDE, MARGIN, PART = 100, 50, 0.2
"""A side of a box below 100 pixels grows by 50 at both ends, a longer one by 20 % of itself."""
_EPS = 1e-9


def mscoco_glt(
    keys: Sequence[str],
    categories: Sequence[str],
    vectors: np.ndarray,
    *,
    balanced: bool,
    test_per_class: int | None = None,
    val_per_class: int | None = None,
    seed: int = 25,
    groups: Sequence[int] | np.ndarray | None = None,
    folder: str = "images",
) -> GLTFile:
    """Draw MSCOCO-GLT as its authors do, apart from its random draws.

    Test-GBL takes of each class, one by one, the instance that makes the attributes taken so far most even
    (:func:`select_even`). Test-CBL, the training pool, Test-LT and validation are random. The released tool goes
    through the classes in an order that changes from run to run, so its draws cannot be repeated; here they follow
    from the seed and the keys. Test-GBL depends on no draw, and is the published one.

    The attribute of an image is how usual its attributes are for its class in training, by thirds of each split.

    Source: Tang et al., "Invariant Feature Learning for Generalized Long-Tailed Classification" (ECCV 2022), and the
    tool released with it.

    Args:
        keys (Sequence[str]): Names of the ``N`` instances, all different, in the order of COCO-Attributes.
        categories (Sequence[str]): The class of each, ``(N,)``.
        vectors (np.ndarray): Probability of each attribute of each instance, ``(N, A)``; above 0.5 it has it.
        balanced (bool): Whether to draw Train-CBL, which the protocol ALT is trained on, with tests of its own; else
            Train-GLT.
        test_per_class (int | None): Images of each class in Test-GBL and Test-CBL, and of Test-LT in the mean.
            Defaults to 200; balanced to 100.
        val_per_class (int | None): The same of validation. Defaults to 100; balanced to 50.
        seed (int): Seed of the random draws. Defaults to 25.
        groups (Sequence[int] | np.ndarray | None): Which instances are copies of each other, ``(N,)``: of one that a
            test or validation takes, the others are in no other split. Defaults to none, as released.
        folder (str): Folder of the crops; an image is called ``FOLDER/KEY.jpg``. Defaults to ``'images'``.

    Returns:
        GLTFile: The benchmark.

    Raises:
        UserInputError: If keys, categories and vectors are not of one length, or a class has too few instances.
    """
    kind = "cbl" if balanced else "glt"
    test = (100 if balanced else 200) if test_per_class is None else test_per_class
    val = (50 if balanced else 100) if val_per_class is None else val_per_class
    if not len(keys) == len(categories) == len(vectors) or vectors.ndim != 2:
        raise UserInputError(
            f"{len(keys)} keys, {len(categories)} categories and attributes of shape {vectors.shape} do not fit; give "
            "one of each for an instance."
        )
    positive = vectors > 0.5
    left: dict[str, list[int]] = {}
    for index, category in enumerate(categories):
        left.setdefault(category, []).append(index)
    # Equally large classes in alphabetical order; the released tool has them in that of a hash.
    names = sorted(left, key=lambda name: (-len(left[name]), name))
    labels = np.array([names.index(category) for category in categories])
    _check_sizes(names, labels, positive, test)
    copies = _Copies(range(len(keys)) if groups is None else groups)
    splits: dict[str, list[int]] = {"test-gbl": [], "test-cbl": []}
    for name in left:
        members = copies.without_taken(left[name])
        copies.take([members[place] for place in select_even(positive[members], test)], splits["test-gbl"])
        members = copies.without_taken(members)
        copies.take(_sample(keys, members, test, seed, "test-cbl"), splits["test-cbl"])
    left = {name: copies.without_taken(members) for name, members in left.items()}
    largest, smallest = len(left[names[0]]), min(map(len, left.values()))
    pool: list[int] = []
    for rank, name in enumerate(names):
        size = smallest if balanced else int(largest * IMBALANCE ** (rank / max(len(names) - 1, 1)))
        pool += _sample(keys, left[name], size, seed, "pool")
    for split, number in [(f"val-{kind}", val)] if balanced else [("test-lt", test), (f"val-{kind}", val)]:
        copies.take(_sample(keys, pool, number * len(names), seed, split), splits.setdefault(split, []))
        pool = copies.without_taken(pool)
    splits[f"train-{kind}"] = pool
    usual = np.zeros((len(names), vectors.shape[1]))
    np.add.at(usual, labels[pool], positive[pool])
    images = {}
    for split, chosen in splits.items():
        attributes = attribute_groups(positive[chosen], labels[chosen], usual).tolist()
        images[split] = [
            GLTImage(f"{folder}/{keys[index]}.jpg", int(labels[index]), attribute)
            for index, attribute in zip(chosen, attributes, strict=True)
        ]
    ranks = np.arange(len(names))
    class_group = (
        tuple((ranks >= MANY).astype(int) + (ranks >= MEDIUM)) if len(names) == NUM_CLASSES else class_groups(ranks)
    )
    info = {"preset": "mscoco-glt", "seed": seed}
    return GLTFile(tuple(names), tuple(map(int, class_group)), GROUPS, images, info)


def select_even(positive: np.ndarray, number: int) -> list[int]:
    r"""Select instances whose attributes, taken together, are spread most evenly: greedily, one by one.

    With the attributes :math:`t` of those taken so far, the next one is the first that minimises the standard
    deviation of :math:`(t + a) / (\sum_k (t_k + a_k) + 10^{-9})` over the attributes, among those that have any.

    Args:
        positive (np.ndarray): Which attributes each instance has, ``(n, A)`` bool.
        number (int): How many to select; at most as many as have attributes.

    Returns:
        list[int]: Their rows, in the order in which they are selected.

    Raises:
        UserInputError: If fewer have attributes.
    """
    rows = positive.astype(np.float64)
    sizes, total = rows.sum(axis=1), np.zeros(positive.shape[1])
    free = sizes > 0
    if int(free.sum()) < number:
        raise UserInputError(
            f"a class has {int(free.sum())} instances with attributes left, but {number} are to be selected; lower "
            "test_per_class."
        )
    selected: list[int] = []
    for _ in range(number):
        sums = total.sum() + sizes
        # n^2 times the variance of t + a in whole numbers, exact, so that the rounding of a deviation decides between
        # the few that are as good only, as in the released tool.
        spread = len(total) * (total @ total + 2 * rows @ total + sizes) - sums**2
        score = np.where(free, spread / (sums + _EPS) ** 2, np.inf)
        near = np.flatnonzero(score <= score.min() * (1 + 1e-9) + 1e-15)
        best = int(near[np.argmin(_deviations(total + rows[near]))])
        total += rows[best]
        free[best] = False
        selected.append(best)
    return selected


def attribute_groups(positive: np.ndarray, labels: np.ndarray, usual: np.ndarray) -> np.ndarray:
    """Group instances by how usual their attributes are for their class: frequent, medium or rare, a third each.

    The score of an instance is the mean, over its attributes, of their shares among those of its class in training.

    Args:
        positive (np.ndarray): Which attributes each instance has, ``(n, A)`` bool.
        labels (np.ndarray): Classes, ``(n,)`` integers.
        usual (np.ndarray): How often instances of each class have each attribute in training, ``(C, A)``.

    Returns:
        np.ndarray: 0, 1 or 2 of each, ``(n,)`` int64, by thirds of these instances.
    """
    scores = np.zeros(len(labels))
    for label in np.unique(labels):
        mine, shares = labels == label, usual[label] / (usual[label].sum() + _EPS)
        scores[mine] = positive[mine] @ shares / (positive[mine].sum(axis=1) + _EPS)
    falling = np.sort(scores)[::-1]
    third = len(labels) // 3
    return np.where(scores > falling[third], 0, np.where(scores > falling[2 * third], 1, 2))


def crop_instance(image: Image.Image, box: Sequence[float]) -> Image.Image:
    """Crop an instance with its surroundings, and pad it to a square.

    Args:
        image (Image.Image): The image.
        box (Sequence[float]): Its box in COCO's way: left, top, width and height, in pixels.

    Returns:
        Image.Image: The crop, square, with black at two opposite sides where the box is not.
    """
    left, top, width, height = box
    (first, last), (upper, lower) = _grow(left, width, image.width), _grow(top, height, image.height)
    crop = image.crop((first, upper, last, lower))
    pad = abs(crop.width - crop.height) / 2
    if crop.width > crop.height:
        return crop.crop((0, -pad, crop.width, crop.height + pad))
    return crop.crop((-pad, 0, crop.width + pad, crop.height))


def _grow(start: float, length: float, end: float) -> tuple[float, float]:
    margin = MARGIN if length < SMALL_SIDE else PART * length
    return max(start - margin, 0), min(start + length + margin, end)


def _deviations(counts: np.ndarray) -> np.ndarray:
    return (counts / (counts.sum(axis=1, keepdims=True) + _EPS)).std(axis=1)


def _check_sizes(names: Sequence[str], labels: np.ndarray, positive: np.ndarray, test: int) -> None:
    for label, name in enumerate(names):
        mine = labels == label
        has, usable = int(mine.sum()), int(positive[mine].any(axis=1).sum())
        if has <= 2 * test or usable < test:
            raise UserInputError(
                f"class {name} has {has} instances, {usable} of them with attributes, but at least {2 * test + 1} are "
                f"needed, {test} of them with attributes; lower test_per_class, or leave the class out."
            )


def _sample(keys: Sequence[str], members: Sequence[int], number: int, seed: int, purpose: str) -> list[int]:
    """Draw members without replacement, all of them if there are no more."""
    order = hash_order([keys[index] for index in members], seed, purpose)
    return [members[place] for place in order[:number]]


class _Copies:
    """Instances that splits have taken, and the copies of these.

    Args:
        groups (Sequence[int]): Copies have one group.
    """

    def __init__(self, groups: Sequence[int] | np.ndarray) -> None:
        self._groups = [int(group) for group in groups]
        self._taken: set[int] = set()

    def take(self, chosen: Sequence[int], split: list[int]) -> None:
        """Give instances to a split; their copies are for no other."""
        split += chosen
        self._taken.update(self._groups[index] for index in chosen)

    def without_taken(self, members: Sequence[int]) -> list[int]:
        """Those that are left."""
        return [index for index in members if self._groups[index] not in self._taken]
