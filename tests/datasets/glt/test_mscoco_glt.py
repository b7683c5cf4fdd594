from __future__ import annotations

import itertools
from hashlib import blake2b
from typing import Any

import numpy as np
import pytest
from PIL import Image

from lt_plugins.datasets.glt.glt_file import read_glt, write_glt
from lt_plugins.datasets.glt.mscoco_glt import attribute_groups, crop_instance, mscoco_glt, select_even
from lt_plugins.errors import UserInputError


def _instances(sizes: dict[str, int], num_attributes: int, seed: int = 0) -> tuple[list[str], list[str], np.ndarray]:
    rng = np.random.default_rng(seed)
    categories = rng.permutation([name for name, size in sizes.items() for _ in range(size)]).tolist()
    usual = rng.uniform(0, 0.6, num_attributes)
    vectors = rng.uniform(0, 1, (len(categories), num_attributes)) * 0.5 / (1 - usual)
    return [f"{1000 + i}" for i in range(len(categories))], categories, vectors


def _slow_even(positive: np.ndarray, number: int) -> list[int]:
    """METHODS_BEYOND 14.2, step 2: every instance tried every time."""
    taken, total = [], np.zeros(positive.shape[1])
    for _ in range(number):
        best, least = -1, float("inf")
        for row, vector in enumerate(positive):
            if row in taken or not vector.any():
                continue
            sums = total + vector
            deviation = np.std(sums / (sums.sum() + 1e-9))
            if deviation < least:
                best, least = row, deviation
        taken.append(best)
        total += positive[best]
    return taken


@pytest.mark.parametrize(("num_attributes", "share"), [(204, 0.03), (13, 0.3), (3, 0.5)])
def test_selection_equals_the_slow_one(num_attributes: int, share: float) -> None:
    """With many ties, which the first of the instances wins, and instances without attributes, which are left out."""
    positive = np.random.default_rng(num_attributes).random((120, num_attributes)) < share
    positive[:5] = False
    assert select_even(positive, 60) == _slow_even(positive, 60)


def test_selection_is_more_even_than_a_random_one() -> None:
    positive = np.random.default_rng(0).random((400, 20)) < np.linspace(0.02, 0.6, 20)
    even, plain = (positive[chosen].sum(axis=0) for chosen in (select_even(positive, 50), range(50)))
    assert np.std(even / even.sum()) < 0.5 * np.std(plain / plain.sum())


