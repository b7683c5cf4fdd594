"""First-in-first-out memory of features, their labels and the images that they come from."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from lt_plugins.errors import UserInputError


class LabelledQueue(nn.Module):
    """The last ``size`` features, their labels, and the indices of their images in the training set, as buffers.

    Unused slots have label -1, so that losses can mask them: the first steps then have fewer candidates instead of
    random ones. What changes during training, such as the subclass of an image, is looked up by the index and so never
    stale. Source: He et al., "Momentum Contrast" (CVPR 2020), with labels as in PaCo.

    Args:
        size (int): Number of slots ``Q``; 0 keeps nothing.
        dim (int): Length of a feature ``D``.

    Raises:
        UserInputError: If ``size`` is negative or ``dim`` not positive.
    """

    features: Tensor
    labels: Tensor
    samples: Tensor
    pointer: Tensor

    def __init__(self, size: int, dim: int) -> None:
        super().__init__()
        if size < 0 or dim <= 0:
            raise UserInputError(f"queue_size={size} must be 0 or more and the feature length {dim} positive.")
        self.size = size
        self.register_buffer("features", torch.zeros(size, dim))
        self.register_buffer("labels", torch.full((size,), -1, dtype=torch.int64))
        self.register_buffer("samples", torch.full((size,), -1, dtype=torch.int64))
        self.register_buffer("pointer", torch.zeros((), dtype=torch.int64))

    @torch.no_grad()
    def enqueue(self, features: Tensor, labels: Tensor, samples: Tensor | None = None) -> None:
        """Overwrite the oldest slots; nothing happens if a feature is not finite.

        Such a batch overflowed in half precision: its step is skipped, and its features would spoil the losses of all
        batches until they are overwritten. Nothing of this asks the device.

        Args:
            features (Tensor): The newest features, unit rows, of all ranks in rank order, shape ``(n, D)``.
            labels (Tensor): Their labels, int64 ``(n,)``.
            samples (Tensor, optional): Indices of their images in the training set, int64 ``(n,)``. Defaults to -1,
                unknown.

        Raises:
            UserInputError: If there are more features than slots.
        """
        if self.size == 0:
            return
        if len(features) > self.size:
            raise UserInputError(
                f"queue_size={self.size} is smaller than the batch of an optimiser step ({len(features)} images, of "
                "all processes and accumulated batches); set queue_size to at least that, or 0 for no queue."
            )
        samples = torch.full_like(labels, -1) if samples is None else samples
        slots = (self.pointer + torch.arange(len(features), device=self.labels.device)) % self.size
        finite = features.isfinite().all()
        self.features[slots] = torch.where(finite, features.to(self.features.dtype), self.features[slots])
        self.labels[slots] = torch.where(finite, labels, self.labels[slots])
        self.samples[slots] = torch.where(finite, samples, self.samples[slots])
        self.pointer.copy_((self.pointer + len(features) * finite) % self.size)
