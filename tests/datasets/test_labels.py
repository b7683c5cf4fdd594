"""Labels, counts, names and pipelines through wrappers, against lists that are wrapped by hand."""

from __future__ import annotations

import gc
import pickle
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from mmengine.dataset import ClassBalancedDataset, Compose, ConcatDataset, RepeatDataset
from mmpretrain.datasets import KFoldDataset
from mmpretrain.registry import DATASETS
from torch.utils.data import ConcatDataset as TorchConcatDataset
from torch.utils.data import Subset

from lt_plugins.datasets import label_cache
from lt_plugins.datasets.indexed_dataset import IndexedDataset
from lt_plugins.datasets.labels import get_class_counts, get_class_names, get_labels
from lt_plugins.datasets.leaf_table import build_leaf_table
from lt_plugins.datasets.long_tail_dataset import LongTailDataset
from lt_plugins.datasets.pipelines import replace_pipeline
from lt_plugins.errors import UserInputError
from tests.datasets.arrays import ArrayDataset, identity

# A dataset, and the (image, label) pairs that iterating over it must give.
Wrapped = tuple[Any, list[tuple[int, int]]]


def _leaf(labels: list[int], offset: int) -> Wrapped:
    return ArrayDataset(labels, offset), [(offset + i, label) for i, label in enumerate(labels)]


def _subset(inner: Wrapped, picks: list[int]) -> Wrapped:
    picks = [pick % len(inner[1]) for pick in picks]
    return Subset(inner[0], picks), [inner[1][pick] for pick in picks]


def _indexed(inner: Wrapped, picks: list[int]) -> Wrapped:
    picks = [pick % len(inner[1]) for pick in picks]
    return IndexedDataset(_with_full_init(inner[0]), picks), [inner[1][pick] for pick in picks]


def _repeat(inner: Wrapped, times: int) -> Wrapped:
    wrapper = RepeatDataset.__new__(RepeatDataset)  # its __init__ takes nothing but a BaseDataset
    wrapper.dataset, wrapper.times, wrapper._ori_len = inner[0], times, len(inner[1])
    wrapper._metainfo, wrapper._fully_initialized = {}, True
    return wrapper, inner[1] * times


def _concat(parts: list[Wrapped]) -> Wrapped:
    return TorchConcatDataset([part[0] for part in parts]), [pair for part in parts for pair in part[1]]


def _with_full_init(dataset: Any) -> Any:
    """torch's wrappers lack what mmengine's runner and ours call."""
    if not hasattr(dataset, "full_init"):
        dataset.full_init = lambda: None
    return dataset


def _nested() -> st.SearchStrategy[Wrapped]:
    leaves = st.builds(_leaf, st.lists(st.integers(0, 4), min_size=1, max_size=6), st.integers(0, 1000))
    picks = st.lists(st.integers(0, 100), min_size=1, max_size=8)
    return st.recursive(
        leaves,
        lambda inner: st.one_of(
            st.builds(_subset, inner, picks),
            st.builds(_indexed, inner, picks),
            st.builds(_repeat, inner, st.integers(1, 3)),
            st.builds(_concat, st.lists(inner, min_size=1, max_size=3)),
        ),
        max_leaves=5,
    )


@settings(deadline=None, max_examples=150)
@given(_nested())
def test_any_nesting(wrapped: Wrapped) -> None:
    dataset, expected = wrapped
    assert [(identity(dataset[i]), dataset[i]["gt_label"]) for i in range(len(dataset))] == expected
    labels = get_labels(dataset)
    assert labels.dtype == np.int64
    assert labels.tolist() == [label for _, label in expected]
    table = build_leaf_table(dataset)
    found = [table.leaves[leaf][int(i)] for leaf, i in zip(table.leaf_of, table.index_in_leaf, strict=True)]
    assert [identity(sample) for sample in found] == [image for image, _ in expected]


def _mark(sample: dict) -> dict:
    return {**sample, "marked": True}


