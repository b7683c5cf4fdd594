from __future__ import annotations

import math
import random
from typing import Any

import numpy as np
import pytest

from lt_plugins.datasets.glt.glt_file import GLTFile, read_glt, write_glt
from lt_plugins.datasets.glt.imagenet_glt import imagenet_glt
from lt_plugins.errors import UserInputError

PROFILE = [40, 30, 11, 10]
SETTINGS: dict[str, Any] = {"test_per_cell": 4, "val_per_cell": 2, "balanced_size": 22}


def _clusters(sizes: list[list[int]]) -> dict[str, list[list[str]]]:
    return {
        f"n{c}": [[f"train/n{c}/{cluster}_{i}.JPEG" for i in range(size)] for cluster, size in enumerate(clusters)]
        for c, clusters in enumerate(sizes)
    }


MINIATURE = _clusters(
    [[30, 40, 10, 12, 31, 11], [20, 20, 20, 20, 20, 20], [90, 5, 15, 15, 14, 13], [50, 60, 12, 9, 30, 2]]
)


def _slowly(clusters: dict[str, list[list[str]]], kind: str) -> tuple[list[str], dict[str, list[tuple[str, int, int]]]]:
    """Steps 2 to 7 of METHODS_BEYOND 14.1, one image at a time."""
    names = sorted(clusters, key=lambda name: -sum(map(len, clusters[name])))
    queue: dict[tuple[int, int], list[str]] = {}
    for label, name in enumerate(names):
        by_size = sorted(clusters[name], key=lambda paths: -len(paths))
        for attribute in range(3):
            queue[label, attribute] = by_size[2 * attribute] + by_size[2 * attribute + 1]
    splits: dict[str, list[tuple[str, int, int]]] = {}

    def front(split: str, label: int, attribute: int, number: int) -> None:
        for _ in range(number):
            splits.setdefault(split, []).append((queue[label, attribute].pop(0), label, attribute))

    for label in range(len(names)):
        number = min(4, *(math.floor(len(queue[label, attribute]) / 4) for attribute in range(3)))
        for attribute in range(3):
            front("test-gbl", label, attribute, number)
    for label in range(len(names)):
        for attribute, weight in enumerate((7, 2, 1)):
            front("test-cbl", label, attribute, weight * (12 // 10))
    for label, size in enumerate(PROFILE if kind == "glt" else [22] * len(names)):
        for attribute, share in enumerate((0.7, 0.2, 0.1)):
            quota = int(np.float32(share) * np.float32(size))
            queue[label, attribute] = queue[label, attribute][:quota]
    rng = random.Random(25)
    for split, number in (("test-lt", 12 * len(names)), ("val-glt", 6 * len(names))) if kind == "glt" else ():
        for _ in range(number):
            pool = [(path, *cell) for cell, paths in queue.items() for path in paths]
            drawn = pool[rng.randint(0, len(pool) - 1)]
            splits.setdefault(split, []).append(drawn)
            queue[drawn[1:]].remove(drawn[0])
    if kind == "cbl":
        for label in range(len(names)):
            for attribute, weight in enumerate((7, 2, 1)):
                front("val-cbl", label, attribute, weight * (6 // 10))
    splits[f"train-{kind}"] = [(path, *cell) for cell, paths in queue.items() for path in paths]
    return names, splits


def test_equals_the_steps_taken_slowly() -> None:
    files = imagenet_glt(MINIATURE, PROFILE, **SETTINGS)
    for kind, found in zip(("glt", "cbl"), files, strict=True):
        names, splits = _slowly(MINIATURE, kind)
        assert found.classes == tuple(names)
        assert {split: [tuple(image) for image in images] for split, images in found.splits.items() if images} == splits
    assert files[0].splits["test-gbl"] == files[1].splits["test-gbl"]


def _big() -> tuple[GLTFile, GLTFile]:
    """1000 classes of 425 images, and a profile of 203,460."""
    clusters = _clusters([[120, 110, 60, 50, 45, 40]] * 1000)
    return imagenet_glt(clusters, [210] * 346 + [200] * 654)


def test_totals_are_the_published_ones(tmp_path: Any) -> None:
    glt, cbl = _big()
    assert {split: len(images) for split, images in glt.splits.items()} == {
        "test-gbl": 60_000,
        "test-cbl": 60_000,
        "test-lt": 60_000,
        "val-glt": 30_000,
        "train-glt": 113_460,
    }
    assert {split: len(images) for split, images in cbl.splits.items()} == {
        "test-gbl": 60_000,
        "test-cbl": 60_000,
        "val-cbl": 30_000,
        "train-cbl": 114_000,
    }
    per_attribute = np.bincount([image.attribute for image in cbl.splits["train-cbl"]])
    assert per_attribute.tolist() == [80_000, 23_000, 11_000]
    assert [glt.class_group.count(group) for group in range(3)] == [400, 450, 150]
    write_glt(tmp_path / "cbl.json", cbl)
    assert read_glt(tmp_path / "cbl.json").splits == cbl.splits, "no image is in two splits"


@pytest.mark.parametrize(
    ("profile", "changes", "message"),
    [
        ([3, 2, 1], {}, "the profile has 3 sizes, expected one for each of the 4 classes"),
        ([3, 2, 1, 2], {}, "the profile has 4 sizes"),
        ([3, 2, 1, 0], {}, "the profile has 4 sizes"),
        ([10] * 4, {}, "the profile leaves 40 images, but 48 are to be drawn; raise its sizes"),
        (PROFILE, {"test_per_cell": 20}, r"class 3 \(n1\) has 30 images of attribute 0 left, but 42"),
    ],
)
def test_names_what_is_wrong(profile: list[int], changes: dict[str, Any], message: str) -> None:
    with pytest.raises(UserInputError, match=message):
        imagenet_glt(MINIATURE, profile, **{**SETTINGS, **changes})


def test_six_clusters_are_needed() -> None:
    with pytest.raises(UserInputError, match="class n0 has 5 clusters, expected 6"):
        imagenet_glt(_clusters([[30] * 5]), [10])
    with pytest.raises(UserInputError, match="class n0 has 6 clusters, expected 6 that hold images"):
        imagenet_glt(_clusters([[30] * 5 + [0]]), [10])
