"""Labels must mean the same class in all datasets and in the checkpoint."""

from __future__ import annotations

from typing import Any

import pytest
from mmengine.dataset import ConcatDataset, RepeatDataset

from lt_plugins.datasets.class_names import check_same_classes, checkpoint_classes, leaf_classes, named_classes
from lt_plugins.datasets.indexed_dataset import IndexedDataset
from lt_plugins.datasets.long_tail_dataset import LongTailDataset
from lt_plugins.errors import UserInputError
from tests.datasets.arrays import ArrayDataset


@pytest.mark.parametrize(
    ("names", "difference"),
    [
        ("bac", "label 0 is 'a' in one and 'b' in two;"),
        ("abd", "label 2 is 'c' in one and 'd' in two;"),
        ("ab", r"label 2 is 'c' in one and no class in two \(3 and 2 classes\);"),
        ("abcd", r"label 3 is no class in one and 'd' in two \(3 and 4 classes\);"),
        ("bcd", "label 0 is 'a' in one and 'b' in two;"),
        ("ABC", "label 0 is 'a' in one and 'A' in two;"),
    ],
)
def test_names_the_first_difference(names: str, difference: str) -> None:
    with pytest.raises(UserInputError, match=f"^{difference}.*allow_renamed_classes=True"):
        check_same_classes({"one": tuple("abc"), "without names": None, "two": tuple(names)})


def test_equal_names_and_none_at_all_pass() -> None:
    check_same_classes({"one": tuple("abc"), "two": list("abc"), "a list": None})
    check_same_classes({"one": None, "two": tuple("abc")})
    check_same_classes({})


def test_through_wrappers() -> None:
    data = ArrayDataset([0, 1, 1], num_classes=2)
    for wrapped in (data, RepeatDataset(data, 3), IndexedDataset(data), LongTailDataset(data, 1.0, max_count=1)):
        assert named_classes(wrapped) == ("c0", "c1")
    assert named_classes(ArrayDataset([0, 1])) is None


def test_joined_data_sets_are_all_looked_at() -> None:
    one, other = ArrayDataset([0], num_classes=2), ArrayDataset([0], classes=["c1", "c0"])
    joined = IndexedDataset(ConcatDataset([one, other], ignore_keys="classes"))
    with pytest.raises(UserInputError, match="label 0 is 'c0' in the train dataset and 'c1' in part 2 of the train"):
        check_same_classes(leaf_classes("the train dataset", joined))


@pytest.mark.parametrize(
    ("checkpoint", "expected"),
    [
        ({"meta": {"dataset_meta": {"classes": ["a", "b"]}}}, ("a", "b")),
        ({"meta": {"dataset_meta": {}}}, None),
        ({"meta": {"dataset_meta": None}}, None),
        ({"meta": {"dataset_meta": {"classes": "ab"}}}, None),
        ({"meta": None}, None),
        ({"state_dict": {}}, None),
    ],
)
def test_of_a_checkpoint(checkpoint: dict[str, Any], expected: tuple[str, ...] | None) -> None:
    assert checkpoint_classes(checkpoint) == expected
