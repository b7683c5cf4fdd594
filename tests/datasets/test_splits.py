"""A split is stratified, keeps an image of each class in training, and follows from the seed and the names alone."""

from __future__ import annotations

from hashlib import blake2b
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from mmengine.logging import MMLogger
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
    """Class folders with gray images, no two alike."""
    for name, size in sizes.items():
        (root / name).mkdir(parents=True)
        for number in range(size):
            pixels = np.random.default_rng([*name.encode(), number]).integers(0, 256, (8, 8), dtype=np.uint8)
            Image.fromarray(pixels).save(root / name / f"{number}.png")


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


# ------------------------------------------------------------------------------------------------------------ groups


def slow_split(labels: np.ndarray, keys: list[str], fraction: float, seed: int, groups: np.ndarray) -> np.ndarray:
    """The rule of the docstring, literally."""
    counts = np.bincount(labels)
    wanted = split_sizes(counts, fraction)

    def rank(group: int) -> tuple[bytes, str]:
        name = min(key for key, g in zip(keys, groups, strict=True) if g == group)
        return blake2b(f"{seed}:{name}".encode(), digest_size=8).digest(), name

    order = sorted(set(groups.tolist()), key=rank)
    chosen = np.zeros(len(labels), dtype=bool)
    for group in order:
        trial = chosen | (groups == group)
        if (np.bincount(labels[trial], minlength=len(counts)) <= wanted).all():
            chosen = trial
    for label in range(len(counts)):
        if wanted[label] and not (chosen & (labels == label)).any():
            options = []
            for place, group in enumerate(order):
                some = groups == group
                trial = chosen | some
                stays = np.bincount(labels[~trial], minlength=len(counts))
                if (labels[some] == label).any() and not chosen[some].any() and (stays[labels[some]] > 0).all():
                    options.append((int(some.sum()), place, group))
            if options:
                chosen |= groups == min(options)[2]
    return chosen


@settings(max_examples=60, deadline=None)
@given(st.lists(st.tuples(st.integers(0, 3), st.integers(0, 12)), min_size=2, max_size=40), st.integers(0, 3))
def test_groups_against_a_slow_reference(images: list[tuple[int, int]], seed: int) -> None:
    labels, groups = (np.array(column) for column in zip(*images, strict=True))
    keys = [f"{label}/{index}" for index, label in enumerate(labels)]
    chosen = split_validation(labels, keys, 0.3, seed, groups)
    np.testing.assert_array_equal(chosen, slow_split(labels, keys, 0.3, seed, groups))
    for group in set(groups.tolist()):
        assert len(set(chosen[groups == group].tolist())) == 1, "a group is on one side"
    assert set(labels[~chosen]) == set(labels), "every class keeps an image in training"
    order = np.random.default_rng(0).permutation(len(labels))
    again = split_validation(labels[order], [keys[k] for k in order], 0.3, seed, 100 - groups[order])
    np.testing.assert_array_equal(again, chosen[order])


def test_groups_of_one_are_no_groups() -> None:
    plain = split_validation(LABELS, KEYS, 0.2, 5)
    np.testing.assert_array_equal(split_validation(LABELS, KEYS, 0.2, 5, np.arange(len(LABELS))), plain)
    two = np.append(np.arange(len(LABELS) - 1), len(LABELS) - 3)  # the rarest class with an image of another
    changed = split_validation(LABELS, KEYS, 0.2, 5, two) != plain
    assert not changed[LABELS < 3].any()


def save_photo(path: Path, seed: int, **options: Any) -> None:
    """A smooth image, as photographs are."""
    path.parent.mkdir(parents=True, exist_ok=True)
    small = np.random.default_rng(seed).integers(0, 256, (6, 6, 3), dtype=np.uint8)
    Image.fromarray(small).resize(options.pop("size", (96, 96)), Image.Resampling.BICUBIC).save(path, **options)


def parts_of(root: Path, **options: Any) -> list[set[str]]:
    """Names of the images of both parts."""
    whole = ImageListDataset(data_root=str(root))
    parts = [SplitDataset(whole, part, copies_together=True, **options) for part in ("train", "val")]
    return [
        {str(Path(part.get_data_info(k)["img_path"]).relative_to(root)) for k in range(len(part))} for part in parts
    ]


def test_copies_stay_together(tmp_path: Path) -> None:
    """Equal files, the same photograph at another size and quality, and one that EXIF turns."""
    for name, size in {"ant": 10, "bee": 5}.items():
        for number in range(size):
            save_photo(tmp_path / name / f"{number}.png", 100 * len(name) + number + (name == "bee") * 50)
    exif = Image.Exif()
    exif[0x0112] = 6
    for number in range(10):
        original = tmp_path / f"ant/{number}.png"
        (tmp_path / f"ant/{number}_copy.png").write_bytes(original.read_bytes())
        Image.open(original).resize((70, 70)).save(tmp_path / f"ant/{number}_small.jpg", quality=80)
        Image.open(original).transpose(Image.Transpose.ROTATE_90).save(tmp_path / f"ant/{number}_turned.jpg", exif=exif)
    for seed in range(4):
        train, val = parts_of(tmp_path, seed=seed)
        assert len(train) + len(val) == 45 and len(val) == 8 + 1
        for number in range(10):
            names = {f"ant/{number}{rest}" for rest in (".png", "_copy.png", "_small.jpg", "_turned.jpg")}
            assert names <= train or names <= val


def test_classes_that_are_copies_or_look_alike(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    """Copies of one image cannot be measured; parts in the same frame are told apart by their files alone."""
    for number in range(4):
        save_photo(tmp_path / f"ant/{number}.png", number)
        save_photo(tmp_path / f"copied/{number}.png", 77)
        save_photo(tmp_path / f"framed/{number}.jpg", 88, quality=70 + 5 * number)
    logger = MMLogger.get_current_instance()
    logger.addHandler(caplog.handler)
    try:
        with caplog.at_level("INFO", logger=logger.name):
            val = parts_of(tmp_path)[1]
    finally:
        logger.removeHandler(caplog.handler)
    assert {name.split("/")[0] for name in val} == {"ant", "framed"}
    line = next(record.getMessage() for record in caplog.records if "is split off" in record.getMessage())
    assert "1 class is copies of one image or one group, stay in training, and are not measurable: copied" in line
    assert "4 images in 1 group of copies or the like stay together; all images look alike in: framed" in line


def test_groups_of_a_table_stay_together(tmp_path: Path) -> None:
    rows = []
    for number in range(20):
        save_photo(tmp_path / f"{number}.png", number)
        rows.append(f"{number}.png,{'ant' if number < 12 else 'bee'},patient{number // 2}")
    (tmp_path / "table.csv").write_text("path,label,patient\n" + "\n".join(rows))
    whole = ImageListDataset(data_root=str(tmp_path), ann_file="table.csv", num_classes=2)
    for copies_together in (False, True):
        val = SplitDataset(whole, "val", copies_together=copies_together)
        numbers = sorted(int(Path(val.get_data_info(k)["img_path"]).stem) for k in range(len(val)))
        assert len(numbers) == 2 + 2
        assert numbers[::2] == [number - 1 for number in numbers[1::2]]
