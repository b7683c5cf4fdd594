"""Images in memory, augmented as whole batches on the device of the model."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from lt_plugins.augmentation.batched_transform import BatchedTransform
from lt_plugins.augmentation.draws import Draws
from lt_plugins.distributed import rank_and_world_size

CHUNK = 4096  # images that are augmented together, of a whole epoch: few kernels on a GPU
MAX_EPOCH_BYTES = 2 << 30


class ResidentImages:
    """Images and labels of a dataset in memory, with the augmentation that makes its views.

    What an image looks like follows from (seed, epoch, view, index) alone. A sampler that balances classes gives some
    images several times an epoch; each time counts as an index of its own, so that they look different.

    On a GPU a whole epoch is augmented at its first batch, in large groups of the same operation; a step then copies
    its rows. On the CPU, where small pieces stay in the cache, and of images too large for that, each batch is
    augmented by itself. Both give the same pixels.

    Args:
        images (Tensor): BGR images, uint8 ``(N, 3, H, W)``, on the CPU.
        labels (Tensor): Their classes, int64 ``(N,)``.
        views (Sequence[BatchedTransform]): Augmentation of each view. Defaults to none: one view, the image itself.
        augments_ahead (bool | None): Whether to augment whole epochs. Defaults to None: on any device but the CPU, if
            the views of all images take no more than 2 GiB.
    """

    def __init__(
        self,
        images: Tensor,
        labels: Tensor,
        views: Sequence[BatchedTransform] = (),
        augments_ahead: bool | None = None,
    ) -> None:
        self.images = images
        self.labels = labels
        self.views = tuple(views)
        self.augments_ahead = augments_ahead
        self._on_device: dict[torch.device, Tensor] = {}
        self._epoch: tuple[int, int] | None = None  # seed and epoch that the following belongs to
        self._seen = np.zeros(len(images), dtype=np.int64)  # how often each image has come
        self._ahead: list[Tensor] | None = None  # all images, augmented, a tensor a view

    def __len__(self) -> int:
        return len(self.images)

    @property
    def nbytes(self) -> int:
        """Size of the images in bytes."""
        return self.images.numel()

    def plain(self, indices: Tensor, device: torch.device) -> Tensor:
        """Images as they are.

        Args:
            indices (Tensor): Which images, int64 ``(B,)``, on the CPU.
            device (torch.device): Where they go.

        Returns:
            Tensor: uint8 ``(B, 3, H, W)``.
        """
        if device.type == "cpu":
            return self.images[indices]
        if device not in self._on_device:
            self._on_device[device] = self.images.to(device)
        return self._on_device[device].index_select(0, indices.to(device, non_blocking=True))

    def augmented(self, indices: Tensor, seed: int, epoch: int, device: torch.device) -> list[Tensor]:
        """Views of a batch of training images.

        Args:
            indices (Tensor): Which images, int64 ``(B,)``, on the CPU.
            seed (int): Seed of the run.
            epoch (int): The epoch, from 0.
            device (torch.device): Where they go.

        Returns:
            list[Tensor]: uint8 ``(B, 3, H', W')`` a view.
        """
        if not self.views:
            return [self.plain(indices, device)]
        if self._epoch != (seed, epoch):
            self._epoch = (seed, epoch)
            self._seen[:] = 0
            self._ahead = self._augment_all(seed, epoch, device) if self._can_augment_ahead(device) else None
        times = self._count(indices.numpy())
        if self._ahead is None:
            return self._augment(indices, times, seed, epoch, device)
        places = indices.to(device, non_blocking=True)
        batch = [view.index_select(0, places) for view in self._ahead]
        again = np.flatnonzero(times)
        if len(again):
            repeated = self._augment(indices[again], times[again], seed, epoch, device)
            rows = torch.from_numpy(again).to(device, non_blocking=True)
            batch = [view.index_copy(0, rows, other) for view, other in zip(batch, repeated, strict=True)]
        return batch

    def _can_augment_ahead(self, device: torch.device) -> bool:
        if self.augments_ahead is not None:
            return self.augments_ahead
        return device.type != "cpu" and self.nbytes * len(self.views) <= MAX_EPOCH_BYTES

    def _augment_all(self, seed: int, epoch: int, device: torch.device) -> list[Tensor]:
        chunks = [
            self._augment(chunk, np.zeros(len(chunk), dtype=np.int64), seed, epoch, device)
            for chunk in torch.arange(len(self)).split(CHUNK)
        ]
        return [torch.cat(parts) for parts in zip(*chunks, strict=True)]

    def _augment(
        self, indices: Tensor, times: NDArray[np.int64], seed: int, epoch: int, device: torch.device
    ) -> list[Tensor]:
        images = self.plain(indices, device)
        return [
            view(images, Draws.of_images(seed, epoch, number, indices.numpy(), times))
            for number, view in enumerate(self.views)
        ]

    def _count(self, indices: NDArray[np.int64]) -> NDArray[np.int64]:
        """Count how often each image of a batch has come before in this epoch, ``(B,)``.

        Several processes do not know of each other's images; beyond the first time their counts are kept apart.
        """
        order = np.argsort(indices, kind="stable")
        ordered = indices[order]
        is_first = np.concatenate([[True], ordered[1:] != ordered[:-1]])
        start = np.flatnonzero(is_first)
        within = np.arange(len(ordered)) - start[np.cumsum(is_first) - 1]  # how often before in this batch
        times = np.empty_like(indices)
        times[order] = self._seen[ordered] + within
        np.add.at(self._seen, indices, 1)
        rank, world_size = rank_and_world_size()
        return np.where(times > 0, times * world_size + rank, 0)


@dataclass(frozen=True)
class ResidentBatch:
    """Batch of resident images: what a data loader hands to the model instead of pixels.

    Args:
        source (ResidentImages): All images.
        indices (Tensor): Which of them, int64 ``(B,)``, on the CPU.
    """

    source: ResidentImages
    indices: Tensor

    def __len__(self) -> int:
        return len(self.indices)

    @property
    def labels(self) -> Tensor:
        """Classes of the images, int64 ``(B,)``, on the CPU."""
        return self.source.labels[self.indices]