@settings(deadline=None, max_examples=75)
@given(_nested())
def test_replace_pipeline_of_any_nesting(wrapped: Wrapped) -> None:
    dataset, expected = wrapped
    other = replace_pipeline(dataset, [_mark])
    assert type(other) is type(dataset)
    assert [identity(other[i]) for i in range(len(other))] == [image for image, _ in expected]
    assert all(other[i]["marked"] for i in range(len(other)))
    assert not any("marked" in dataset[i] for i in range(len(dataset)))


def _kfold() -> Any:
    return KFoldDataset({"type": "ArrayDataset", "labels": [0, 1, 2, 3, 4, 5]}, fold=1, num_splits=3, seed=3)


def _balanced() -> Any:
    return ClassBalancedDataset(ArrayDataset([0, 0, 0, 0, 0, 0, 0, 1]), oversample_thr=0.9)


def _kfold_of_long_tail() -> Any:
    inner = {"type": "ArrayDataset", "labels": np.repeat([0, 1, 2], 6).tolist(), "num_classes": 3}
    return KFoldDataset({"type": "LongTailDataset", "dataset": inner, "imbalance_factor": 3}, fold=0, num_splits=3)


def _concat_of_openmmlab() -> Any:
    return ConcatDataset([ArrayDataset([2, 1], serialize_data=True), ArrayDataset([0], offset=9)])


@pytest.mark.parametrize("make", [_kfold, _balanced, _kfold_of_long_tail, _concat_of_openmmlab])
def test_wrappers_of_openmmlab(make: Callable[[], Any]) -> None:
    dataset = make()
    samples = [dataset[i] for i in range(len(dataset))]
    assert get_labels(dataset).tolist() == [sample["gt_label"] for sample in samples]
    other = replace_pipeline(dataset, Compose([_mark]))
    assert [identity(other[i]) for i in range(len(other))] == [identity(sample) for sample in samples]
    assert all(other[i]["marked"] for i in range(len(other)))
    for leaf, twin in zip(build_leaf_table(dataset).leaves, build_leaf_table(other).leaves, strict=True):
        assert twin.data_list is leaf.data_list, "the annotations must be shared"
        assert not leaf.serialize_data or twin.data_bytes is leaf.data_bytes


def test_counts_of_absent_classes() -> None:
    counts = get_class_counts(RepeatDataset(ArrayDataset([0, 3, 3]), times=2), 6)
    assert counts.tolist() == [1, 0, 0, 2, 0, 0], "a repeated image counts once"
    assert counts.dtype.is_signed


@pytest.mark.parametrize("serialize", [True, False])
def test_counts_are_of_distinct_images(serialize: bool) -> None:
    def make() -> ArrayDataset:
        return ArrayDataset([0, 0, 0, 0, 0, 0, 0, 1], serialize_data=serialize)

    base = make()
    balanced = ClassBalancedDataset(base, oversample_thr=0.9)
    assert len(balanced) > len(base)
    wrapped = [
        RepeatDataset(base, times=10),
        balanced,
        Subset(base, [*range(8), 7, 7, 7]),
        IndexedDataset(RepeatDataset(base, times=2), [*range(16), 7]),
        TorchConcatDataset([base, base]),
        ConcatDataset([base, replace_pipeline(base, [_mark])]) if serialize else base,
        ConcatDataset([make(), make()]) if serialize else base,
    ]
    assert [get_class_counts(dataset, 2).tolist() for dataset in wrapped] == [[7, 1]] * len(wrapped)
    assert get_class_counts(ConcatDataset([base, ArrayDataset([1], offset=9)]), 2).tolist() == [7, 2]
    assert get_class_counts(Subset(base, [0, 0, 7]), 2).tolist() == [1, 1]


