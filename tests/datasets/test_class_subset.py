"""A subset of the classes keeps labels and names of all of them, and is counted in the training set."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from lt_plugins.datasets.class_names import named_classes
from lt_plugins.datasets.class_subset import ClassSubset, kept_classes
from lt_plugins.datasets.fingerprint import fingerprint_dataset
from lt_plugins.datasets.indexed_dataset import IndexedDataset
from lt_plugins.datasets.labels import get_class_counts, get_labels
from lt_plugins.datasets.pipelines import replace_pipeline
from lt_plugins.errors import UserInputError
from tests.datasets.arrays import ArrayDataset, identity

COUNTS = [30, 101, 20, 100, 5, 19, 21, 99]
LABELS = np.random.default_rng(0).permutation(np.repeat(np.arange(8), COUNTS))
# Released by LFME: many are 100 images or more, few 20 or fewer.
GROUPS = {(100, 20): ([1], [0, 2, 3, 6, 7], [4, 5]), (99, 21): ([1, 3], [0, 6, 7], [2, 4, 5])}


def whole(labels: Any = LABELS) -> ArrayDataset:
    return ArrayDataset(list(labels), num_classes=8)


@pytest.mark.parametrize("thresholds", GROUPS)
def test_groups_by_the_number_of_images(thresholds: tuple[int, int]) -> None:
    many, few = thresholds
    for name, classes in zip(("many", "medium", "few"), GROUPS[thresholds], strict=True):
        subset = ClassSubset(whole(), name, many_threshold=many, few_threshold=few)
        assert subset.kept.tolist() == classes
        expected = [index for index, label in enumerate(LABELS) if label in classes]
        assert subset.indices.tolist() == expected, "in the order of the whole dataset"
        assert get_class_counts(subset, 8).tolist() == [COUNTS[c] if c in classes else 0 for c in range(8)]


def test_labels_and_names_are_those_of_the_whole_dataset() -> None:
    subset = ClassSubset(whole(), [4, 1])
    assert subset.kept.tolist() == [1, 4]
    assert {*get_labels(subset).tolist()} == {1, 4}
    assert named_classes(subset) == named_classes(whole()) == tuple(f"c{label}" for label in range(8))
    for position in (0, 17, len(subset) - 1):
        sample = subset[position]
        assert sample["sample_idx"] == position
        assert identity(sample) == subset.indices[position]
        assert LABELS[identity(sample)] == sample["gt_label"]


def test_validation_images_are_grouped_by_the_training_set() -> None:
    """Where all classes are of one size."""
    validation = whole(np.repeat(np.arange(8), 3))
    subset = ClassSubset(validation, "few", counted_in=whole())
    assert get_class_counts(subset, 8).tolist() == [0, 0, 0, 0, 3, 3, 0, 0]
    assert ClassSubset(validation, "few").kept.tolist() == [*range(8)], "counted in itself"


def test_is_found_through_wrappers_and_survives_another_pipeline() -> None:
    subset = ClassSubset(whole(), "few")
    wrapped = replace_pipeline(IndexedDataset(subset), [lambda sample: {**sample, "seen": True}])
    kept = kept_classes(wrapped)
    assert kept is not None
    assert kept.tolist() == [4, 5]
    assert wrapped[3]["seen"]
    assert len(wrapped) == 24
    assert kept_classes(whole()) is None


def test_another_subset_is_another_dataset() -> None:
    parts = [ClassSubset(whole(), name) for name in ("many", "few")]
    assert len({fingerprint_dataset(part) for part in (*parts, whole())}) == 3
    assert fingerprint_dataset(ClassSubset(whole(), [5, 4])) == fingerprint_dataset(parts[1])


@pytest.mark.parametrize(
    ("arguments", "line"),
    [
        ({"keep": "rare"}, r"keep='rare' of ClassSubset must be one of many, medium, few, or a list of labels"),
        ({"keep": []}, r"keep=\[\] of ClassSubset must be labels from 0 to 7, at least one"),
        ({"keep": [3, 8]}, r"keep=\[3, 8\] of ClassSubset must be labels from 0 to 7"),
        ({"keep": [-1]}, r"keep=\[-1\] of ClassSubset must be labels from 0 to 7"),
        (
            {"keep": "many", "many_threshold": 200},
            r"no class is many-shot by many_threshold=200 and few_threshold=20, its classes have 5 to 101 images",
        ),
        ({"keep": "few", "few_threshold": 101}, r"few_threshold=101 and many_threshold=100 must satisfy"),
    ],
)
def test_errors(arguments: dict[str, Any], line: str) -> None:
    with pytest.raises(UserInputError, match=line):
        ClassSubset(whole(), **arguments)


def test_no_image_of_its_classes() -> None:
    with pytest.raises(UserInputError, match=r"none of the 3 images is of the 1 classes that keep='many' names"):
        ClassSubset(whole([0, 4, 5]), "many", counted_in=whole())
