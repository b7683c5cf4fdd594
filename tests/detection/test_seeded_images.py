"""What an image draws depends on its place in the run, and on nothing else."""

from __future__ import annotations

import itertools
import random
from types import SimpleNamespace

import numpy as np
import pytest
import torch
from mmengine.dataset import InfiniteSampler
from torch.utils.data import DataLoader, Dataset

from lt_plugins.detection import IterationSeedHook, SeededDataset, SeededInfiniteSampler
from lt_plugins.errors import UserInputError

IMAGES, BATCHES, BATCH_SIZE = 7, 9, 3


class Drawing(Dataset):
    """Images that are their index and a number of each generator."""

    metainfo = {"classes": ("cat",)}

    def __len__(self) -> int:
        return IMAGES

    def __getitem__(self, index: int) -> torch.Tensor:
        return torch.tensor([index, random.random(), np.random.random(), torch.rand(()).item()])  # noqa: NPY002


@pytest.fixture
def dataset() -> SeededDataset:
    return SeededDataset(Drawing())


def load(dataset: SeededDataset, sampler: SeededInfiniteSampler, num_workers: int, batches: int) -> torch.Tensor:
    loader = DataLoader(dataset, BATCH_SIZE, sampler=sampler, num_workers=num_workers)
    return torch.cat(list(itertools.islice(loader, batches)))


@pytest.mark.parametrize("num_workers", [0, 2])
def test_a_resumed_run_draws_the_same(num_workers: int, dataset: SeededDataset) -> None:
    whole = load(dataset, SeededInfiniteSampler(dataset, seed=5), 0, BATCHES)
    sampler = SeededInfiniteSampler(dataset, seed=5)
    sampler.skip(4 * BATCH_SIZE)
    torch.testing.assert_close(
        load(dataset, sampler, num_workers, BATCHES - 4), whole[4 * BATCH_SIZE :], rtol=0, atol=0
    )


def test_a_second_reader_takes_nothing_from_the_first(dataset: SeededDataset) -> None:
    sampler = SeededInfiniteSampler(dataset, seed=5)
    alone = list(itertools.islice(sampler, 20))
    assert [draw.image for draw in alone] == list(itertools.islice(InfiniteSampler(dataset, seed=5), 20))
    first = iter(sampler)
    before = list(itertools.islice(first, 8))
    second = iter(sampler)
    assert list(itertools.islice(second, 5)) == alone[:5]
    second.close()  # type: ignore[attr-defined]
    assert [*before, *itertools.islice(first, 12)] == alone


@pytest.mark.parametrize(("diff_rank_seed", "seed"), [(False, 6), (True, 5)])
def test_the_sampler_follows_the_run(diff_rank_seed: bool, seed: int, dataset: SeededDataset) -> None:
    """But not where every process has a seed of its own: all must shuffle alike."""
    sampler = SeededInfiniteSampler(dataset, seed=5)
    loader = DataLoader(dataset, sampler=sampler)
    randomness = {"diff_rank_seed": diff_rank_seed}
    IterationSeedHook().before_train(SimpleNamespace(train_dataloader=loader, seed=6, _randomness_cfg=randomness))
    assert sampler.seed == seed


def test_half_of_it_is_refused(dataset: SeededDataset) -> None:
    loaders = [
        DataLoader(Drawing(), sampler=SeededInfiniteSampler(dataset, seed=5)),
        DataLoader(dataset, sampler=InfiniteSampler(dataset, seed=5)),
    ]
    for loader in loaders:
        with pytest.raises(UserInputError, match="a resumed run would draw other sizes and flips; use sampler=dict"):
            IterationSeedHook().before_train(SimpleNamespace(train_dataloader=loader))


def test_draws_differ(dataset: SeededDataset) -> None:
    """Between places, also of the same image, between seeds and between processes."""
    first, other = (SeededInfiniteSampler(dataset, seed=seed) for seed in (5, 6))
    rank = SeededInfiniteSampler(dataset, seed=5)
    rank.rank = 1
    drawn = torch.cat([load(dataset, sampler, 0, BATCHES) for sampler in (first, other, rank)])[:, 1:]
    assert len(torch.unique(drawn)) == drawn.numel()


def test_images_come_in_the_order_of_mmengine(dataset: SeededDataset) -> None:
    expected = list(itertools.islice(InfiniteSampler(dataset, seed=5), 20))
    assert [draw.image for draw in itertools.islice(SeededInfiniteSampler(dataset, seed=5), 20)] == expected
    assert len(dataset) == IMAGES
    assert dataset.metainfo == Drawing.metainfo
