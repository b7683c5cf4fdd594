from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from mmengine.dataset import RepeatDataset
from PIL import Image

from lt_plugins.datasets.image_list_dataset import ImageListDataset
from lt_plugins.datasets.integrity import decode_image, find_conflicts, find_duplicates, find_renamed_class, read_images
from lt_plugins.datasets.long_tail_dataset import LongTailDataset
from tests.datasets.arrays import ArrayDataset
from tests.miniatures import write_image


@pytest.fixture
def root(tmp_path: Path) -> Path:
    for split, first in (("train", 0), ("test", 100)):
        for i in range(6):
            write_image(tmp_path / split / "ab"[i % 2] / f"{i}.{('jpg', 'png', 'webp')[i // 2]}", seed=first + i)
    return tmp_path


def _read(root: Path, split: str) -> list:
    return list(read_images(ImageListDataset(data_root=str(root), data_prefix=split)))


def test_sound_images(root: Path) -> None:
    reports = _read(root, "train")
    assert [report.problem for report in reports] == [""] * 6
    assert [report.label for report in reports] == [0, 0, 0, 1, 1, 1]
    assert len({report.digest for report in reports}) == 6
    assert not find_duplicates(reports, _read(root, "test"))
    assert not find_conflicts(reports)


@pytest.mark.parametrize("keep", [0, 0.3, 0.9])
@pytest.mark.parametrize("name", ["a/0.jpg", "a/2.png", "a/4.webp"])
def test_a_cut_off_file_is_found(root: Path, name: str, keep: float) -> None:
    path = root / "train" / name
    data = path.read_bytes()
    path.write_bytes(data[: int(len(data) * keep)])
    broken = [report for report in _read(root, "train") if report.problem]
    assert [report.name for report in broken] == [str(path)]
    assert broken[0].digest == b""


def test_other_broken_files(root: Path) -> None:
    (root / "train/a/0.jpg").write_text("<html>404 Not Found</html>")
    dataset = ImageListDataset(data_root=str(root), data_prefix="train")
    (root / "train/a/2.png").unlink()
    Image.new("RGB", (4, 4)).save(root / "train/a/4.webp", format="PCX")
    problems = [report.problem for report in read_images(dataset)]
    assert problems[0] == "is in no known image format"
    assert problems[1] == "is missing"
    assert problems[2] == "cannot be decoded by OpenCV (Pillow sees PCX)"
    assert problems[3:] == [""] * 3


def test_duplicates_are_found_by_their_pixels(root: Path) -> None:
    write_image(root / "test/b/same.png", seed=2)  # as train/a/2.png
    write_image(root / "train/b/same.bmp", seed=2)
    train, test = _read(root, "train"), _read(root, "test")
    assert [(Path(a.name).name, Path(b.name).name) for a, b in find_conflicts(train)] == [("2.png", "same.bmp")]
    assert [Path(b.name).name for _, b in find_duplicates(train, test)] == ["same.png"]


def test_wrapped_sets_are_read_once_and_only_what_they_keep() -> None:
    base = ArrayDataset([0] * 4 + [1] * 4)
    for info in base.data_list:
        info["img"] = info["img"].astype(np.uint8)
    dataset = LongTailDataset(base, imbalance_factor=2)
    assert len(list(read_images(dataset))) == 6
    assert len(list(read_images(RepeatDataset(base, times=3)))) == 8


def test_arrays_of_another_kind_are_named() -> None:
    report = next(read_images(ArrayDataset([3])))  # int64
    assert (report.name, report.label) == ("ArrayDataset[0]", 3)
    assert report.problem.startswith("the array holds int64 values from 0 to 0, expected 8 bits a channel")


@pytest.mark.parametrize(
    ("change", "order"),
    [(lambda rgb: rgb[..., ::-1], "bgr"), (lambda rgb: rgb, "rgb"), (lambda rgb: rgb[..., 0], "rgb")],
    ids=["bgr", "rgb", "gray"],
)
def test_arrays_are_compared_as_training_sees_them(change: Callable[..., np.ndarray], order: str) -> None:
    rgb = np.random.default_rng(0).integers(0, 256, (4, 4, 3), dtype=np.uint8)
    if order == "rgb":
        rgb[:] = rgb[..., :1]  # gray: the same in one channel and three
    one, other = ArrayDataset([0]), ArrayDataset([0])
    one.data_list[0].update(img=rgb, channel_order="rgb")
    other.data_list[0].update(img=change(rgb), channel_order=order)
    assert find_duplicates(list(read_images(one)), list(read_images(other)))


def test_renamed_class() -> None:
    one, other = ArrayDataset([0], num_classes=2), ArrayDataset([0], num_classes=3)
    assert find_renamed_class(one, ArrayDataset([0], num_classes=2)) == ""
    assert find_renamed_class(one, other) == "label 2 is no class in one and 'c2' in the other (2 and 3 classes)"
    assert find_renamed_class(one, ArrayDataset([0])) == ""


def test_16_bits_are_read_and_other_widths_named(root: Path) -> None:
    pixels = np.linspace(0, 4095, 48).reshape(6, 8)
    Image.fromarray(pixels.astype(np.uint16)).save(root / "train/a/0.png")
    assert np.array_equal(decode_image(root / "train/a/0.png")[..., 0], (pixels.astype(np.uint16) // 16))
    Image.fromarray(pixels.astype(np.float32)).save(root / "train/a/1.tif")
    problems = [report.problem for report in _read(root, "train") if report.problem]
    assert problems == ["cannot be decoded by OpenCV (Pillow sees TIFF)"]
