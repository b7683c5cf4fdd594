from __future__ import annotations

import logging
import os
from pathlib import Path

import pytest
from mmengine.logging import MMLogger

from lt_plugins.datasets.image_list_dataset import ImageListDataset
from lt_plugins.datasets.labels import get_class_names
from lt_plugins.datasets.transforms import LoadImage
from lt_plugins.errors import UserInputError
from tests.miniatures import write_image


@pytest.fixture
def root(tmp_path: Path) -> Path:
    for i, name in enumerate(["zebra/2.webp", "ant/b.PNG", "ant/deep/a.jpg", "cow/1.jpeg"]):
        write_image(tmp_path / "train" / name, seed=i)
    (tmp_path / "train/ant/readme.txt").write_text("not an image")
    (tmp_path / "train/.cache").mkdir()
    return tmp_path


def _paths(dataset: ImageListDataset, root: Path) -> list[tuple[str, int]]:
    infos = [dataset.get_data_info(i) for i in range(len(dataset))]
    return [(Path(info["img_path"]).relative_to(root).as_posix(), info["gt_label"]) for info in infos]


def test_labels_follow_the_sorted_folders(root: Path) -> None:
    dataset = ImageListDataset(data_root=str(root), data_prefix="train")
    assert _paths(dataset, root / "train") == [
        ("ant/b.PNG", 0),
        ("ant/deep/a.jpg", 0),
        ("cow/1.jpeg", 1),
        ("zebra/2.webp", 2),
    ]
    assert dataset.metainfo["classes"] == ("ant", "cow", "zebra")


def test_names_fix_the_labels(root: Path) -> None:
    dataset = ImageListDataset(data_root=str(root), data_prefix="train", classes=["zebra", "bee", "ant", "cow"])
    assert dataset.get_gt_labels().tolist() == [0, 2, 2, 3]


def test_says_what_is_wrong(root: Path) -> None:
    with pytest.raises(UserInputError, match=r"nowhere not found; set data_root to the folder that holds nowhere/"):
        ImageListDataset(data_root=str(root), data_prefix="nowhere")
    with pytest.raises(UserInputError, match=r"cow is not one of the 2 classes"):
        ImageListDataset(data_root=str(root), data_prefix="train", classes=["ant", "zebra"])
    with pytest.raises(UserInputError, match=r"no images in .*; expected .*/<class>/<image> ending in one of .gif"):
        ImageListDataset(data_root=str(root), data_prefix="train", extensions=[".gif"])


def test_files_left_out_are_counted_and_named_once(root: Path, caplog: pytest.LogCaptureFixture) -> None:
    for name in ("ant/1.heic", "cow/2.HEIC", "cow/noending", "loose.png", "ant/.DS_Store", ".git/config"):
        (root / "train" / name).parent.mkdir(exist_ok=True)
        (root / "train" / name).write_bytes(b"x")
    logger = MMLogger.get_current_instance()
    logger.addHandler(caplog.handler)
    try:
        with caplog.at_level(logging.WARNING):
            dataset = ImageListDataset(data_root=str(root), data_prefix="train")
    finally:
        logger.removeHandler(caplog.handler)
    assert [record.getMessage() for record in caplog.records] == [
        f"{root}/train: 5 files left out: 2 .heic (ant/1.heic), 1 without an ending (cow/noending), "
        "1 .png (loose.png), 1 .txt (ant/readme.txt)"
    ]
    assert len(dataset) == 4


@pytest.mark.parametrize("name", ["x.jpe", "x.JFIF", "x.gif", "x.avif", "x.jp2", "x.dib"])
def test_more_formats(root: Path, name: str) -> None:
    (root / "train/ant" / name).write_bytes(b"")
    assert len(ImageListDataset(data_root=str(root), data_prefix="train")) == 5


def test_hidden_copies_are_left_out(root: Path) -> None:
    write_image(root / "train/ant/.ipynb_checkpoints/b.png", seed=0)
    write_image(root / "train/ant/deep/.b.png", seed=0)
    assert len(ImageListDataset(data_root=str(root), data_prefix="train")) == 4


