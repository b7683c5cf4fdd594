"""Sizes that work and that few mean: a queue or a batch that holds more than there is."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from torch import nn
from torch.utils.data import DataLoader

from lt_plugins.datasets.loader_order import batch_parts
from lt_plugins.datasets.samplers import ClassAwareSampler, ClassBalancedSampler
from lt_plugins.models.structures import ClassDistribution
from lt_plugins.models.structures.labelled_queue import LabelledQueue


def find_size_warnings(model: Any, loader: DataLoader[Any], world_size: int = 1) -> Iterator[str]:
    """Compare queue, batch and the smallest class with the training set.

    Args:
        model (nn.Module): The classifier without wrappers, with a filled ``class_distribution``.
        loader (DataLoader): The training data.
        world_size (int): Number of processes. Defaults to 1.

    Yields:
        str: A line for each mismatch, with the fix.
    """
    distribution: ClassDistribution = model.class_distribution
    num_images, counts = distribution.num_samples, distribution.counts
    batch, parts = batch_parts(loader)
    step = batch * parts * world_size
    queue = max((part.size for part in _queues(model)), default=0)
    if queue > num_images:
        fitting = max(step, 1 << max(0, (num_images // 4).bit_length() - 1))
        times = f"{queue / num_images:.1f}"
        yield (
            f"the queue of {queue} keys is larger than the training set of {num_images} images, so each image is in it "
            f"about {times} times, by encoders up to {times} epochs old; a shorter one is --cfg-options "
            f"model.queue_size={fitting}."
        )
    if batch * world_size > num_images:
        yield (
            f"a step takes {batch * world_size} images and the training set has {num_images}, so an epoch is a single "
            f"step; lower it, like --cfg-options train_dataloader.batch_size={max(2, num_images // 8 // world_size)}."
        )
    smallest = int(counts[counts > 0].min())
    of_a_class = batch / int((counts > 0).sum())
    if _is_balanced(loader) and of_a_class > smallest:
        yield (
            f"a class-balanced batch of {batch} has {of_a_class:.0f} images of each class and the smallest class has "
            f"{smallest}, so its images come several times in a batch; lower train_dataloader.batch_size, or augment."
        )


def _queues(model: nn.Module) -> Iterator[LabelledQueue]:
    return (part for part in model.modules() if isinstance(part, LabelledQueue))


def _is_balanced(loader: DataLoader[Any]) -> bool:
    """Whether each class comes equally often, throughout the training."""
    sampler = getattr(loader.batch_sampler, "sampler", None) or loader.sampler
    if isinstance(sampler, ClassBalancedSampler):
        return sampler.rule == "power" and sampler.power == 0 and not sampler.progressive
    return isinstance(sampler, ClassAwareSampler)
