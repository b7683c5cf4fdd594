from __future__ import annotations

from collections import Counter
from hashlib import blake2b
from typing import Any

import numpy as np
import pytest

from lt_plugins.datasets.glt.carve import Plan, carve, class_groups, find_small_classes
from lt_plugins.datasets.glt.draw import GroupDraw
from lt_plugins.errors import UserInputError

# Images of each class with attribute 0, 1, 2.
SIZES = np.array([[300, 90, 40], [200, 100, 50], [60, 150, 45], [90, 70, 50], [120, 30, 5]])
PLAN = Plan(test_per_cell=10, profile="exp:0.1", val_per_class=10)


def _images(sizes: np.ndarray = SIZES) -> tuple[list[str], np.ndarray, np.ndarray, list[str]]:
    """Names, labels, attributes and classes; a last column of sizes beyond three is of images without attribute."""
    cells = [
        (label, attribute if attribute < 3 else -1)
        for label in range(len(sizes))
        for attribute in range(sizes.shape[1])
        for _ in range(sizes[label, attribute])
    ]
    labels, attributes = (np.array(column) for column in zip(*cells, strict=True))
    return [f"{i:05d}.jpg" for i in range(len(cells))], labels, attributes, [f"c{y}" for y in range(len(sizes))]


def _table(keys: Any, labels: np.ndarray, attributes: np.ndarray, chosen: np.ndarray, shape: Any) -> np.ndarray:
    counts = np.zeros(shape, dtype=int)
    for index in chosen:
        counts[labels[index], attributes[index]] += 1
    return counts


def _order(split: str, names: list[str], seed: int = 0) -> list[str]:
    return sorted(names, key=lambda name: blake2b(f"{seed}:{split}:{name}".encode(), digest_size=16).digest())


