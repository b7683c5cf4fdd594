"""Companion batch sampler: other data in the same step."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from itertools import count, islice
from typing import Any

import numpy as np
from torch.utils.data import Sampler

from lt_plugins.datasets.samplers.nested import build_sampler, set_sampler_epoch
from lt_plugins.datasets.samplers.part_sampler import PartSampler
from lt_plugins.distributed import shared_seed
from lt_plugins.errors import UserInputError
from lt_plugins.registry import DATA_SAMPLERS


@DATA_SAMPLERS.register_module()
class CompanionBatchSampler(Sampler[list[int]]):
    """Companion batch sampler: appends to each batch as many images of further samplers.

    A batch is ``[ordinary B | companion 1 B | companion 2 B | ...]``, which its reader splits by
    ``chunk(1 + number of companions)``. An epoch is as long as that of the ordinary sampler; a companion that runs out
    before begins again in another order. A shorter last batch has shorter companions as well.

    The order of a companion follows from the seed of the run, its place and the epoch. Class counts are those of the
    images of the ordinary sampler, and so is the number of images of a step that a learning rate is meant for
    (``auto_scale_lr.base_batch_size``).

    Source: Zhou et al., "BBN" (CVPR 2020), section 4.2, with a reversed companion; Tang et al., "Invariant Feature
    Learning for Generalized Long-Tailed Classification" (ECCV 2022), section 4, with environments as companions.

    Args:
        sampler (Sampler): The ordinary sampler, ``train_dataloader.sampler``.
        batch_size (int): Images ``B`` of each part, ``train_dataloader.batch_size``.
        companions (Sequence[dict | Sampler]): Configs of the further samplers, on the images of the ordinary one; with
            ``part=k`` on those of part ``k`` of a ``ConcatDataset`` (:class:`PartSampler`). Or samplers themselves.
        drop_last (bool): Whether to leave out a last batch of fewer images. ``train_dataloader.drop_last`` may not
            stand beside a batch sampler. Defaults to False.

    Raises:
        UserInputError: If there is no companion, a batch is empty, a companion gives no image, or its part does not
            exist.

    Examples:
        >>> train_dataloader = dict(batch_size=64, batch_sampler=dict(
        ...     type='CompanionBatchSampler', companions=[dict(type='ClassBalancedSampler', power=-1.0)]))
        >>> batches = CompanionBatchSampler(
        ...     ClassBalancedSampler(labels, power=1.0), 64, companions=[ClassBalancedSampler(labels)])
        >>> loader = DataLoader(dataset, batch_sampler=batches)
    """

    def __init__(
        self,
        sampler: Sampler,
        batch_size: int,
        companions: Sequence[dict | Sampler],
        drop_last: bool = False,
    ) -> None:
        if batch_size < 1:
            raise UserInputError(f"batch_size={batch_size} must be positive.")
        if not companions:
            raise UserInputError(
                "companions=[] of CompanionBatchSampler: name a sampler, like [dict(type='ClassBalancedSampler')], or "
                "leave out batch_sampler."
            )
        self.sampler: Any = sampler
        self.dataset = getattr(sampler, "dataset", None)
        self.batch_size = batch_size
        self.drop_last = drop_last
        seed = getattr(sampler, "seed", None)
        self._seed = seed if isinstance(seed, int) else shared_seed()
        self.companions = [self._build(companion, place) for place, companion in enumerate(companions)]
        self.epoch = 0
        self.max_epochs: int | None = None

    def _build(self, companion: dict | Sampler, place: int) -> Any:
        if not isinstance(companion, dict):
            return companion
        settings = dict(companion)
        part = settings.pop("part", None)
        if part is None and isinstance(self.sampler, PartSampler):
            part = self.sampler.part
        seed = self._seed_of(place, turn=0)
        if part is None:
            return build_sampler(settings, dataset=self.dataset, seed=seed)
        return PartSampler(self.dataset, settings, part, seed)

    @property
    def num_parts(self) -> int:
        """Parts of a batch: 1 and the number of companions."""
        return 1 + len(self.companions)

    @property
    def seed(self) -> int:
        """Seed of the ordinary sampler, from which those of the companions follow."""
        return self._seed

    @seed.setter
    def seed(self, seed: int) -> None:
        self._seed = seed
        if isinstance(getattr(self.sampler, "seed", None), int):
            self.sampler.seed = seed

    def _seed_of(self, place: int, turn: int) -> int:
        """Seed of a companion, by its place and how often it has begun in this epoch."""
        return int(np.random.SeedSequence([self._seed, place + 1, turn]).generate_state(1)[0])

    def __iter__(self) -> Iterator[list[int]]:
        """Indices of this rank's images in the dataset, a batch at a time."""
        # mmengine's DistSamplerSeedHook tells the ordinary sampler alone.
        epoch = getattr(self.sampler, "epoch", self.epoch)
        streams = [self._endless(place, epoch) for place in range(len(self.companions))]
        ordinary = iter(self.sampler)
        while batch := list(islice(ordinary, self.batch_size)):
            size = len(batch)
            if size == self.batch_size or not self.drop_last:
                yield batch + [index for stream in streams for index in islice(stream, size)]

    def _endless(self, place: int, epoch: int) -> Iterator[int]:
        """The images of a companion, again and again."""
        companion = self.companions[place]
        set_sampler_epoch(companion, epoch, self.max_epochs)
        for turn in count():
            if isinstance(getattr(companion, "seed", None), int):
                companion.seed = self._seed_of(place, turn)
            is_empty = True
            for index in companion:
                is_empty = False
                yield index
            if is_empty:
                raise UserInputError(f"companions.{place} ({type(companion).__name__}) gives no image.")

    def __len__(self) -> int:
        """Number of batches of this rank in an epoch."""
        batches = len(self.sampler) / self.batch_size
        return math.floor(batches) if self.drop_last else math.ceil(batches)

    def set_epoch(self, epoch: int, max_epochs: int | None = None) -> str | None:
        """Choose the order of all samplers; call it before each epoch (``EpochHook`` does).

        Args:
            epoch (int): The epoch, from 0.
            max_epochs (int, optional): Number of epochs of the training, which ``EpochHook`` gives. Defaults to the one
                given before.

        Returns:
            str | None: What the samplers say, for the log.
        """
        self.epoch = epoch
        self.max_epochs = self.max_epochs if max_epochs is None else max_epochs
        parts = [self.sampler, *self.companions]
        said = [set_sampler_epoch(part, epoch, self.max_epochs) for part in parts]
        return "; ".join(text for text in said if text is not None) or None
