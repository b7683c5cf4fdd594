"""ImageNet-GLT by the published protocol, from clusters of the images of each class."""

from __future__ import annotations

import random
from collections.abc import Iterator, Mapping, Sequence

import numpy as np

from lt_plugins.datasets.glt.carve import RESERVE, class_groups
from lt_plugins.datasets.glt.glt_file import GROUPS, GLTFile, GLTImage
from lt_plugins.errors import UserInputError

INTRA = (7, 2, 1)
NUM_CLUSTERS = 2 * len(INTRA)
Lists = list[list[list[str]]]
"""Images by class and attribute, in order."""


def imagenet_glt(
    clusters: Mapping[str, Sequence[Sequence[str]]],
    profile: Sequence[int],
    *,
    test_per_cell: int = 20,
    val_per_cell: int = 10,
    balanced_size: int = 145,
    seed: int = 25,
) -> tuple[GLTFile, GLTFile]:
    """Draw ImageNet-GLT as its authors do.

    The six clusters of a class, by size, make three attributes of two each, and classes are numbered by size. Test-GBL
    and Test-CBL come from the front of each attribute's list of images, and so do the sizes of the profile, so that
    they hold more of the larger cluster of each pair; only Test-LT and val-GLT are random. Train-GLT is what these
    have left of each class, about half of its size in the profile.

    Source: Tang et al., "Invariant Feature Learning for Generalized Long-Tailed Classification" (ECCV 2022), and the
    tool released with it. Its clusters cannot be found again, since its k-means had no seed: other clusters are
    another benchmark, whose numbers do not compare with published ones.

    Args:
        clusters (Mapping[str, Sequence[Sequence[str]]]): Of each class, by its name in the order of the folder: the
            images of each cluster, in the order of the folder, and the clusters in that of their first images.
        profile (Sequence[int]): Class sizes of the long-tailed set before Test-LT and val-GLT are taken from it, from
            the largest class to the smallest; the released list goes from 1500 to 18.
        test_per_cell (int): Images of each attribute of a class in Test-GBL; a class has three times as many in
            Test-CBL, and Test-LT as many a class in the mean. Defaults to 20.
        val_per_cell (int): The same of validation. Defaults to 10.
        balanced_size (int): Class size of the balanced set, with its validation images. Defaults to 145.
        seed (int): Seed of Test-LT and val-GLT. Defaults to 25.

    Returns:
        tuple[GLTFile, GLTFile]: That of Train-GLT, and that of Train-CBL.

    Raises:
        UserInputError: If the profile is not one size a class, or a class has too few images.
    """
    ranked = {name: sorted(lists, key=len, reverse=True) for name, lists in clusters.items()}
    names = sorted(ranked, key=lambda name: sum(map(len, ranked[name])), reverse=True)
    sizes = [*profile]
    if len(sizes) != len(names) or sizes != sorted(sizes, reverse=True) or not sizes or sizes[-1] < 1:
        raise UserInputError(
            f"the profile has {len(sizes)} sizes, expected one for each of the {len(names)} classes, positive and from "
            "the largest to the smallest."
        )
    for name, lists in clusters.items():
        if len(lists) != NUM_CLUSTERS or not all(lists):
            raise UserInputError(f"class {name} has {len(lists)} clusters, expected {NUM_CLUSTERS} that hold images.")
    groups = class_groups(np.arange(len(names)))
    test, val = test_per_cell * len(INTRA), val_per_cell * len(INTRA)
    files = []
    for kind in ("glt", "cbl"):
        left: Lists = [[*_merge(ranked[name])] for name in names]
        splits = {"test-gbl": _take(left, names, [_balanced(lists, test_per_cell) for lists in left])}
        splits["test-cbl"] = _take(left, names, [_proportional(test)] * len(names))
        for lists, size in zip(left, sizes if kind == "glt" else [balanced_size] * len(names), strict=True):
            _truncate(lists, size)
        if kind == "glt":
            rng = random.Random(seed)
            splits["test-lt"] = _draw(left, test * len(names), rng)
            splits["val-glt"] = _draw(left, val * len(names), rng)
        else:
            splits["val-cbl"] = _take(left, names, [_proportional(val)] * len(names))
        splits[f"train-{kind}"] = [*_images(left)]
        info = {"preset": "imagenet-glt", "seed": seed, "profile": sizes}
        files.append(GLTFile(tuple(names), groups, GROUPS, splits, info))
    return files[0], files[1]


def _merge(ranked: Sequence[Sequence[str]]) -> Iterator[list[str]]:
    """Attributes of a class: pairs of its clusters, one after the other."""
    for larger, smaller in zip(ranked[::2], ranked[1::2], strict=True):
        yield [*larger, *smaller]


def _balanced(lists: Sequence[Sequence[str]], wanted: int) -> list[int]:
    return [min(wanted, *(len(paths) // RESERVE for paths in lists))] * len(lists)


def _proportional(total: int) -> list[int]:
    return [weight * (total // sum(INTRA)) for weight in INTRA]


def _take(left: Lists, names: Sequence[str], numbers: Sequence[Sequence[int]]) -> list[GLTImage]:
    """Take so many images of each attribute from the front."""
    taken = []
    for label, lists in enumerate(left):
        for attribute, (paths, number) in enumerate(zip(lists, numbers[label], strict=True)):
            if len(paths) < number:
                raise UserInputError(
                    f"class {label} ({names[label]}) has {len(paths)} images of attribute {attribute} left, but "
                    f"{number} are needed; lower test_per_cell and val_per_cell, or leave the class out."
                )
            taken += [GLTImage(path, label, attribute) for path in paths[:number]]
            del paths[:number]
    return taken


def _truncate(lists: list[list[str]], size: int) -> None:
    """Keep the front of each attribute of a class: 7:2:1 of its size, in float32 as the released tool computes it."""
    weights = np.array(INTRA, dtype=np.float32)
    quotas = (weights / weights.sum() * np.float32(size)).astype(np.int64)
    for paths, quota in zip(lists, quotas.tolist(), strict=True):
        del paths[quota:]


def _images(left: Lists) -> Iterator[GLTImage]:
    for label, lists in enumerate(left):
        for attribute, paths in enumerate(lists):
            for path in paths:
                yield GLTImage(path, label, attribute)


def _draw(left: Lists, number: int, rng: random.Random) -> list[GLTImage]:
    """Draw images of all classes without replacement."""
    pool = [*_images(left)]
    if len(pool) < number:
        raise UserInputError(f"the profile leaves {len(pool)} images, but {number} are to be drawn; raise its sizes.")
    drawn = [pool.pop(rng.randint(0, len(pool) - 1)) for _ in range(number)]
    for lists in left:
        for paths in lists:
            paths.clear()
    for path, label, attribute in pool:
        left[label][attribute].append(path)
    return drawn
