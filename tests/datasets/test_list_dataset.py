from __future__ import annotations

from pathlib import Path

import pytest

from lt_plugins.datasets import ListDataset
from lt_plugins.errors import UserInputError


def _build(folder: Path, text: str, **kwargs: object) -> ListDataset:
    (folder / "list.txt").write_text(text)
    return ListDataset(**{"ann_file": "list.txt", "data_root": str(folder), "num_classes": 5, **kwargs})  # type: ignore[arg-type]


def test_reads_paths_and_labels(tmp_path: Path) -> None:
    dataset = _build(tmp_path, "train/a/1.jpg 0\ntrain/b/with blank.jpg 4\n\n  val/c.png   2  \n")
    infos = [dataset.get_data_info(i) for i in range(len(dataset))]
    assert [info["img_path"] for info in infos] == [
        f"{tmp_path}/{name}" for name in ("train/a/1.jpg", "train/b/with blank.jpg", "val/c.png")
    ]
    assert dataset.get_gt_labels().tolist() == [0, 4, 2]


def test_rewrites_paths(tmp_path: Path) -> None:
    rules = {r"^train/(.)": r"data_256/\1/\1", r"^val/.*/": "val_256/"}
    dataset = _build(
        tmp_path, "train/airfield/1.jpg 0\nval/airfield/P_1.jpg 1\nother/train/x.jpg 1", path_replace=rules
    )
    names = [Path(dataset.get_data_info(i)["img_path"]).relative_to(tmp_path).as_posix() for i in range(3)]
    assert names == ["data_256/a/airfield/1.jpg", "val_256/P_1.jpg", "other/train/x.jpg"]


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("a.jpg 0\nb.jpg\n", r"list.txt, line 2: 'b.jpg' is not 'relative/path label'"),
        ("a.jpg 0\n\nb.jpg cat\n", r"line 3: 'b.jpg cat' is not"),
        ("a.jpg -1", r"line 1: 'a.jpg -1' is not"),
        ("a.jpg 1.5", r"line 1"),
        ("a.jpg 0\nb.jpg 5", r"line 2: label 5 of b.jpg is not in 0..4; set num_classes"),
        ("\n", r"list.txt is empty"),
    ],
)
def test_names_the_bad_line(tmp_path: Path, text: str, message: str) -> None:
    with pytest.raises(UserInputError, match=message):
        _build(tmp_path, text)


def test_missing_list(tmp_path: Path) -> None:
    with pytest.raises(UserInputError, match=r"nowhere.txt not found; docs/data.md"):
        ListDataset(ann_file="nowhere.txt", data_root=str(tmp_path), num_classes=5)


def test_names_must_fit(tmp_path: Path) -> None:
    assert _build(tmp_path, "a.jpg 1", classes=list("abcde")).metainfo["classes"] == tuple("abcde")
    with pytest.raises(UserInputError, match="names 2 classes, expected num_classes=5"):
        _build(tmp_path, "a.jpg 1", classes=["cat", "dog"])
