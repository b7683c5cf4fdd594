"""Held-out validation images and subsets of the classes become datasets of a config, after its data are chosen."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from mmengine.logging import MMLogger

from lt_plugins.datasets.labels import get_class_counts
from lt_plugins.errors import UserInputError
from lt_plugins.registry import DATASETS
from lt_plugins.runs.config import load_config
from tests.datasets.test_splits import write_folders
from tests.tool_process import ROOT

SIZES = {"ant": 30, "bee": 9, "cat": 2}
DIGITS = str(ROOT / "configs/ce/ce_r32_digits.py")


def counts(overrides: dict[str, Any], data: Path | None = None, spec: str = DIGITS) -> dict[str, list[int]]:
    """Images of each class of the datasets of a config."""
    cfg = load_config(spec, overrides, data=None if data is None else str(data))
    found = {}
    for split in ("train", "val", "test"):
        dataset = DATASETS.build(cfg[f"{split}_dataloader"].dataset)
        found[split] = get_class_counts(dataset, cfg.model.head.num_classes).tolist()
        assert dataset[0]["inputs"].shape[0] == 3
    return found


def test_a_subset_is_counted_in_the_training_set() -> None:
    whole = counts({})
    assert whole["train"] == [124, 80, 51, 33, 21, 14, 9, 5, 3, 2]
    found = counts({"class_subset": {"keep": "medium"}})
    assert found["train"] == [0, 80, 51, 33, 21, 0, 0, 0, 0, 0]
    assert found["val"] == found["test"] == [0, 50, 50, 50, 50, 0, 0, 0, 0, 0]
    assert counts({"class_subset": {"keep": [0, 9]}})["train"] == [124, *[0] * 8, 2]


def test_overrides_and_variants_reach_the_inner_dataset() -> None:
    found = counts({"class_subset": {"keep": "few"}, "train_dataloader.dataset.max_count": 60})
    assert sum(found["train"]) > 0
    assert found["train"][0] == 0
    assert max(found["train"]) < 20


def test_held_out_images_are_taken_from_the_training_set() -> None:
    whole, found = counts({}), counts({"hold_out": {"val_fraction": 0.2}})
    assert found["test"] == whole["test"]
    assert [a + b for a, b in zip(found["train"], found["val"], strict=True)] == whole["train"]
    assert found["val"] == [25, 16, 10, 7, 4, 3, 2, 1, 1, 1]


def test_a_held_out_subset_is_counted_in_what_is_left() -> None:
    found = counts({"hold_out": {"val_fraction": 0.2}, "class_subset": {"keep": "few"}})
    assert found["train"] == [0, 0, 0, 0, 17, 11, 7, 4, 2, 1]
    assert found["val"] == [0, 0, 0, 0, 4, 3, 2, 1, 1, 1]


def test_validation_images_that_are_there_stay(tmp_path: Path) -> None:
    for part in ("train", "val", "test"):
        write_folders(tmp_path / part, SIZES)
    overrides = {"hold_out": {"val_fraction": 0.5}}
    assert counts(overrides, tmp_path) == {split: [30, 9, 2] for split in ("train", "val", "test")}


@pytest.mark.parametrize("parts", [("train", "test"), ("",)])
def test_own_data_without_validation(parts: tuple[str, ...], tmp_path: Path) -> None:
    """With a test set beside the training set, or neither: then a part of a part."""
    for part in parts:
        write_folders(tmp_path / part, SIZES)
    found = counts({"hold_out": {"val_fraction": 0.5}, "class_subset": {"keep": [0, 1]}}, tmp_path)
    test = [30, 9, 0] if "test" in parts else [6, 2, 0]
    left = [30, 9, 2] if "test" in parts else [24, 7, 1]
    assert found["test"] == test
    assert [a + b for a, b in zip(found["train"], found["val"], strict=True)] == [*left[:2], 0]
    assert all(found["val"][:2])


def test_own_data_in_the_config_of_a_run(tmp_path: Path) -> None:
    """Its datasets are wrapped already: an expert stays one, of the same group."""
    write_folders(tmp_path / "data", SIZES)
    cfg = load_config(DIGITS, {"class_subset": {"keep": "few", "few_threshold": 10}})
    cfg.dump(tmp_path / "dumped.py")
    found = counts({}, tmp_path / "data", str(tmp_path / "dumped.py"))
    assert found == {"train": [0, 7, 1], "val": [0, 2, 1], "test": [0, 2, 1]}


@pytest.mark.parametrize(
    ("key", "value", "line"),
    [
        ("class_subset", "few", r"class_subset='few' in the config must be None or like class_subset = dict"),
        ("class_subset", {"many_threshold": 9}, r"names no classes; expected class_subset = dict"),
        ("hold_out", {"fraction": 0.1}, r"hold_out=.* in the config must be None or like hold_out = dict"),
    ],
)
def test_mistakes(key: str, value: Any, line: str) -> None:
    with pytest.raises(UserInputError, match=line):
        load_config(DIGITS, {key: value})


def test_unreadable_images_are_left_out_before_the_split(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    write_folders(tmp_path, SIZES)
    for name in ("ant/3.png", "ant/4.png", "bee/0.png"):
        (tmp_path / name).write_bytes((tmp_path / name).read_bytes()[:40])
    logger = MMLogger.get_current_instance()
    logger.addHandler(caplog.handler)
    try:
        with caplog.at_level("WARNING", logger=logger.name):
            found = counts({"skip_bad": True}, tmp_path)
    finally:
        logger.removeHandler(caplog.handler)
    assert [a + b for a, b in zip(found["train"], found["val"], strict=True)] == [28, 8, 2]
    line = caplog.records[0].getMessage()
    assert line.startswith(f"{tmp_path}: 3 of 41 images cannot be read and are left out: ant/3.png (")
    assert "bee/0.png (" in line
    cfg = load_config(DIGITS, {"skip_bad": True}, data=str(tmp_path))
    assert "skip_bad" not in cfg
    assert cfg.train_dataloader.dataset.dataset.skip_unreadable is True
    for path in (tmp_path / "ant").iterdir():
        path.write_bytes(b"")
    (tmp_path / "bee").rename(tmp_path / ".bee")
    (tmp_path / "cat").rename(tmp_path / ".cat")
    with pytest.raises(UserInputError, match=r"none of its 30 images can be read, like ant/0.png \(is empty\)"):
        counts({"skip_bad": True}, tmp_path)


def test_nothing_to_skip() -> None:
    with pytest.raises(UserInputError, match="--skip-bad is for datasets of image files"):
        load_config(DIGITS, {"skip_bad": True})