def test_labels_are_read_once(monkeypatch: pytest.MonkeyPatch) -> None:
    dataset = ArrayDataset([2, 0, 1, 1], serialize_data=True)
    assert get_labels(dataset).tolist() == [2, 0, 1, 1]
    with monkeypatch.context() as patch:
        patch.setattr(ArrayDataset, "get_gt_labels", None)  # would fail if it were called
        first = get_labels(RepeatDataset(replace_pipeline(dataset, [_mark]), times=2))
        first[:] = 9  # the caller's own
        assert get_labels(dataset).tolist() == [2, 0, 1, 1]
    subset = dataset.get_subset([3, 0])
    assert get_labels(subset).tolist() == [1, 2]
    assert get_labels(pickle.loads(pickle.dumps(dataset))).tolist() == [2, 0, 1, 1]
    dataset.get_subset_([1])
    assert get_labels(dataset).tolist() == [0]
    assert get_labels(subset).tolist() == [1, 2]


def test_cached_labels_go_with_their_data_set() -> None:
    before = len(label_cache._LABELS)
    dataset = ArrayDataset([0, 1], serialize_data=True)
    get_labels(dataset)
    assert len(label_cache._LABELS) == before + 1
    del dataset
    gc.collect()
    assert len(label_cache._LABELS) <= before


def test_labels_that_are_changed_in_place() -> None:
    dataset = ArrayDataset([0, 1])
    get_labels(dataset)
    dataset.data_list[0]["gt_label"] = 1
    assert get_labels(dataset).tolist() == [1, 1]


def test_counts_refuse_labels_beyond_the_model() -> None:
    with pytest.raises(UserInputError, match=r"labels run from 0 to 3, expected 0 to 2; set num_classes=4"):
        get_class_counts(ArrayDataset([0, 3]), 3)
    with pytest.raises(UserInputError, match="from -1"):
        get_class_counts(ArrayDataset([-1, 0]), 3)


def test_labels_need_a_classification_data_set() -> None:
    with pytest.raises(UserInputError, match="range has no get_gt_labels"):
        get_labels(range(2))


class TorchvisionLike(list):
    """Images, and labels as torchvision's datasets hold them."""

    def __init__(self, labels: Any, name: str = "targets") -> None:
        super().__init__(range(len(labels)))
        setattr(self, name, labels)


@pytest.mark.parametrize(
    "dataset",
    [
        np.array([2, 0, 1], dtype=np.uint8),
        torch.tensor([2, 0, 1]),
        TorchvisionLike([2, 0, 1]),
        TorchvisionLike(torch.tensor([2, 0, 1])),
        TorchvisionLike(np.array([2, 0, 1]), "labels"),
    ],
    ids=["array", "tensor", "list of targets", "tensor of targets", "labels"],
)
def test_labels_without_openmmlab(dataset: Any) -> None:
    assert get_labels(dataset).tolist() == [2, 0, 1]
    assert get_labels(dataset).dtype == np.int64
    assert get_class_counts(dataset, 4).tolist() == [1, 1, 1, 0]
    assert get_labels(TorchConcatDataset([Subset(dataset, [2, 2]), dataset])).tolist() == [1, 1, 2, 0, 1]
    assert get_class_counts(Subset(dataset, [2, 2]), 4).tolist() == [0, 1, 0, 0], "of distinct images"


@pytest.mark.parametrize(
    "labels", [np.array([0.0, 1.0]), np.eye(2, dtype=np.int64), TorchvisionLike(["cat", "dog"])], ids=repr
)
def test_labels_are_one_integer_a_sample(labels: Any) -> None:
    with pytest.raises(
        UserInputError, match=r"labels of \w+ are \S+ of shape .*, expected one integer for each of its 2"
    ):
        get_labels(labels)


def test_names() -> None:
    named = ArrayDataset([0], num_classes=3)
    assert get_class_names(LongTailDataset(ArrayDataset([0, 1, 2], num_classes=3), 1)) == ("c0", "c1", "c2")
    assert get_class_names(Subset(named, [0])) == ("c0", "c1", "c2")
    assert get_class_names(ArrayDataset([0, 2])) == ("0", "1", "2"), "labels where there are no names"


def test_pipeline_configs_are_built() -> None:
    dataset = DATASETS.build({"type": "ArrayDataset", "labels": [0], "pipeline": []})
    packed = replace_pipeline(dataset, [{"type": "PackInputs"}])[0]
    assert packed["inputs"].shape == (3, 2, 2)
    assert packed["data_samples"].sample_idx == 0