def _slowly(
    keys: list[str], categories: list[str], vectors: np.ndarray, *, balanced: bool
) -> tuple[list[str], dict[str, set[tuple[str, int, int]]]]:
    """Steps 1 to 5 and 8 for 12 and 6 images a class, with sets and sorted hashes."""
    names = sorted({*categories}, key=lambda name: (-categories.count(name), name))
    of = dict(zip(keys, categories, strict=True))
    has = {key: {int(a) for a in np.flatnonzero(vector > 0.5)} for key, vector in zip(keys, vectors, strict=True)}
    left = [*keys]
    splits: dict[str, list[str]] = {}

    def draw(split: str, source: list[str], number: int, purpose: str | None = None) -> list[str]:
        order = sorted(
            source, key=lambda key: blake2b(f"25:{purpose or split}:{key}".encode(), digest_size=16).digest()
        )
        splits.setdefault(split, []).extend(order[:number])
        return [key for key in source if key not in order[:number]]

    for name in names:
        mine = [key for key in left if of[key] == name]
        chosen = _slow_even(np.array([[a in has[key] for a in range(vectors.shape[1])] for key in mine]), 12)
        splits.setdefault("test-gbl", []).extend(mine[row] for row in chosen)
        left = [key for key in left if key not in splits["test-gbl"]]
        rest = draw("test-cbl", [key for key in left if of[key] == name], 12)
        left = [key for key in left if of[key] != name or key in rest]
    sizes = {name: sum(of[key] == name for key in left) for name in names}
    for rank, name in enumerate(names):
        size = int(max(sizes.values()) * 0.005 ** (rank / (len(names) - 1)))
        number = min(sizes.values()) if balanced else min(size, sizes[name])
        draw("pool", [key for key in left if of[key] == name], number)
    pool = splits.pop("pool")
    if not balanced:
        pool = draw("test-lt", pool, 12 * len(names))
    kind = "cbl" if balanced else "glt"
    splits[f"train-{kind}"] = draw(f"val-{kind}", pool, 6 * len(names))
    counts = {
        name: [
            sum(a in has[key] for key in splits[f"train-{kind}"] if of[key] == name) for a in range(vectors.shape[1])
        ]
        for name in names
    }

    def score(key: str) -> float:
        usual = counts[of[key]]
        return sum(usual[a] / (sum(usual) + 1e-9) / (len(has[key]) + 1e-9) for a in has[key])

    found = {}
    for split, members in splits.items():
        falling = sorted(map(score, members), reverse=True)
        high, low = falling[len(members) // 3], falling[len(members) // 3 * 2]
        found[split] = {
            # Sums in another order differ in the last bits, which must not decide between equal scores.
            (
                f"images/{key}.jpg",
                names.index(of[key]),
                0 if score(key) > high + 1e-12 else 1 if score(key) > low + 1e-12 else 2,
            )
            for key in members
        }
    return names, found


@pytest.mark.parametrize("balanced", [False, True])
def test_equals_the_steps_taken_slowly(balanced: bool) -> None:
    instances = _instances({"cat": 60, "dog": 200, "cow": 60}, 7)
    found = mscoco_glt(*instances, balanced=balanced, test_per_class=12, val_per_class=6)
    names, splits = _slowly(*instances, balanced=balanced)
    assert found.classes == tuple(names) == ("dog", "cat", "cow")
    assert {split: {tuple(image) for image in images} for split, images in found.splits.items()} == splits
    assert sum(map(len, found.splits.values())) == sum(map(len, splits.values()))


def test_totals_are_the_published_ones(tmp_path: Any) -> None:
    """Of Train-CBL; those of Train-GLT depend on the sizes of all 29 classes."""
    instances = _instances({f"c{i}": 1358 + 3 * i for i in range(29)}, 20)
    benchmark = mscoco_glt(*instances, balanced=True)
    assert {split: len(images) for split, images in benchmark.splits.items()} == {
        "test-gbl": 2_900,
        "test-cbl": 2_900,
        "val-cbl": 1_450,
        "train-cbl": 32_132,
    }
    assert benchmark.class_group == (0,) * 11 + (1,) * 12 + (2,) * 6
    write_glt(tmp_path / "cbl.json", benchmark)
    assert read_glt(tmp_path / "cbl.json") == benchmark


def test_copies_are_in_one_split() -> None:
    """Pairs within and across classes: with one in a test, the other is nowhere else."""
    keys, categories, vectors = _instances({"cat": 90, "dog": 120}, 7)
    groups = np.random.default_rng(2).permutation(210) // 2
    plain = mscoco_glt(keys, categories, vectors, balanced=False, test_per_class=12, val_per_class=6)
    found = mscoco_glt(keys, categories, vectors, balanced=False, test_per_class=12, val_per_class=6, groups=groups)
    group = {f"images/{key}.jpg": int(value) for key, value in zip(keys, groups, strict=True)}
    inside = {split: {group[image.path] for image in images} for split, images in found.splits.items()}
    for one, other in itertools.combinations(inside, 2):
        assert not inside[one] & inside[other]
    assert {split: len(images) for split, images in found.splits.items() if split != "train-glt"} == {
        split: len(images) for split, images in plain.splits.items() if split != "train-glt"
    }
    alone = mscoco_glt(keys, categories, vectors, balanced=False, test_per_class=12, val_per_class=6, groups=range(210))
    assert alone == plain
    assert plain.class_group == (0, 1), "by rank where the classes are not the 29 published ones"


def test_groups_of_attributes() -> None:
    """Class 0 has mostly attribute 0 in training, class 1 mostly attribute 1."""
    positive = np.array([[1, 0], [0, 1], [1, 0], [0, 1], [1, 1], [1, 1]], dtype=bool)
    labels = np.array([0, 0, 1, 1, 0, 1])
    # Scores .8, .2, .1, .9, .5, .5; the thresholds are the third and the fifth: .5 and .2.
    groups = attribute_groups(positive, labels, np.array([[8.0, 2.0], [1.0, 9.0]]))
    assert groups.tolist() == [0, 2, 2, 0, 1, 1]


@pytest.mark.parametrize(
    ("box", "size", "corner"),
    [
        ((100, 80, 40, 20), (140, 140), "black"),  # 50 at each end: 140 x 120, padded by 10 above and below
        ((0, 0, 30, 30), (80, 80), "image"),  # cut at the left and the top
        ((20, 10, 200, 30), (280, 280), "black"),  # 20 % of 200: from 0 to 260
    ],
)
def test_crops(box: tuple[int, ...], size: tuple[int, int], corner: str) -> None:
    image = Image.new("RGB", (400, 300), (9, 9, 9))
    crop = crop_instance(image, box)
    expected = {"black": (0, 0, 0), "image": (9, 9, 9)}[corner]
    width = min(box[0] + box[2] + (50 if box[2] < 100 else 0.2 * box[2]), 400) - max(
        box[0] - (50 if box[2] < 100 else 0.2 * box[2]), 0
    )
    assert crop.size[0] == crop.size[1] == round(max(width, size[1] if size[0] == size[1] == 80 else width))
    assert crop.getpixel((0, 0)) == expected
    assert crop.getpixel((crop.width // 2, crop.height // 2)) == (9, 9, 9)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"sizes": {"cat": 24, "dog": 90}}, "class cat has 24 instances, 24 of them with attributes, but at least 25"),
        ({"keys": ["a"]}, "1 keys, 114 categories and attributes of shape"),
        ({"vectors": np.zeros((114, 7))}, "0 of them with attributes, but"),
    ],
)
def test_names_what_is_wrong(changes: dict[str, Any], message: str) -> None:
    keys, categories, vectors = _instances(changes.pop("sizes", {"cat": 30, "dog": 84}), 7)
    vectors[:, 0] = 1
    arguments = {"keys": keys, "categories": categories, "vectors": vectors, **changes}
    with pytest.raises(UserInputError, match=message):
        mscoco_glt(**arguments, balanced=True, test_per_class=12, val_per_class=2)
