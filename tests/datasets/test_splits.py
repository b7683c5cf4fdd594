"""A split is stratified, keeps an image of each class in training, and follows from the seed and the names alone."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from lt_plugins.datasets.image_list_dataset import ImageListDataset
from lt_plugins.datasets.labels import get_class_counts, get_labels
from lt_plugins.datasets.split_dataset import SplitDataset
from lt_plugins.datasets.splits import describe_split, split_sizes, split_validation
from lt_plugins.errors import UserInputError
from tests.datasets.arrays import ArrayDataset, identity

LABELS = np.repeat([0, 1, 2, 3, 5], [50, 10, 4, 2, 1])
KEYS = [f"{label}/{index}.png" for index, label in enumerate(LABELS)]


@pytest.mark.parametrize(
    ("fraction", "expected"),
    [
        (0.2, [0, 0, 1, 1, 1, 1, 2, 10]),
        (0.5, [0, 0, 1, 2, 2, 3, 5, 25]),
        (0.99, [0, 0, 1, 2, 3, 4, 9, 49]),
        (0.01, [0, 0, 1, 1, 1, 1, 1, 1]),
    ],
)
def test_sizes(fraction: float, expected: list[int]) -> None:
    assert split_sizes(np.array([0, 1, 2, 3, 4, 5, 10, 50]), fraction).tolist() == expected


@pytest.mark.parametrize("fraction", [0, 1, -0.1, 1.5, "a", True, float("nan")])
def test_no_fraction(fraction: float) -> None:
    with pytest.raises(UserInputError, match=r"val_fraction=.* must be a number above 0 and below 1"):
        split_sizes(np.array([3]), fraction)


@pytest.mark.parametrize("fraction", [0.05, 0.2, 0.7])
def test_every_class_gives_its_share(fraction: float) -> None:
    chosen = split_validation(LABELS, KEYS, fraction, seed=3)
    counts = np.bincount(LABELS)
    np.testing.assert_array_equal(np.bincount(LABELS[chosen], minlength=6), split_sizes(counts, fraction))
    assert (np.bincount(LABELS[~chosen], minlength=6)[counts > 0] >= 1).all()


def test_another_seed_is_another_split_and_the_same_is_the_same() -> None:
    one, other, again = (split_validation(LABELS, KEYS, 0.2, seed) for seed in (0, 1, 0))
    np.testing.assert_array_equal(one, again)
    assert (one != other).any()


def test_the_order_of_the_images_does_not_matter() -> None:
    order = np.random.default_rng(0).permutation(len(LABELS))
    chosen = split_validation(LABELS, KEYS, 0.3, 0)
    np.testing.assert_array_equal(split_validation(LABELS[order], [KEYS[k] for k in order], 0.3, 0), chosen[order])


def test_a_new_image_moves_at_most_one_other_of_its_class() -> None:
    before = split_validation(LABELS, KEYS, 0.2, 0)
    for number in range(20):
        after = split_validation(np.append(LABELS, 1), [*KEYS, f"1/new{number}.png"], 0.2, 0)
        changed = np.flatnonzero(before != after[:-1])
        assert len(changed) <= 1 and (LABELS[changed] == 1).all()


def test_which_images_are_chosen_never_changes() -> None:
    """Runs of earlier versions are resumed and tested with it."""
    assert np.flatnonzero(split_validation(LABELS[:60], KEYS[:60], 0.1, 0)).tolist() == [9, 13, 18, 24, 47, 50]


def test_one_line_says_what_came_out() -> None:
    chosen = split_validation(LABELS, KEYS, 0.2, 7)
    line = describe_split(LABELS, chosen, [f"c{k}" for k in range(6)], 0.2, 7)
    assert line == (
        "no validation part is given, so 20 % of each class is split off (seed 7): 53 training and 14 validation "
        "images; 1 class has a single image, which stays in training, and is not measurable: c5"
    )
    many = np.arange(30)
    line = describe_split(np.append(many, 0), np.eye(31, dtype=bool)[0], [f"c{k}" for k in range(30)], 0.2, 0)
    assert "29 classes have a single image" in line and line.endswith("not measurable: c1, c2, c3, c4, c5, ...")


# ------------------------------------------------------------------------------------------------------- the dataset


def test_parts_of_a_dataset() -> None:
    whole = ArrayDataset(LABELS.tolist(), num_classes=6)
    train, val = (SplitDataset(whole, part) for part in ("train", "val"))
    images = [sorted(identity(part[k]) for k in range(len(part))) for part in (train, val)]
    assert sorted(images[0] + images[1]) == list(range(len(LABELS)))
    assert get_class_counts(val, 6).tolist() == [10, 2, 1, 1, 0, 0]
    assert get_class_counts(train, 6).tolist() == [40, 8, 3, 1, 0, 1]
    assert [train[k]["sample_idx"] for k in range(len(train))] == list(range(len(train)))
    assert train.metainfo["classes"] == val.metainfo["classes"]


def write_folders(root: Path, sizes: dict[str, int]) -> None:
    """Class folders with gray images."""
    for name, size in sizes.items():
        (root / name).mkdir(parents=True)
        for number in range(size):
            Image.new("L", (8, 8), number).save(root / name / f"{number}.png")


def test_the_split_moves_with_its_folder(tmp_path: Path) -> None:
    write_folders(tmp_path / "here", {"ant": 9, "bee": 3, "cat": 1})
    write_folders(tmp_path / "there/deeper", {"ant": 9, "bee": 3, "cat": 1})
    found = []
    for root in (tmp_path / "here", tmp_path / "there/deeper"):
        val = SplitDataset(ImageListDataset(data_root=str(root)), "val", seed=2)
        found.append([Path(val.get_data_info(k)["img_path"]).relative_to(root) for k in range(len(val))])
        assert get_labels(val).tolist() == [0, 0, 1]
    assert found[0] == found[1]


def test_mistakes(tmp_path: Path) -> None:
    whole = ArrayDataset([0, 1, 2], num_classes=3)
    with pytest.raises(UserInputError, match="ArrayDataset: no class has two images, so none can be split off"):
        SplitDataset(whole, "train")
    with pytest.raises(UserInputError, match="part='test' of SplitDataset must be 'train' or 'val'"):
        SplitDataset(whole, "test")  # type: ignore[arg-type]
    write_folders(tmp_path, {"ant": 1, "bee": 1})
    with pytest.raises(UserInputError, match=f"{tmp_path}.*: no class has two images"):
        SplitDataset(ImageListDataset(data_root=str(tmp_path)), "train")


def test_images_that_are_no_files() -> None:
    """Those of CIFAR and digits are split by their number; mmpretrain's CIFAR has no folder of images to ask for."""

    class Arrays(ArrayDataset):
        @property
        def img_prefix(self) -> str:
            raise KeyError("img_path")

    whole = Arrays(LABELS.tolist(), num_classes=6)
    val = SplitDataset(whole, "val")
    expected = split_validation(LABELS, [str(index) for index in range(len(LABELS))], 0.2, 0)
    assert val.indices.tolist() == np.flatnonzero(expected).tolist()
    with pytest.raises(UserInputError, match="Arrays: no class has two images"):
        SplitDataset(Arrays([0, 1], num_classes=2), "val")
