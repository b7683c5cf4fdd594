"""The random numbers of an epoch depend on seed, epoch and rank only."""

from __future__ import annotations

import random
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
import torch
from mmengine.dataset import worker_init_fn
from torch.utils.data import DataLoader, Dataset

from lt_plugins.engine.hooks import EpochSeedHook
from lt_plugins.engine.hooks.epoch_seed_hook import check_workers
from lt_plugins.engine.worker_init import epoch_worker_init
from lt_plugins.errors import UserInputError
from tests.small_runs import MakeRunner


class RandomNumbers(Dataset):
    """One number of each generator that transforms draw from."""

    def __len__(self) -> int:
        return 6

    def __getitem__(self, index: int) -> torch.Tensor:
        numpy_number = np.random.rand()  # noqa: NPY002
        return torch.tensor([random.random(), numpy_number, torch.rand(1, dtype=torch.float64).item()])


def draw(seed: int, epoch: int, rank: int = 0, num_workers: int = 2) -> torch.Tensor:
    loader = DataLoader(RandomNumbers(), num_workers=num_workers, worker_init_fn=epoch_worker_init, shuffle=True)
    EpochSeedHook().before_train_epoch(SimpleNamespace(seed=seed, epoch=epoch, rank=rank))
    return torch.cat(list(loader))


@pytest.mark.parametrize("num_workers", [0, 2])
def test_repeats_whatever_was_drawn_before(num_workers: int) -> None:
    first = draw(0, 3, num_workers=num_workers)
    torch.rand(5), np.random.rand(3), random.random()  # noqa: NPY002
    assert torch.equal(draw(0, 3, num_workers=num_workers), first)
    assert first.unique().numel() == first.numel()


def test_differs_over_epochs_seeds_and_ranks() -> None:
    draws = [draw(0, 0), draw(0, 1), draw(1, 0), draw(0, 0, rank=1)]
    together = torch.cat(draws)
    assert together.unique().numel() == together.numel()


def _loader(**options: Any) -> DataLoader:
    return DataLoader(RandomNumbers(), **options)


def test_workers_that_would_not_repeat_are_refused() -> None:
    check_workers(_loader(num_workers=0))
    check_workers(_loader(num_workers=2, worker_init_fn=epoch_worker_init))
    with pytest.raises(UserInputError, match="persistent_workers=False"):
        check_workers(_loader(num_workers=2, worker_init_fn=epoch_worker_init, persistent_workers=True))
    with pytest.raises(UserInputError, match=r"worker_init_fn=dict\(type='epoch_worker_init'\)"):
        check_workers(_loader(num_workers=2, worker_init_fn=worker_init_fn))
    with pytest.raises(UserInputError, match="epoch_worker_init"):
        check_workers(_loader(num_workers=2))


def test_a_resumed_run_takes_the_seed_of_its_checkpoint(make_runner: MakeRunner) -> None:
    """Unless its config names another one, which is a change like any other."""
    options = {"train_cfg.max_epochs": 1, "randomness.seed": 5}
    make_runner(**options).train()
    resumed = make_runner(**{"train_cfg.max_epochs": 2, "randomness.seed": None})
    resumed._resume, resumed._load_from = True, f"{resumed.work_dir}/epoch_1.pth"
    resumed.train()
    assert resumed.seed == 5
    assert resumed.train_dataloader.sampler.seed == 5
