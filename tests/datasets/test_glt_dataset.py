from __future__ import annotations

import pickle
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from lt_plugins.datasets.glt.glt_file import GLTFile, GLTImage, write_glt
from lt_plugins.datasets.glt_dataset import GLTDataset
from lt_plugins.datasets.labels import get_class_counts
from lt_plugins.errors import UserInputError

SPLITS = {
    "train-glt": [GLTImage(f"/old/root/train/{i}.jpg", label, i % 2) for i, label in enumerate([0, 0, 0, 1, 2])],
    "test-cbl": [GLTImage("test/a.jpg", 2, 0), GLTImage("test/b.jpg", 0, 1)],
    "test-gbl": [GLTImage("test/c.jpg", 1, -1)],
}


def _build(folder: Path, **settings: Any) -> GLTDataset:
    if not (folder / "glt.json").exists():
        write_glt(folder / "glt.json", GLTFile(("cat", "dog", "cow"), (0, 1, 2), ("red", "blue"), SPLITS, {}))
    return GLTDataset(**{"ann_file": "glt.json", "data_root": str(folder), **settings})


def test_reads_the_training_split_with_rewritten_paths(tmp_path: Path) -> None:
    dataset = _build(tmp_path, path_replace={"^.*/train/": "train/"}, data_prefix="images")
    assert [dataset.get_data_info(i)["img_path"] for i in range(5)] == [
        f"{tmp_path}/images/train/{i}.jpg" for i in range(5)
    ]
    assert dataset.get_gt_labels().tolist() == [0, 0, 0, 1, 2]
    assert get_class_counts(dataset, 3).tolist() == [3, 1, 1]
    stated = {"classes": ("cat", "dog", "cow"), "splits": ("train-glt",)}
    assert dataset.metainfo == stated, "a checkpoint of the training holds no attributes"
    assert dataset.glt["attribute"].tolist() == [0, 1, 0, 1, 0]


def test_several_splits_after_each_other(tmp_path: Path) -> None:
    dataset = _build(tmp_path, split=["test-cbl", "test-gbl"], test_mode=True)
    for found in (dataset.metainfo["glt"], pickle.loads(pickle.dumps(dataset)).metainfo["glt"]):
        assert found["subset_names"] == ("test-cbl", "test-gbl")
        assert found["subset"].tolist() == [0, 0, 1]
        assert found["attribute"].tolist() == [0, 1, -1]
        assert found["attribute_names"] == ("red", "blue")
        assert found["class_group"].tolist() == [0, 1, 2]
        assert all(found[key].dtype == np.int64 for key in ("subset", "attribute", "class_group"))
    assert dataset.get_gt_labels().tolist() == [2, 0, 1]


def test_a_dataset_that_loads_later(tmp_path: Path) -> None:
    dataset = _build(tmp_path, split="test-gbl", lazy_init=True)
    assert dataset.glt["attribute"].tolist() == [-1]


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"split": "test"}, "split='test' of GLTDataset must be one or more of train-glt, train-cbl"),
        ({"split": []}, "split="),
        ({"split": ["test-gbl", "test-gbl"]}, "split="),
        ({"split": "val-glt"}, "no images of val-glt, only of train-glt, test-cbl, test-gbl; set split of GLTDataset"),
        ({}, "glt.json: '/old/root/train/0.jpg' leaves the data root"),
        ({"ann_file": "nowhere.json"}, "nowhere.json cannot be read as a JSON object .No such file"),
        ({"split": "test-gbl", "classes": ["cat"]}, "classes names 1 classes, but .*glt.json has 3"),
        ({"path_replace": {"(": ""}}, "is no regular expression"),
    ],
)
def test_names_what_is_wrong(tmp_path: Path, settings: dict[str, Any], message: str) -> None:
    with pytest.raises(UserInputError, match=message):
        _build(tmp_path, **settings)


def test_other_names_of_classes(tmp_path: Path) -> None:
    assert _build(tmp_path, split="test-gbl", classes=["x", "y", "z"]).metainfo["classes"] == ("x", "y", "z")
