"""Resident images: what an image looks like follows from (seed, epoch, view, index), whatever else happens."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from torch import Tensor

from lt_plugins.augmentation import resident_images as module
from lt_plugins.augmentation.draws import Draws
from lt_plugins.augmentation.resident_images import ResidentBatch, ResidentImages

CPU = torch.device("cpu")


class AddDrawn:
    """Adds a drawn number to each image, and counts its calls."""

    def __init__(self) -> None:
        self.batch_sizes: list[int] = []

    def __call__(self, images: Tensor, draws: Draws) -> Tensor:
        self.batch_sizes.append(len(images))
        return images + torch.from_numpy(draws.integers(0, 200)).to(torch.uint8).view(-1, 1, 1, 1)


def resident(num_images: int = 50, num_views: int = 2, augments_ahead: bool | None = None) -> ResidentImages:
    images = torch.arange(num_images, dtype=torch.uint8).view(-1, 1, 1, 1).expand(-1, 3, 2, 2).contiguous()
    return ResidentImages(images, torch.arange(num_images) % 7, [AddDrawn() for _ in range(num_views)], augments_ahead)


def drawn(source: ResidentImages, indices: list[int], seed: int = 3, epoch: int = 5) -> list[list[int]]:
    """Numbers that each view of each image got."""
    views = source.augmented(torch.tensor(indices), seed, epoch, CPU)
    return [((view[:, 0, 0, 0].int() - torch.tensor(indices)) % 256).tolist() for view in views]


def expected(indices: list[int], times: list[int], view: int, seed: int = 3, epoch: int = 5) -> list[int]:
    """The same, each image by itself."""
    draws = (Draws.of_images(seed, epoch, view, [i], [t]) for i, t in zip(indices, times, strict=True))
    return [int(one.integers(0, 200)[0]) for one in draws]


@pytest.mark.parametrize("augments_ahead", [False, True])
def test_numbers_follow_from_the_image(augments_ahead: bool) -> None:
    source = resident(augments_ahead=augments_ahead)
    order = np.random.default_rng(0).permutation(50).tolist()
    for start in range(0, 50, 16):
        batch = order[start : start + 16]
        assert drawn(source, batch) == [expected(batch, [0] * len(batch), view) for view in (0, 1)]
    assert drawn(source, [7], epoch=6) == [expected([7], [0], view, epoch=6) for view in (0, 1)]
    assert drawn(source, [7], seed=4) == [expected([7], [0], view, seed=4) for view in (0, 1)]


@pytest.mark.parametrize("augments_ahead", [False, True])
def test_a_repeated_image_looks_different(augments_ahead: bool) -> None:
    source = resident(num_views=1, augments_ahead=augments_ahead)
    assert drawn(source, [4, 9, 4, 4]) == [expected([4, 9, 4, 4], [0, 0, 1, 2], 0)]
    assert drawn(source, [9, 4, 1]) == [expected([9, 4, 1], [1, 3, 0], 0)]
    assert drawn(source, [9, 4], epoch=6) == [expected([9, 4], [0, 0], 0, epoch=6)]
    assert drawn(source, [9, 4]) == [expected([9, 4], [0, 0], 0)], "an epoch that is repeated counts from the start"


def test_first_occurrences_are_the_same_on_every_process(monkeypatch: pytest.MonkeyPatch) -> None:
    numbers = []
    for rank in (0, 1):
        monkeypatch.setattr(module, "rank_and_world_size", lambda rank=rank: (rank, 2))
        source = resident(num_views=1)
        numbers.append(drawn(source, [4, 4, 4])[0])
        assert numbers[-1] == expected([4, 4, 4], [0, 2 + rank, 4 + rank], 0)
    assert numbers[0][0] == numbers[1][0]


def test_a_whole_epoch_is_augmented_once() -> None:
    source = resident(num_images=9000, num_views=1, augments_ahead=True)
    (view,) = source.views
    assert isinstance(view, AddDrawn)
    for start in range(0, 9000, 500):
        source.augmented(torch.arange(start, start + 500), 0, 0, CPU)
    assert view.batch_sizes == [4096, 4096, 808]
    source.augmented(torch.tensor([5, 6, 5]), 0, 0, CPU)
    assert view.batch_sizes[3:] == [3], "all three came before"


def test_without_views_the_images_stay_as_they_are() -> None:
    source = resident(num_views=0)
    (view,) = source.augmented(torch.tensor([3, 1]), 0, 0, CPU)
    assert view[:, 0, 0, 0].tolist() == [3, 1]
    assert torch.equal(source.plain(torch.tensor([3, 1]), CPU), view)


def test_images_stay_untouched() -> None:
    source = resident(num_views=1)
    before = source.images.clone()
    source.augmented(torch.arange(50), 0, 0, CPU)[0].zero_()
    assert torch.equal(source.images, before)


def test_batch_knows_its_labels() -> None:
    batch = ResidentBatch(resident(), torch.tensor([8, 3]))
    assert len(batch) == 2
    assert batch.labels.tolist() == [1, 3]


@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a GPU")
def test_same_on_a_gpu() -> None:
    on_cpu, on_gpu = (resident() for _ in range(2))
    indices = torch.tensor([4, 9, 4, 30])
    views = on_gpu.augmented(indices, 1, 2, torch.device("cuda"))
    assert all(torch.equal(a, b.cpu()) for a, b in zip(on_cpu.augmented(indices, 1, 2, CPU), views, strict=True))