def _slow_carve(keys: list[str], labels: np.ndarray, attributes: np.ndarray) -> dict[str, set[str]]:
    """The protocol of METHODS_BEYOND 14.3 for ``PLAN``, written down cell by cell, with one image a draw."""
    pool = {
        (y, a): [
            key for key, label, attribute in zip(keys, labels, attributes, strict=True) if (label, attribute) == (y, a)
        ]
        for y in range(5)
        for a in range(3)
    }
    ranks = {y: sorted(range(3), key=lambda a: (-len(pool[y, a]), a)) for y in range(5)}
    splits: dict[str, set[str]] = {}

    def take(split: str, y: int, a: int, number: int, remove: bool = True) -> None:
        chosen = _order(split, pool[y, a])[:number]
        assert len(chosen) == number
        splits.setdefault(split, set()).update(chosen)
        if remove:
            pool[y, a] = [key for key in pool[y, a] if key not in chosen]

    def fill(split: str, y: int, total: int, remove: bool = True) -> None:
        numbers = {a: min(total * weight // 10, len(pool[y, a])) for a, weight in zip(ranks[y], (7, 2, 1), strict=True)}
        for a in ranks[y]:
            numbers[a] += min(total - sum(numbers.values()), len(pool[y, a]) - numbers[a])
        for a, number in numbers.items():
            take(split, y, a, number, remove)

    def size(y: int) -> int:
        return sum(len(pool[y, a]) for a in range(3))

    for y in range(4):  # the last class has cells below 4 * 10 images
        for a in range(3):
            take("test-gbl", y, a, 10)
    for y in range(5):
        fill("test-cbl", y, 30)
    order = sorted(range(5), key=lambda y: (-size(y), y))

    def profile() -> dict[int, int]:
        return {y: min(int(size(order[0]) * 0.1 ** (rank / 4)), size(y)) for rank, y in enumerate(order)}

    planned = profile()
    for y in range(5):
        fill("val-glt", y, min(max(50 * planned[y] // sum(planned.values()), 1), size(y) // 4))
    for y in range(5):
        fill("val-cbl", y, 10)
    for y, number in profile().items():
        for a, weight in zip(ranks[y], (7, 2, 1), strict=True):
            take("train-glt", y, a, min(number * weight // 10, len(pool[y, a])), remove=False)
    each = min(len(splits["train-glt"]) // 5, min(map(size, range(5))))
    for y in range(5):
        fill("train-cbl", y, each, remove=False)
    return splits


def test_equals_the_protocol_written_down_slowly() -> None:
    keys, labels, attributes, classes = _images()
    carving = carve(keys, labels, attributes, classes, PLAN)
    found = {split: {keys[index] for index in indices} for split, indices in carving.splits.items()}
    assert found == _slow_carve(keys, labels, attributes)
    assert carving.outside_gbl == (4,)
    assert carving.shortfalls == ()
    assert carving.class_group == (0, 0, 1, 1, 2), "by rank: 40 %, up to 85 %, the rest"


def test_numbers_are_those_of_the_plan() -> None:
    images = _images()
    splits = carve(*images, PLAN).splits
    table = {split: _table(*images[:3], chosen, (5, 3)) for split, chosen in splits.items()}
    assert table["test-gbl"].tolist() == [[10, 10, 10]] * 4 + [[0, 0, 0]]
    assert table["test-cbl"][:2].tolist() == [[21, 6, 3]] * 2
    assert table["test-cbl"][2].tolist() == [6, 21, 3], "7:2:1 follows the sizes of the cells of a class"
    assert table["test-cbl"].sum(axis=1).tolist() == [30] * 5
    assert table["val-cbl"].sum(axis=1).tolist() == [10] * 5
    assert len({*table["train-cbl"].sum(axis=1).tolist()}) == 1
    assert (np.diff(table["train-glt"].sum(axis=1)[[0, 1, 2, 3]]) < 0).all()
    tests = [set(splits[name].tolist()) for name in ("test-gbl", "test-cbl", "val-glt", "val-cbl")]
    for i, one in enumerate(tests):
        for other in [*tests[i + 1 :], set(splits["train-glt"].tolist()), set(splits["train-cbl"].tolist())]:
            assert not one & other


def test_the_order_of_the_images_does_not_matter_and_the_seed_does() -> None:
    keys, labels, attributes, classes = _images()
    first = carve(keys, labels, attributes, classes, PLAN).splits
    order = np.random.default_rng(0).permutation(len(keys))
    shuffled = carve([keys[i] for i in order], labels[order], attributes[order], classes, PLAN).splits
    assert {split: sorted(order[chosen]) for split, chosen in shuffled.items()} == {
        split: chosen.tolist() for split, chosen in first.items()
    }
    other = carve(keys, labels, attributes, classes, Plan(**{**PLAN.__dict__, "seed": 1})).splits
    assert {split: len(chosen) for split, chosen in other.items() if "test" in split} == {
        split: len(chosen) for split, chosen in first.items() if "test" in split
    }
    assert not np.array_equal(other["test-gbl"], first["test-gbl"])


def test_copies_stay_together() -> None:
    """Pairs within cells, a triple across classes, and one group that is larger than any quota."""
    keys, labels, attributes, classes = _images()
    groups = np.arange(len(keys))
    rng = np.random.default_rng(3)
    for cell in range(15):
        members = np.flatnonzero(labels * 3 + attributes == cell) if SIZES.ravel()[cell] >= 40 else np.array([], int)
        for one, other in rng.permutation(members)[: len(members) // 4 * 2].reshape(-1, 2):
            groups[other] = groups[one]
    across = [int(np.flatnonzero(labels == y)[0]) for y in (0, 1, 2)]
    groups[across] = -1
    groups[np.flatnonzero((labels == 0) & (attributes == 0))[50:90]] = -2
    carving = carve(keys, labels, attributes, classes, PLAN, groups)
    assert carving.shortfalls == ()
    for name in ("test-gbl", "test-cbl", "val-glt", "val-cbl"):
        assert len(carving.splits[name]) == len(carve(keys, labels, attributes, classes, PLAN).splits[name])
    for chosen in carving.splits.values():
        inside = set(groups[chosen].tolist())
        outside = np.setdiff1d(np.arange(len(keys)), chosen)
        assert not inside & set(groups[outside].tolist()), "a group is whole or absent"
    everywhere = np.concatenate([carving.splits[name] for name in ("test-gbl", "test-cbl", "val-glt", "val-cbl")])
    assert -2 not in groups[everywhere], "40 images fit no test"


def test_what_copies_make_impossible_is_told() -> None:
    keys, labels, attributes, classes = _images(np.array([[40, 40], [40, 40]]))
    groups = np.arange(160) // 2  # pairs, of which 5 an attribute are odd
    plan = Plan(test_per_cell=5, val_per_class=4, intra=None)
    carving = carve(keys, labels, attributes, classes, plan, groups)
    assert len(carving.splits["test-gbl"]) == 16
    assert carving.shortfalls[0] == (
        "test-gbl: class 0 (c0), attribute 0 lacks 1 of 5 images, because images that stay together do not fit"
    )


def test_natural_attributes_are_a_random_sample_of_the_class() -> None:
    images = _images(np.array([[700, 200, 100]] * 2))
    plan = Plan(test_per_cell=10, test_per_class=200, val_per_class=1, intra=None, seed=4)
    carving = carve(*images, plan)
    counts = _table(*images[:3], carving.splits["test-cbl"], (2, 3))
    assert counts.sum(axis=1).tolist() == [200, 200]
    expected = np.array([690, 190, 90]) / 970 * 200
    # Five deviations of the hypergeometric distribution.
    deviation = np.sqrt(expected * (1 - expected / 200) * (970 - 200) / 969)
    assert (abs(counts - expected) < 5 * deviation).all()
    assert len(carving.splits["train-glt"]) == 2 * (1000 - 30 - 200) - 2 - len(carving.splits["val-glt"])


def test_classes_with_other_numbers_of_attributes() -> None:
    """Two of three attributes: as many images in Test-GBL; a single one, or none: outside."""
    images = _images(np.array([[200, 100, 90, 0], [150, 0, 140, 0], [300, 0, 0, 0], [0, 0, 0, 200]]))
    carving = carve(*images, Plan(test_per_cell=20, val_per_class=5))
    counts = _table(*images[:3], carving.splits["test-gbl"], (4, 4))
    assert counts.tolist() == [[20, 20, 20, 0], [30, 0, 30, 0], [0] * 4, [0] * 4]
    assert carving.outside_gbl == (2, 3)
    assert np.bincount(images[1][carving.splits["test-cbl"]]).tolist() == [60] * 4
    assert carve(*images, Plan(test_per_cell=20, val_per_class=5, min_per_cell=91)).outside_gbl == (0, 2, 3)


def test_every_class_is_trained_on_however_long_the_tail() -> None:
    images = _images(np.array([[70, 20, 20]] * 4))
    carving = carve(*images, Plan(test_per_cell=1, val_per_class=1, profile=[50, 9, 1, 1], train_cbl_per_class=10))
    assert np.bincount(images[1][carving.splits["train-glt"]], minlength=4).tolist() == [50, 7, 1, 1]
    assert np.bincount(images[1][carving.splits["train-cbl"]]).tolist() == [10] * 4
    assert np.bincount(images[1][carving.splits["val-glt"]]).tolist() == [3, 1, 1, 1]


def test_small_classes_are_listed() -> None:
    sizes = SIZES.copy()
    sizes[1], sizes[3] = [10, 5, 2], [20, 10, 10]
    images = _images(sizes)
    lines = find_small_classes(*images[1:], PLAN)
    assert [line.split(";")[0] for line in lines] == [
        "class 1 (c1) has 17 images, but 42 are needed: 0 for Test-GBL, 30 for Test-CBL, 10 for val-CBL, 1 for val-GLT "
        "and 1 to train on",
        "class 3 (c3) has 40 images, but 42 are needed: 0 for Test-GBL, 30 for Test-CBL, 10 for val-CBL, 1 for val-GLT "
        "and 1 to train on",
    ]
    with pytest.raises(UserInputError, match=r"class 1 .*leave the class out .and 1 classes more"):
        carve(*images, PLAN)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"test_per_cell": 0}, "test_per_cell=0 must be an integer of at least 1"),
        ({"test_per_class": 2.5}, "test_per_class=2.5 must be"),
        ({"intra": (1, 2, 7)}, r"intra=\(1, 2, 7\) must be positive integers from the most frequent"),
        ({"intra": ()}, "intra="),
        ({"profile": "exp:2"}, "profile='exp:2' must be 'natural', 'exp:MU'"),
        ({"profile": "exp"}, "profile='exp' must be"),
        ({"profile": "steep"}, "profile='steep' must be"),
        ({"profile": [3, 2]}, "profile has 2 sizes, expected one positive integer for each of the 5 classes"),
        ({"profile": [3, 4, 2, 1, 1]}, "profile has 5 sizes"),
        ({"profile": [3, 2, 2, 1, 0]}, "profile has 5 sizes"),
    ],
)
def test_settings_out_of_range(changes: dict[str, Any], message: str) -> None:
    with pytest.raises(UserInputError, match=message):
        carve(*_images(), Plan(**{**PLAN.__dict__, **changes}))


def test_inputs_out_of_range() -> None:
    keys, labels, attributes, classes = _images()
    with pytest.raises(UserInputError, match="labels run from 0 to 4, expected 0 to 3"):
        carve(keys, labels, attributes, classes[:4], PLAN)
    with pytest.raises(UserInputError, match="attributes run from -2 to 2, expected -1"):
        carve(keys, labels, np.where(attributes == 1, -2, attributes), classes, PLAN)
    with pytest.raises(UserInputError, match="labels are float64"):
        carve(keys, labels / 1, attributes, classes, PLAN)
    with pytest.raises(UserInputError, match=r"image '00000\.jpg' is listed twice"):
        carve([keys[0], *keys[:-1]], labels, attributes, classes, PLAN)
    with pytest.raises(UserInputError, match="3 groups are given for"):
        carve(keys, labels, attributes, classes, PLAN, [0, 1, 2])


def test_a_draw_is_uniform() -> None:
    """Each image is drawn equally often over seeds."""
    keys = [f"{i}" for i in range(8)]
    drawn = Counter(
        int(index)
        for seed in range(800)
        for index in GroupDraw(keys, None, seed).draw("test", np.zeros(8, dtype=int), np.array([2]))
    )
    # 200 times each, with a deviation of sqrt(800 * 1/4 * 3/4) = 12.2.
    assert all(abs(drawn[index] - 200) < 5 * 12.2 for index in range(8))


def test_groups_of_classes() -> None:
    assert Counter(class_groups(np.arange(1000))) == {0: 400, 1: 450, 2: 150}
    assert class_groups(np.array([2, 0, 1, 4, 3])) == (0, 1, 0, 2, 1)
