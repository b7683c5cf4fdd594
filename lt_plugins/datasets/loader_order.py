"""Order of the images of a data loader, with or without a batch sampler of its own."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from torch.utils.data import DataLoader

from lt_plugins.datasets.samplers import PartSampler


def ordinary_sampler(loader: DataLoader[Any]) -> Any:
    """The sampler of a data loader; with a :class:`CompanionBatchSampler` the one that has companions.

    Args:
        loader (DataLoader): The data loader, whose own ``sampler`` means nothing beside a batch sampler.
    """
    return getattr(loader.batch_sampler, "sampler", loader.sampler)


def seeded_sampler(loader: DataLoader[Any]) -> tuple[str, Any]:
    """Name and object of what takes the seed and the epoch of a run: a batch sampler that does, or the sampler.

    Args:
        loader (DataLoader): The data loader.
    """
    if hasattr(loader.batch_sampler, "set_epoch"):
        return "batch_sampler", loader.batch_sampler
    return "sampler", ordinary_sampler(loader)


def ordinary_dataset(loader: DataLoader[Any]) -> Any:
    """The images that the class counts of a training are of: those of its ordinary sampler.

    Args:
        loader (DataLoader): The data loader of the training.
    """
    sampler = ordinary_sampler(loader)
    return sampler.part_dataset if isinstance(sampler, PartSampler) else loader.dataset


def all_samplers(loader: DataLoader[Any]) -> Iterator[Any]:
    """Yield the ordinary sampler, those that are companions, and those that these consist of.

    Args:
        loader (DataLoader): The data loader of the training.
    """
    waiting = [ordinary_sampler(loader), *getattr(loader.batch_sampler, "companions", ())]
    while waiting:
        sampler = waiting.pop(0)
        yield sampler
        waiting += [getattr(sampler, name) for name in ("sampler", "before", "after") if hasattr(sampler, name)]


def batch_parts(loader: DataLoader[Any]) -> tuple[int, int]:
    """Images of each part of a batch, 0 if unknown, and the number of its parts.

    Args:
        loader (DataLoader): The data loader.
    """
    batch_sampler = loader.batch_sampler
    size = loader.batch_size or getattr(batch_sampler, "batch_size", None) or 0
    return int(size), getattr(batch_sampler, "num_parts", 1)
