"""Curriculum over the images of a training set: from those that experts find easy to all of them alike."""

from __future__ import annotations

from typing import Any, ClassVar

import torch
from torch import Tensor

from lt_plugins.errors import UserInputError
from lt_plugins.models.structures import DataSizedModule, StatesCall
from lt_plugins.registry import MODELS

SCALES = ("loss", "logits")


def instance_weights(confidence: Tensor, labels: Tensor, floors: Tensor) -> Tensor:
    r"""Weights of the images at the start of a curriculum: the confidence of their expert, scaled within each class.

    .. math::
        v_i = f_{y_i} + (1 - f_{y_i}) \frac{p_i - \min_{j: y_j = y_i} p_j}{\max_{j: y_j = y_i} p_j -
            \min_{j: y_j = y_i} p_j}

    Where all images of a class are alike, they have weight 1.

    Args:
        confidence (Tensor): Probability of the true class by its expert :math:`p_i`, shape ``(N,)``.
        labels (Tensor): Classes of the images, int64 ``(N,)``.
        floors (Tensor): Weight of the hardest image of each class :math:`f_c`, shape ``(C,)``.

    Returns:
        Tensor: Shape ``(N,)``.
    """
    empty = confidence.new_zeros(len(floors))
    lowest = empty.scatter_reduce(0, labels, confidence, "amin", include_self=False)[labels]
    highest = empty.scatter_reduce(0, labels, confidence, "amax", include_self=False)[labels]
    span = highest - lowest
    share = torch.where(span > 0, (confidence - lowest) / torch.where(span > 0, span, 1.0), 1.0)
    floor = floors.to(confidence)[labels]
    return floor + (1 - floor) * share


def class_floors(counts: Tensor, memberships: Tensor) -> Tensor:
    """Weight of the hardest image of each class: images a class of the rarest expert over those of its own.

    Args:
        counts (Tensor): Training images of each class, shape ``(C,)``.
        memberships (Tensor): Which classes each expert has, bool ``(E, C)``.

    Returns:
        Tensor: Shape ``(C,)``, float64, from 0 to 1; 1 where no expert has the class. Of several the highest counts.
    """
    members = memberships.double()
    means = (members @ counts.double()) / members.sum(dim=1).clamp(min=1)
    floors = (members * (means.min() / means)[:, None]).amax(dim=0)
    return torch.where(memberships.any(dim=0), floors, 1.0)


@MODELS.register_module()
class InstanceCurriculum(StatesCall, DataSizedModule):
    r"""Curriculum instance selection (LFME): weights of the images that grow linearly from their start to 1.

    .. math::
        v_i(t) = v_i + (1 - v_i) \min\Big(1, \frac{t}{\rho T}\Big), \qquad t = 1, \dots, T

    The start :math:`v_i` is what ``LFMEHook`` finds before the training, by the experts (:func:`instance_weights`).

    Source: Xiang et al., "Learning From Multiple Experts: Self-paced Knowledge Distillation for Long-tailed
    Classification" (ECCV 2020). Its released code multiplies the logits by the weights, those of the distillation too,
    reaches 1 in the middle of the training and goes on from there at the same rate: ``scales='logits', full_at=0.5,
    extrapolate=True``.

    Args:
        scales (str): What the weights multiply: ``"loss"``, the cross-entropy of each image, as in the paper, or
            ``"logits"``. Defaults to ``"loss"``.
        full_at (float): Share of the training after which all weights are 1 :math:`\rho`, above 0 up to 1. Defaults to
            1.0.
        extrapolate (bool): Whether weights go on growing beyond 1, the faster the harder the image. Defaults to False.

    Attributes:
        start (Tensor): Weights at the start :math:`v_i`, float32 ``(N,)``. Empty until ``LFMEHook`` gives it a size.

    Raises:
        UserInputError: If an argument is out of range.
    """

    call = "loss(sample_idx), the weight of each image"

    needs_hook: ClassVar[dict[str, Any]] = {"type": "LFMEHook"}
    sized_by_data = ("start",)
    start: Tensor

    def __init__(self, scales: str = "loss", full_at: float = 1.0, extrapolate: bool = False) -> None:
        super().__init__()
        if scales not in SCALES:
            raise UserInputError(f"scales={scales!r} of InstanceCurriculum must be one of {', '.join(SCALES)}.")
        if not 0 < full_at <= 1:
            raise UserInputError(f"full_at={full_at} of InstanceCurriculum must be above 0 and at most 1, like 0.5.")
        self.scales = scales
        self.full_at = full_at
        self.extrapolate = extrapolate
        self.progress = 0.0
        self.register_buffer("start", torch.zeros(0))

    def set_num_images(self, num_images: int) -> None:
        """Give the weights the size of the training set; those of another size are forgotten.

        Args:
            num_images (int): Number of training images ``N``.
        """
        if len(self.start) != num_images:
            self.set_start(torch.ones(num_images))

    def set_start(self, weights: Tensor) -> None:
        """Set the weights at the start.

        Args:
            weights (Tensor): Shape ``(N,)``.
        """
        self.resize_and_copy("start", weights)

    def set_epoch(self, epoch: int, max_epochs: int) -> None:
        """Move the weights on their way to 1.

        Args:
            epoch (int): The epoch about to start, from 0.
            max_epochs (int): Number of epochs of the training.
        """
        progress = (epoch + 1) / (self.full_at * max_epochs)
        self.progress = progress if self.extrapolate else min(progress, 1.0)

    def forward(self, sample_idx: Tensor | None) -> Tensor:
        """Weigh the images of a batch.

        Args:
            sample_idx (Tensor, optional): Their indices in the training set, int64 ``(B,)``.

        Returns:
            Tensor: Weights, shape ``(B,)``.

        Raises:
            UserInputError: If the number of training images is unknown, or the images have no index.
        """
        start = self.start[self.check_index(sample_idx, "start", "LFMEHook", "set_start")]
        return start + (1 - start) * self.progress

    def extra_repr(self) -> str:
        """Show the settings."""
        return f"scales={self.scales!r}, full_at={self.full_at}, extrapolate={self.extrapolate}"
