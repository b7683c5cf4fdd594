from __future__ import annotations

from pathlib import Path

import pytest

from lt_plugins.datasets import FolderDataset
from lt_plugins.errors import UserInputError
from tests.miniatures import write_image


@pytest.fixture
def root(tmp_path: Path) -> Path:
    for i, name in enumerate(["zebra/2.webp", "ant/b.PNG", "ant/deep/a.jpg", "cow/1.jpeg"]):
        write_image(tmp_path / "train" / name, seed=i)
    (tmp_path / "train/ant/readme.txt").write_text("not an image")
    (tmp_path / "train/.cache").mkdir()
    return tmp_path


def _paths(dataset: FolderDataset, root: Path) -> list[tuple[str, int]]:
    infos = [dataset.get_data_info(i) for i in range(len(dataset))]
    return [(Path(info["img_path"]).relative_to(root).as_posix(), info["gt_label"]) for info in infos]


def test_labels_follow_the_sorted_folders(root: Path) -> None:
    dataset = FolderDataset(data_root=str(root), data_prefix="train")
    assert _paths(dataset, root / "train") == [
        ("ant/b.PNG", 0),
        ("ant/deep/a.jpg", 0),
        ("cow/1.jpeg", 1),
        ("zebra/2.webp", 2),
    ]
    assert dataset.metainfo["classes"] == ("ant", "cow", "zebra")


def test_names_fix_the_labels(root: Path) -> None:
    dataset = FolderDataset(data_root=str(root), data_prefix="train", classes=["zebra", "bee", "ant", "cow"])
    assert dataset.get_gt_labels().tolist() == [0, 2, 2, 3]


def test_says_what_is_wrong(root: Path) -> None:
    with pytest.raises(UserInputError, match=r"nowhere not found; set data_root to the folder that holds nowhere/"):
        FolderDataset(data_root=str(root), data_prefix="nowhere")
    with pytest.raises(UserInputError, match=r"cow is not one of the 2 classes"):
        FolderDataset(data_root=str(root), data_prefix="train", classes=["ant", "zebra"])
    with pytest.raises(UserInputError, match=r"no images in .*; expected .*/<class>/<image> ending in one of .gif"):
        FolderDataset(data_root=str(root), data_prefix="train", extensions=[".gif"])