@pytest.mark.parametrize(
    ("link", "target"),
    [("ant/up", ".."), ("ant/self", "."), ("ant/top", "../.."), ("loop", "."), ("ant/deep/back", "../../cow/there")],
)
def test_links_in_a_circle(root: Path, link: str, target: str) -> None:
    (root / "train/cow/there").symlink_to("../ant")
    (root / "train" / link).symlink_to(target)
    with pytest.raises(UserInputError, match=r"folder .* is a link to .*, which contains it, .*; remove the link"):
        ImageListDataset(data_root=str(root), data_prefix="train")


def test_links_elsewhere_are_followed(root: Path) -> None:
    write_image(root / "far/1.png", seed=0)
    (root / "train/ant/far").symlink_to(root / "far")
    (root / "train/bee").symlink_to(root / "far")
    (root / "linked").symlink_to("train")
    dataset = ImageListDataset(data_root=str(root), data_prefix="linked")
    assert _paths(dataset, root / "linked")[2:4] == [("ant/far/1.png", 0), ("bee/1.png", 1)]


def test_what_is_called_like_an_image_is_one(root: Path) -> None:
    """So that check.py and training name it, instead of a silently smaller class."""
    (root / "train/cow/a.png").symlink_to("nowhere.png")
    (root / "train/cow/b.png").mkdir()
    os.mkfifo(root / "train/cow/c.png")
    (root / "train/cow/me").symlink_to("me")
    dataset = ImageListDataset(data_root=str(root), data_prefix="train")
    assert [path for path, label in _paths(dataset, root / "train") if label == 1] == [
        f"cow/{name}" for name in ("1.jpeg", "a.png", "b.png", "c.png")
    ]


def test_names_that_are_not_utf8(root: Path) -> None:
    write_image(root / "x.png", seed=0)
    folder = os.fsencode(root / "train") + b"/caf\xe9"
    os.mkdir(folder)  # noqa: PTH102
    (root / "x.png").rename(os.fsdecode(folder + b"/\xff.png"))
    dataset = ImageListDataset(data_root=str(root), data_prefix="train")
    assert get_class_names(dataset) == ("ant", r"caf\udce9", "cow", "zebra")
    "".join(get_class_names(dataset)).encode()  # as every report does
    assert LoadImage()(dataset.get_data_info(2))["img"].shape == (40, 48, 3)
    with pytest.raises(UserInputError, match=r"folder .*caf\\udce9 is not one of the 3 classes"):
        ImageListDataset(data_root=str(root), data_prefix="train", classes=["ant", "cow", "zebra"])


def test_labels_follow_the_training_folders(root: Path) -> None:
    for i, name in enumerate(["ant", "zebra"]):
        write_image(root / "val" / name / "1.png", seed=i)
    dataset = ImageListDataset(data_root=str(root), data_prefix="val", class_folder="train")
    assert dataset.metainfo["classes"] == ("ant", "cow", "zebra")
    assert dataset.get_gt_labels().tolist() == [0, 2]
    (root / "val/bee").mkdir()
    with pytest.raises(UserInputError, match=r"val/bee is not one of the 3 classes; .* or add it to train/ or classes"):
        ImageListDataset(data_root=str(root), data_prefix="val", class_folder="train")


def test_testing_needs_no_training_folder(root: Path) -> None:
    dataset = ImageListDataset(data_root=str(root), data_prefix="train", class_folder="nowhere")
    assert dataset.metainfo["classes"] == ("ant", "cow", "zebra")


def test_classes_as_text(root: Path) -> None:
    (root / "names.txt").write_bytes(b"\xef\xbb\xbfzebra\r\nant\r\ncow\r\n")
    dataset = ImageListDataset(data_root=str(root), data_prefix="train", classes=str(root / "names.txt"))
    assert dataset.metainfo["classes"] == ("zebra", "ant", "cow")
    for kwargs in ({"classes": "dog"}, {"metainfo": {"classes": "dog"}}):
        with pytest.raises(UserInputError, match=r"file dog not found; .*classes=\['cat'\] for a single one"):
            ImageListDataset(data_root=str(root), data_prefix="train", **kwargs)
    with pytest.raises(UserInputError, match=r"classes=3 must be a list of names"):
        ImageListDataset(data_root=str(root), data_prefix="train", classes=3)
    with pytest.raises(UserInputError, match=r"classes names 'ant' twice"):
        ImageListDataset(data_root=str(root), data_prefix="train", classes=["ant", "cow", "zebra", "ant"])
