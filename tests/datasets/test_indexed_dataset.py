"""`sample_idx` is the position in the outermost dataset, whatever lies between it and the loader."""

from __future__ import annotations

import functools
from typing import Any

import pytest
from mmengine.dataset import ClassBalancedDataset, ConcatDataset, RepeatDataset, default_collate
from mmengine.registry import init_default_scope
from mmpretrain.registry import DATASETS
from torch.utils.data import DataLoader

from lt_plugins.datasets.indexed_dataset import IndexedDataset
from lt_plugins.datasets.long_tail_dataset import LongTailDataset
from lt_plugins.datasets.pipelines import replace_pipeline
from tests.datasets.arrays import ArrayDataset, identity
from tests.miniatures import make_miniature

PACK = [{"type": "PackInputs"}]
TWO_VIEWS = [
    {"type": "MultiView", "num_views": [1, 1], "transforms": [[{"type": "RandomFlip", "prob": 1.0}], []]},
    {"type": "PackInputs"},
]


@pytest.fixture(autouse=True)
def _scope() -> None:
    init_default_scope("mmpretrain")  # as the runner does; MultiView builds its parts in it


def _positions(dataset: Any, **kwargs: Any) -> list[int]:
    """Read through a data loader, with the collation of the configs."""
    loader = DataLoader(dataset, batch_size=4, collate_fn=default_collate, **kwargs)
    return [sample.sample_idx for batch in loader for sample in batch["data_samples"]]


@pytest.mark.parametrize("pipeline", [PACK, TWO_VIEWS], ids=["one view", "two views"])
@pytest.mark.parametrize(
    "make",
    [
        lambda base: base,
        lambda base: LongTailDataset(base, imbalance_factor=3),
        lambda base: IndexedDataset(ConcatDataset([base, ArrayDataset([1, 0], pipeline=base.pipeline.transforms)])),
        lambda base: IndexedDataset(RepeatDataset(base, times=2)),
        lambda base: IndexedDataset(ClassBalancedDataset(base, oversample_thr=0.9)),
        lambda base: IndexedDataset(LongTailDataset(base, imbalance_factor=3), indices=[4, 1, 1]),
        lambda base: LongTailDataset(base, imbalance_factor=3).get_subset([4, 2]),
        lambda base: replace_pipeline(LongTailDataset(base, imbalance_factor=3), TWO_VIEWS),
    ],
    ids=["plain", "long tail", "concat", "repeat", "balanced", "picked", "subset", "other pipeline"],
)
def test_position_reaches_the_batch(make: Any, pipeline: list[dict]) -> None:
    dataset = make(ArrayDataset([0, 0, 0, 1, 1, 1, 2, 2, 2], pipeline=pipeline))
    assert _positions(dataset) == list(range(len(dataset)))
    assert dataset[-1]["data_samples"].sample_idx == len(dataset) - 1


def test_position_survives_workers_and_shuffling() -> None:
    dataset = LongTailDataset(ArrayDataset([0] * 9 + [1] * 9, pipeline=TWO_VIEWS), imbalance_factor=3)
    assert sorted(_positions(dataset, num_workers=2, shuffle=True)) == list(range(12))


def test_mmengine_alone_would_repeat_positions() -> None:
    """Why IndexedDataset is there; if this fails, mmengine has changed and the class may go."""
    assert _positions(RepeatDataset(ArrayDataset([0, 1], pipeline=PACK), times=2)) == [0, 1, 0, 1]


def test_list_files(tmp_path: Any) -> None:
    make_miniature("data/imagenet", tmp_path / "imagenet")
    load = [{"type": "LoadImage"}, {"type": "CenterCrop", "crop_size": 32}]
    dataset = DATASETS.build(
        {
            "type": "CustomDataset",
            "data_root": str(tmp_path / "imagenet"),
            "ann_file": "ImageNet_LT_train.txt",
            "pipeline": load + TWO_VIEWS,
        }
    )
    assert _positions(dataset) == list(range(24))


def _drop(sample: dict, images: set[int]) -> dict | None:
    """A pipeline in which some images fail, as mmcv's do when they find no valid crop."""
    return None if identity(sample) in images else sample


def test_a_failing_image_is_replaced_within_the_set() -> None:
    base = ArrayDataset([0] * 20 + [1] * 20)
    dataset = LongTailDataset(base, imbalance_factor=10)
    base.pipeline.transforms.append(functools.partial(_drop, images={int(dataset.indices[3])}))
    kept = set(dataset.indices.tolist())
    for _ in range(20):
        sample = dataset[3]
        assert sample["sample_idx"] != 3
        assert identity(sample) == dataset.indices[sample["sample_idx"]]
        assert identity(sample) in kept, "an image outside of the long-tailed selection leaked in"


def test_a_set_without_a_valid_image_ends() -> None:
    drop_all = functools.partial(_drop, images=set(range(9)))
    for arguments in ({"test_mode": True}, {"max_refetch": 3}):
        dataset = IndexedDataset(ArrayDataset([0, 1, 2], pipeline=[drop_all], **arguments))
        with pytest.raises(RuntimeError, match="the pipeline gave no image for sample"):
            dataset[1]


def test_out_of_range() -> None:
    dataset = IndexedDataset(ArrayDataset([0, 1, 2]))
    with pytest.raises(IndexError):
        dataset[3]
    with pytest.raises(IndexError):
        dataset.get_data_info(-4)
