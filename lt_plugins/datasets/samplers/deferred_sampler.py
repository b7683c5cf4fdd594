"""Deferred re-sampling: one sampler at first, another one from an epoch on."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from torch.utils.data import Sampler

from lt_plugins.datasets.samplers.nested import build_sampler, set_sampler_epoch
from lt_plugins.distributed import shared_seed
from lt_plugins.errors import UserInputError
from lt_plugins.registry import DATA_SAMPLERS


@DATA_SAMPLERS.register_module()
class DeferredSampler(Sampler[int]):
    """Deferred re-sampling (DRS): takes its images from ``before``, and from the epoch ``start`` on from ``after``.

    Both give epochs of the same length, so that the schedule stays what it is. ``start`` is scaled with the length of a
    run, as first epochs of hooks are.

    Source: Cao et al., "Learning Imbalanced Datasets with Label-Distribution-Aware Margin Loss" (NeurIPS 2019), section
    3.3 and its tables (the released code has no switch); Kim et al., "M2m" (CVPR 2020), whose code goes over to
    class-balanced draws at epoch 160 of 200.

    Args:
        dataset: What the samplers take: a dataset in any nesting of wrappers, or its labels ``(N,)``.
        before (dict | Sampler): Config of the first sampler, or the sampler itself, which is all that a loop without
            OpenMMLab needs. In DRS a plain shuffle, ``DefaultSampler``.
        after (dict | Sampler): Config of the second sampler, or the sampler itself; in DRS ``ClassBalancedSampler``.
        start (int): First epoch of the second sampler, from 0; 160 of 200 on CIFAR.
        seed (int, optional): Of both samplers, the same on all ranks. Defaults to one drawn from torch's global
            generator.

    Raises:
        UserInputError: If ``start`` is not positive or the samplers give epochs of different lengths.

    Examples:
        >>> train_dataloader = dict(sampler=dict(
        ...     _delete_=True, type='DeferredSampler', before=dict(type='DefaultSampler', shuffle=True),
        ...     after=dict(type='ClassBalancedSampler'), start=160))
        >>> sampler = DeferredSampler(
        ...     labels, before=ClassBalancedSampler(labels, power=1.0), after=ClassBalancedSampler(labels), start=160)
    """

    def __init__(
        self,
        dataset: Any,
        before: dict | Sampler,
        after: dict | Sampler,
        start: int,
        seed: int | None = None,
    ) -> None:
        if start < 1:
            raise UserInputError(f"start={start} must be 1 or more; for a single sampler take the one of after itself.")
        self.dataset = dataset
        self.start = start
        seed = shared_seed() if seed is None else seed
        self.before, self.after = (build_sampler(part, dataset=dataset, seed=seed) for part in (before, after))
        if len(self.before) != len(self.after):
            raise UserInputError(
                f"DeferredSampler needs epochs of one length, but before gives {len(self.before)} images a process and "
                f"after {len(self.after)}; give both the same num_samples, or none."
            )
        self.epoch = 0
        self.max_epochs: int | None = None
        self.seed = seed

    @property
    def seed(self) -> int:
        """Seed of both samplers."""
        return self._seed

    @seed.setter
    def seed(self, seed: int) -> None:
        self._seed = seed
        for part in (self.before, self.after):
            part.seed = seed

    @property
    def current(self) -> Any:
        """The sampler of this epoch."""
        return self.before if self.epoch < self.start else self.after

    def __iter__(self) -> Iterator[int]:
        """Indices of this rank's images in the dataset."""
        return iter(self.current)

    def __len__(self) -> int:
        """Number of images of this rank in an epoch."""
        return len(self.current)

    def set_epoch(self, epoch: int, max_epochs: int | None = None) -> str:
        """Choose the sampler and its order; call it before each epoch (``EpochHook`` does).

        Args:
            epoch (int): The epoch, from 0.
            max_epochs (int, optional): Number of epochs of the training, which ``EpochHook`` gives. Defaults to the one
                given before.

        Returns:
            str: The sampler of this epoch, for the log.
        """
        self.epoch = epoch
        self.max_epochs = self.max_epochs if max_epochs is None else max_epochs
        set_sampler_epoch(self.current, epoch, self.max_epochs)
        return f"images from {type(self.current).__name__}"
