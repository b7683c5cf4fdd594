"""Recorder of the confidence of each training image, by which environments are drawn."""

from __future__ import annotations

from typing import Any, ClassVar

import torch
import torch.nn.functional as F
from torch import Tensor

from lt_plugins.distributed import max_over_processes, rank_and_world_size, sum_over_processes
from lt_plugins.errors import UserInputError
from lt_plugins.models.structures import DataSizedModule, FollowsSteps, LabelBatch, StatesCall
from lt_plugins.models.structures.image_order import last_occurrence
from lt_plugins.registry import MODELS

MAX_BATCH = 2**24
"""Images of a process in a step, which the order of what is recorded leaves room for."""


@MODELS.register_module()
class EnvironmentRecorder(StatesCall, DataSizedModule, FollowsSteps):
    r"""Environment recorder: notes the probability of the true class of each image while the model trains.

    An auxiliary module of :class:`.AuxLossClassifier` that adds no loss. ``EnvironmentHook`` makes the environments of
    invariant feature learning (IFL) out of ``confidence`` at its milestones, and keeps their weights here.

    The probability is that of the augmented image in the training pass, as in the released code; of an image that
    comes several times in an epoch the last one counts. Of several experts it is that of their mean logits. A mixed
    image counts for the one whose index it has, by the probability of that image's own class. A batch with a value that
    is not finite (mixed precision skips its step) and the second pass of a step of ``SAMOptimWrapper`` are left out.

    Source: Tang et al., "Invariant Feature Learning for Generalized Long-Tailed Classification" (ECCV 2022).

    Args:
        temperature (float): Divides the logits. The released code of LDAM + IFL records cosines, which are the logits
            of this package divided by their scale, 30. Defaults to 1.

    Attributes:
        confidence (Tensor): Probability of the true class of each training image in this epoch, float32 ``(N,)``; -1 of
            images that have not come. Empty until ``EnvironmentHook`` gives it a size.
        weights (Tensor): Sampling weights of the environments beside the first one, float64 ``(E - 1, N)``. Equal until
            the first milestone.

    Raises:
        UserInputError: If the temperature is not positive.

    Examples:
        >>> model = dict(
        ...     type='AuxLossClassifier', num_environments=2,
        ...     aux_losses=dict(center=dict(type='CenterLoss', weights=[(60, 0.001), (80, 0.005)]),
        ...                     environments=dict(type='EnvironmentRecorder')))
        >>> custom_hooks = [dict(type='EnvironmentHook', milestones=[60, 80])]
    """

    call = "loss(features, logits, LabelBatch(labels, sample_idx=indices), num_environments)"

    needs_hook: ClassVar[dict[str, Any]] = {"type": "EnvironmentHook"}
    sized_by_data = ("confidence", "weights", "order")
    confidence: Tensor
    weights: Tensor
    order: Tensor

    def __init__(self, temperature: float = 1.0) -> None:
        super().__init__()
        if not temperature > 0:
            raise UserInputError(f"temperature={temperature} must be positive, like 1.")
        self.temperature = temperature
        self.register_buffer("confidence", torch.zeros(0))
        self.register_buffer("weights", torch.zeros(0, 0, dtype=torch.float64))
        # Of the last occurrence of each image: step, position in the batch and rank as one number; -1 for none.
        self.register_buffer("order", torch.zeros(0, dtype=torch.int64), persistent=False)
        self._step = 0

    def set_num_images(self, num_images: int) -> None:
        """Give the buffers the size of the training set; values of another size are forgotten.

        Args:
            num_images (int): Number of training images ``N``.
        """
        if len(self.confidence) != num_images:
            self.resize_and_copy("confidence", torch.full((num_images,), -1.0))
            self.set_weights(torch.zeros(0, num_images, dtype=torch.float64))
        self.resize_and_copy("order", torch.full((num_images,), -1))

    def set_weights(self, weights: Tensor) -> None:
        """Take over the weights of the environments.

        Args:
            weights (Tensor): Those beside the first environment, shape ``(E - 1, N)``.
        """
        self.resize_and_copy("weights", weights)

    def set_epoch(self, epoch: int, max_epochs: int) -> None:  # noqa: ARG002 (each epoch is recorded alike)
        """Forget the confidences of the epoch before.

        Args:
            epoch (int): The epoch about to start, from 0. Unused.
            max_epochs (int): Number of epochs of the training. Unused.
        """
        self.confidence.fill_(-1)
        self.order.fill_(-1)
        self._step = 0

    @torch.no_grad()
    def forward(self, features: Tensor, logits: Tensor, samples: LabelBatch, num_environments: int) -> None:  # noqa: ARG002
        """Record a batch.

        Args:
            features (Tensor): Pooled features, shape ``(B, D)``. Unused.
            logits (Tensor): Logits of the head, shape ``(B, C)``, or of each of ``K`` experts, ``(B, K, C)``.
            samples (LabelBatch): Labels and indices of the images.
            num_environments (int): Number of equal parts of the batch, one an environment. Unused.

        Raises:
            UserInputError: If the number of training images is unknown, or the images have no index.
        """
        if self.repeats_batch:
            return
        index = self.check_index(samples.sample_idx, "confidence", "EnvironmentHook", "set_num_images")
        logits = logits if logits.dim() == 2 else logits.mean(dim=1)
        logits = logits.to(torch.promote_types(logits.dtype, torch.float32))
        probability = F.softmax(logits / self.temperature, dim=1)
        confidence = probability.gather(1, samples.one_label_each[:, None])[:, 0].to(self.confidence)
        rank, world_size = rank_and_world_size()
        last = last_occurrence(index)
        order = (self._step * MAX_BATCH + last) * world_size + rank
        is_finite = logits.isfinite().all()
        self.confidence[index] = torch.where(is_finite, confidence[last], self.confidence[index])
        self.order[index] = torch.where(is_finite, order, self.order[index])
        self._step += 1

    def combine(self) -> None:
        """Give every process the last confidence of each image over all of them; call it at the end of an epoch.

        The order is that of one process with batches as large as those of all together: by step, by place in the
        batches that the ranks take turns in.
        """
        rank, world_size = rank_and_world_size()
        if world_size == 1:
            return
        max_over_processes(self.order)
        own = torch.where(self.order % world_size == rank, self.confidence, 0)
        sum_over_processes(own)
        self.confidence.copy_(torch.where(self.order >= 0, own, -1))

    def extra_repr(self) -> str:
        """Show the settings."""
        return f"temperature={self.temperature}"
