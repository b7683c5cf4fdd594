"""Relative difficulty of images: weights of learning from failure."""

from __future__ import annotations

from typing import Any, ClassVar

import torch
from torch import Tensor

from lt_plugins.distributed import gather_rows, rank_and_world_size
from lt_plugins.errors import UserInputError
from lt_plugins.models.structures import DataSizedModule, FollowsSteps
from lt_plugins.models.structures.image_order import last_occurrence


def relative_difficulty(biased: Tensor, debiased: Tensor) -> Tensor:
    r"""Relative difficulty of each image.

    .. math::
        W_i = \frac{\ell_i^b}{\ell_i^b + \ell_i^d + 10^{-8}}

    Args:
        biased (Tensor): Losses of the biased network :math:`\ell^b`, not negative, shape ``(B,)``.
        debiased (Tensor): Losses of the debiased network :math:`\ell^d`, shape ``(B,)``.

    Returns:
        Tensor: From 0 to 1, shape ``(B,)``.
    """
    return biased / (biased + debiased + 1e-8)


class RelativeDifficulty(DataSizedModule, FollowsSteps):
    r"""Relative difficulty of images by running means of their losses, each divided by the highest of the class.

    .. math::
        \bar\ell_i \leftarrow m \bar\ell_i + (1 - m) \ell_i, \qquad
        d_i = \frac{\bar\ell_i}{\max_{j : y_j = y_i} \bar\ell_j}, \qquad
        W_i = \frac{d_i^b}{d_i^b + d_i^d}

    A mean begins with the first loss of its image. All processes take in the losses of all; of an image that comes
    several times in a step the last one counts. A step with a value that is not finite (mixed precision skips it) and
    the second pass of a step of ``SAMOptimWrapper`` change no mean. With accumulated gradients each batch reads the
    means that the batches before it have left.

    Source: Nam et al., "Learning from Failure" (NeurIPS 2020), Algorithm 1, with the means and maxima of its released
    code.

    Args:
        momentum (float): Share of the old mean that stays :math:`m`, from 0 to below 1. Defaults to 0.7.

    Attributes:
        biased (Tensor): Running means of the losses of the biased network, float32 ``(N,)``. Empty until
            ``ImageBuffersHook`` gives it a size.
        debiased (Tensor): Those of the debiased network, float32 ``(N,)``.
        labels (Tensor): Class of each image that has come, -1 of the others, int64 ``(N,)``.

    Raises:
        UserInputError: If the momentum is out of range.
    """

    needs_hook: ClassVar[dict[str, Any]] = {"type": "ImageBuffersHook"}
    sized_by_data = ("biased", "debiased", "labels")
    biased: Tensor
    debiased: Tensor
    labels: Tensor

    def __init__(self, momentum: float = 0.7) -> None:
        super().__init__()
        if not 0 <= momentum < 1:
            raise UserInputError(f"momentum={momentum} must be 0 or more and below 1, like 0.7.")
        self.momentum = momentum
        self.register_buffer("biased", torch.zeros(0))
        self.register_buffer("debiased", torch.zeros(0))
        self.register_buffer("labels", torch.zeros(0, dtype=torch.int64))

    def set_num_images(self, num_images: int) -> None:
        """Give the buffers the size of the training set; values of another size are forgotten.

        Args:
            num_images (int): Number of training images ``N``.
        """
        if len(self.labels) != num_images:
            for name in ("biased", "debiased"):
                self.resize_and_copy(name, torch.zeros(num_images))
            self.resize_and_copy("labels", torch.full((num_images,), -1))

    @torch.no_grad()
    def forward(
        self, biased: Tensor, debiased: Tensor, labels: Tensor, index: Tensor | None, num_classes: int
    ) -> Tensor:
        """Take the losses of a batch in, and weigh its images.

        Args:
            biased (Tensor): Losses of the biased network, shape ``(B,)``, the same ``B`` on each process.
            debiased (Tensor): Losses of the debiased network, shape ``(B,)``.
            labels (Tensor): Classes of the images, int64 ``(B,)``.
            index (Tensor, optional): Indices of the images in the training set, int64 ``(B,)``.
            num_classes (int): Number of classes ``C``.

        Returns:
            Tensor: Weights from 0 to 1, shape ``(B,)``.

        Raises:
            UserInputError: If the number of training images is unknown, or the images have no index.
        """
        index = self.check_index(index, "labels", "ImageBuffersHook", "set_num_images")
        if not self.repeats_batch:
            self._take_in(biased, debiased, labels, index)
        shares = []
        for means in (self.biased, self.debiased):
            highest = means.new_zeros(num_classes).scatter_reduce_(0, self.labels.clamp(min=0), means, "amax")
            shares.append(means[index] / highest[labels].clamp(min=torch.finfo(means.dtype).tiny))
        return relative_difficulty(*shares).to(biased)

    def _take_in(self, biased: Tensor, debiased: Tensor, labels: Tensor, index: Tensor) -> None:
        """Let the losses of all processes enter the means, in the order in which the ranks take turns."""
        rows = torch.stack([biased.double(), debiased.double(), labels.double(), index.double()], dim=1)
        rows = gather_rows(rows).unflatten(0, (rank_and_world_size()[1], -1)).transpose(0, 1).flatten(0, 1)
        labels, index = rows[:, 2:].long().unbind(dim=1)
        last, is_finite = last_occurrence(index), rows.isfinite().all()
        known = self.labels[index] >= 0
        for means, losses in ((self.biased, rows[last, 0]), (self.debiased, rows[last, 1])):
            old = means[index]
            new = torch.where(known, self.momentum * old + (1 - self.momentum) * losses.to(old), losses.to(old))
            means[index] = torch.where(is_finite, new, old)
        self.labels[index] = torch.where(is_finite, labels, self.labels[index])

    def extra_repr(self) -> str:
        """Show the settings."""
        return f"momentum={self.momentum}"
