"""ResidentDataset: the same images, labels and positions as the dataset it wraps, in batches."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest
import torch
from mmengine.dataset import pseudo_collate
from mmpretrain.models import ClsDataPreprocessor
from torch.utils.data import DataLoader, Subset

from lt_plugins.datasets.digits_dataset import DigitsDataset
from lt_plugins.datasets.labels import get_class_counts, get_labels
from lt_plugins.datasets.pipelines import replace_pipeline
from lt_plugins.datasets.resident_dataset import ResidentDataset
from lt_plugins.distributed import rank_and_world_size
from lt_plugins.errors import UserInputError
from lt_plugins.models.classifiers import ImageBatchPreprocessor
from lt_plugins.registry import DATASETS
from tests.gloo import run_gloo

PLAIN: list[dict] = [dict(type="LoadImage"), dict(type="PackInputs")]
CROPPED: list[dict] = [
    dict(type="LoadImage"),
    dict(type="mmpretrain.RandomCrop", crop_size=32, padding=4),
    dict(type="mmpretrain.RandomFlip", prob=0.5, direction="horizontal"),
    dict(type="PackInputs"),
]
VIEWS: list[dict] = [
    dict(type="LoadImage"),
    dict(type="MultiView", num_views=[1, 2], transforms=[CROPPED[1:2], CROPPED[1:3]]),
    dict(type="PackInputs"),
]


def digits(pipeline: list[dict], **options: Any) -> dict:
    return dict(
        type="LongTailDataset",
        imbalance_factor=10,
        max_count=20,
        dataset=dict(type="DigitsDataset", split="train", pipeline=pipeline, **options),
    )


def preprocessed(dataset: Any, indices: list[int], epoch: int = 0) -> dict:
    loader = DataLoader(Subset(dataset, indices), batch_size=len(indices), collate_fn=pseudo_collate)
    preprocessor = ImageBatchPreprocessor(mean=[10, 20, 30], std=[2, 3, 4], to_rgb=True)
    preprocessor.set_epoch(epoch, 10)
    return preprocessor(next(iter(loader)), training=True)


def test_gives_the_images_and_labels_of_the_wrapped_dataset() -> None:
    wrapped = DATASETS.build(digits(PLAIN))
    dataset = ResidentDataset(wrapped)
    assert len(dataset) == len(wrapped)
    assert get_labels(dataset).tolist() == get_labels(wrapped).tolist()
    assert torch.equal(get_class_counts(dataset, 10), wrapped.class_counts)
    indices = [3, 0, 41, 3]
    batch = preprocessed(dataset, indices)
    reference = ClsDataPreprocessor(mean=[10, 20, 30], std=[2, 3, 4], to_rgb=True)(
        pseudo_collate([wrapped[i] for i in indices])
    )
    assert torch.equal(batch["inputs"], reference["inputs"])
    assert batch["data_samples"].labels.tolist() == [int(s.gt_label) for s in reference["data_samples"]]
    assert batch["data_samples"].sample_idx.tolist() == indices


def test_a_single_sample_passes_the_pipeline_as_written() -> None:
    wrapped = DATASETS.build(digits(PLAIN))
    dataset = ResidentDataset(wrapped)
    assert torch.equal(dataset[5]["inputs"], wrapped[5]["inputs"])
    assert dataset[5]["data_samples"].sample_idx == 5
    assert len(ResidentDataset(digits(VIEWS))[5]["inputs"]) == 3


def test_random_transforms_are_those_of_the_pipeline() -> None:
    """Each image is one of the crops of its padded original, mirrored or not; both happen."""
    dataset = ResidentDataset(digits(CROPPED))
    indices = list(range(40))
    images = dataset.images.augmented(torch.tensor(indices), 0, 0, torch.device("cpu"))[0]
    originals = dataset.images.images[indices]
    padded = torch.nn.functional.pad(originals, (4, 4, 4, 4))
    mirrored = set()
    for image, whole in zip(images, padded, strict=True):
        crops = [
            (flip, crop)
            for top in range(9)
            for left in range(9)
            for flip, crop in enumerate((whole[:, top : top + 32, left : left + 32],) * 2)
        ]
        matches = [flip for flip, crop in crops if torch.equal(crop.flip(2) if flip else crop, image)]
        assert matches
        mirrored.add(matches[0])
    assert mirrored == {0, 1}


def test_views_differ_and_change_with_the_epoch() -> None:
    dataset = ResidentDataset(digits(VIEWS))
    first, again, later = (preprocessed(dataset, list(range(30)), epoch)["inputs"] for epoch in (0, 0, 1))
    assert len(first) == 3
    # That the images came before in this epoch would change them: a second dataset is another run.
    again = preprocessed(ResidentDataset(digits(VIEWS)), list(range(30)))["inputs"]
    for number in range(3):
        assert torch.equal(first[number], again[number])
        assert not torch.equal(first[number], later[number])
    assert not torch.equal(first[1], first[2])


def test_another_pipeline_shares_the_images() -> None:
    dataset = ResidentDataset(digits(CROPPED))
    images = dataset.images.images
    plain = replace_pipeline(dataset, PLAIN)
    assert plain.images.images is images
    assert plain.images.views == ()
    assert len(dataset.images.views) == 1, "the original keeps its transforms"
    scaled = replace_pipeline(dataset, [PLAIN[0], dict(type="Resize", scale=(16, 16)), PLAIN[1]])
    assert scaled.images.images.shape == (len(dataset), 3, 16, 16)


def test_a_subset_has_images_of_its_own() -> None:
    dataset = ResidentDataset(digits(PLAIN))
    subset = dataset.get_subset([7, 2])
    assert torch.equal(subset.images.images, dataset.images.images[[7, 2]])


def test_setting_the_pipeline_loads_again() -> None:
    dataset = ResidentDataset(digits(PLAIN))
    assert dataset.images.views == ()
    dataset.pipeline = CROPPED
    assert len(dataset.images.views) == 1


def test_wrapped_again_it_gives_single_samples() -> None:
    outer = DATASETS.build(dict(type="IndexedDataset", indices=[4, 5], dataset=ResidentDataset(digits(PLAIN))))
    batch = next(iter(DataLoader(outer, batch_size=2, collate_fn=pseudo_collate)))
    assert [sample.sample_idx for sample in batch["data_samples"]] == [0, 1]


def _write(folder: Path, name: str, size: tuple[int, int]) -> None:
    (folder / "a").mkdir(parents=True, exist_ok=True)
    cv2.imwrite(str(folder / "a" / name), np.full((*size, 3), 7, np.uint8))


def folder_dataset(folder: Path, pipeline: list[dict] = PLAIN, **options: Any) -> ResidentDataset:
    config = dict(type="ImageListDataset", data_root=str(folder), pipeline=pipeline)
    return ResidentDataset(config, **options)


def test_images_of_different_sizes_are_refused_by_name(tmp_path: Path) -> None:
    _write(tmp_path, "one.png", (8, 8))
    _write(tmp_path, "two.png", (8, 9))
    with pytest.raises(UserInputError, match=r"two\.png is 9x8 and image .*one\.png 8x8; scale them .* --no-resident"):
        _ = folder_dataset(tmp_path).images
    scaled = folder_dataset(tmp_path, [PLAIN[0], dict(type="Resize", scale=(8, 8)), PLAIN[1]])
    assert scaled.images.images.shape == (2, 3, 8, 8)


def test_too_many_images_are_refused_with_the_size(tmp_path: Path) -> None:
    _write(tmp_path, "one.png", (8, 8))
    _write(tmp_path, "two.png", (8, 8))
    assert folder_dataset(tmp_path, max_bytes=2 * 3 * 64).images.nbytes == 384
    with pytest.raises(UserInputError, match=r"2 images of 8x8 take 0\.0 GiB.*max_bytes=383"):
        _ = folder_dataset(tmp_path, max_bytes=383).images
    with pytest.raises(UserInputError, match="max_bytes=0 must be positive"):
        folder_dataset(tmp_path, max_bytes=0)


def test_a_broken_image_is_refused(tmp_path: Path) -> None:
    _write(tmp_path, "one.png", (8, 8))
    (tmp_path / "a" / "two.png").write_bytes(b"no image")
    with pytest.raises(UserInputError, match=r"two\.png"):
        _ = folder_dataset(tmp_path).images
    skipping = [dict(type="LoadImage", ignore_empty=True), PLAIN[1]]
    with pytest.raises(UserInputError, match=r"two\.png cannot be loaded; a resident dataset leaves none out"):
        _ = folder_dataset(tmp_path, skipping).images


@pytest.mark.parametrize(
    ("pipeline", "message"),
    [
        ([PLAIN[0], dict(type="Lighting", eigval=[1, 1, 1], eigvec=[[1, 0, 0]] * 3), PLAIN[1]], "Lighting has no"),
        (CROPPED[:2], "ends with PackInputs, and this one with RandomCrop"),
        ([PLAIN[0], CROPPED[1], VIEWS[1], PLAIN[1]], "RandomCrop stands beside MultiView"),
        ([PLAIN[0], dict(type="Resize", scale=(8, 8)), dict(type="Normalize", mean=[0], std=[1]), PLAIN[1]], "Normali"),
    ],
)
def test_a_pipeline_without_batched_form_is_refused(pipeline: list[dict], message: str) -> None:
    with pytest.raises(UserInputError, match=f"{message}.*--no-resident"):
        _ = ResidentDataset(digits(pipeline)).images


def test_datasets_with_other_pipelines_are_refused() -> None:
    parts = [DigitsDataset(split="train", pipeline=pipeline) for pipeline in (PLAIN, CROPPED)]
    joined = DATASETS.build(dict(type="ConcatDataset", datasets=parts))
    with pytest.raises(UserInputError, match="have different pipelines"):
        _ = ResidentDataset(joined).images
    same = DATASETS.build(dict(type="ConcatDataset", datasets=[parts[0], parts[0]]))
    assert len(ResidentDataset(same).images) == 2 * len(parts[0])


def test_workers_are_refused() -> None:
    loader = DataLoader(ResidentDataset(digits(PLAIN)), batch_size=2, num_workers=1, collate_fn=pseudo_collate)
    with pytest.raises(UserInputError, match="set num_workers=0"):
        next(iter(loader))


def _images_of_rank(num_processes: int) -> tuple[torch.Tensor, torch.Tensor]:
    """Positions and augmented images of this rank's share of an epoch."""
    rank, _ = rank_and_world_size()
    dataset = ResidentDataset(digits(CROPPED))
    order = torch.randperm(len(dataset), generator=torch.Generator().manual_seed(0))[rank::num_processes]
    batches = [preprocessed(dataset, part.tolist(), epoch=4)["inputs"] for part in order.split(16)]
    return order, torch.cat(batches)


def test_number_of_processes_changes_no_image(tmp_path: Path) -> None:
    order, images = _images_of_rank(1)
    shares = run_gloo(_images_of_rank, 2, folder=tmp_path)
    for rank, (share, found) in enumerate(shares):
        assert torch.equal(share, order[rank::2])
        assert torch.equal(found, images[rank::2])
