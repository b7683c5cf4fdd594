"""Range loss: shrinks the largest distances within a class and parts the two nearest classes."""

from __future__ import annotations

import math
from collections.abc import Sequence

import torch
from torch import Tensor

from lt_plugins.distributed import gather_rows
from lt_plugins.errors import UserInputError
from lt_plugins.models.losses.aux_loss import AuxLoss
from lt_plugins.models.structures import LabelBatch
from lt_plugins.registry import MODELS

SMALLEST = 1e-12
"""Squared distances below this one count as it: the harmonic mean has no slope at 0."""


@MODELS.register_module()
class RangeLoss(AuxLoss):
    r"""Range loss, an auxiliary loss: harmonic means of the largest distances in a class, and a margin between classes.

    .. math::
        L = \omega_t \Big( \alpha \sum_{c} \frac{k}{\sum_{j=1}^k 1 / D_j^{(c)}}
        + \beta \max\big(m - \min_{c \ne c'} \lVert \mu_c - \mu_{c'} \rVert^2, 0\big) \Big)

    over the classes of a batch, with :math:`D_j^{(c)}` the ``k`` largest squared distances between two images of class
    ``c`` and :math:`\mu_c` the mean of its features in the batch. A class with fewer pairs has the mean of those that
    it has, a class of one image none; a batch of one class has no second term. Distances are those of the images of all
    processes, so that the loss does not depend on their number.

    A batch must hold several images of a class: :class:`.ClassAwareSampler` with ``samples_per_class=K`` and a
    ``batch_size`` of ``P * K`` gives ``K`` images of each of ``P`` classes.

    The second term pulls on one pair of classes a step. The defaults are ours, for the 64 pooled features of a
    ``CIFARResNet``, whose class means are about 50 apart after cross-entropy (squared, on digits); there is no official
    code, and the values of an unofficial Caffe layer (``alpha=1e-4``, ``beta=1e-3``, ``margin=2e4``, for faces) are
    called untested by its author.

    Source: Zhang et al., "Range Loss for Deep Face Recognition with Long-Tailed Training Data" (ICCV 2017), Eq. 2 to 6.

    Args:
        alpha (float): Weight of the distances within classes. Defaults to 0.001.
        beta (float): Weight of the margin between classes. Defaults to 0.01.
        margin (float): Squared distance ``m`` that the two nearest class means are to have. Defaults to 50.0.
        k (int): How many of the largest distances of a class. Defaults to 2.
        weights (float | Sequence[Sequence[float]]): Weight :math:`\omega_t` of both terms, or pairs of an epoch and the
            weight from it on. Defaults to 1.0.

    Raises:
        UserInputError: If an argument is out of range.

    Examples:
        >>> model = dict(type='AuxLossClassifier', aux_losses=dict(range=dict(type='RangeLoss')))
        >>> train_dataloader = dict(batch_size=128, sampler=dict(type='ClassAwareSampler', samples_per_class=4))
    """

    needs_one_label = True

    def __init__(
        self,
        alpha: float = 0.001,
        beta: float = 0.01,
        margin: float = 50.0,
        k: int = 2,
        weights: float | Sequence[Sequence[float]] = 1.0,
    ) -> None:
        super().__init__(weights)
        if not all(0 <= value < math.inf for value in (alpha, beta, margin)):
            raise UserInputError(
                f"alpha={alpha}, beta={beta} and margin={margin} must be finite and 0 or more, like 0.001, 0.01 and 50."
            )
        if k < 1:
            raise UserInputError(f"k={k}, how many of the largest distances of a class, must be 1 or more, like 2.")
        self.alpha = alpha
        self.beta = beta
        self.margin = margin
        self.k = k

    def forward(
        self,
        features: Tensor,
        logits: Tensor,  # noqa: ARG002 (the interface of auxiliary losses)
        samples: LabelBatch,
        num_environments: int = 1,  # noqa: ARG002
    ) -> Tensor:
        """Compute the loss of a batch.

        Args:
            features (Tensor): What the head classifies, shape ``(B, D)``.
            logits (Tensor): Unused.
            samples (LabelBatch): Labels of the images, one each.
            num_environments (int): Unused. Defaults to 1.

        Returns:
            Tensor: Scalar loss in float32 (or float64, if the features are), the same in all processes.
        """
        features = features.to(torch.promote_types(features.dtype, torch.float32))
        if not self.weight:
            return features.new_zeros(())
        rows, labels = gather_rows(features), gather_rows(samples.one_label_each)
        within = intra_class_range(rows, labels, self.k)
        between = inter_class_margin(rows, labels, self.margin)
        return self.weight * (self.alpha * within + self.beta * between)


def intra_class_range(features: Tensor, labels: Tensor, k: int) -> Tensor:
    """Sum over classes of the harmonic mean of the ``k`` largest squared distances between two of their images.

    Args:
        features (Tensor): Features ``(B, D)``.
        labels (Tensor): Their classes, int64 ``(B,)``.
        k (int): How many distances.

    Returns:
        Tensor: Scalar.
    """
    same = labels[:, None] == labels
    with torch.no_grad():  # which pairs
        ranges = torch.where(same.triu(1), _squared_distances(features), -torch.inf)
        # The largest of a class are among the largest of its images; row i of what follows is of the class of image i.
        of_image, partner = ranges.topk(min(k, len(features)), dim=1)
        of_class = torch.where(same[:, :, None], of_image, -torch.inf).flatten(1)
        largest, place = of_class.topk(min(k, of_class.shape[1]), dim=1)
        counted = (largest > -torch.inf) & _is_first(same)[:, None]
        first, second = place // of_image.shape[1], partner.flatten()[place]
    distances = (features[first] - features[second]).square().sum(dim=2).clamp(min=SMALLEST)
    inverse = torch.where(counted, 1 / distances, 0).sum(dim=1)
    number = counted.sum(dim=1)
    return (number / torch.where(number > 0, inverse, 1)).sum()


def inter_class_margin(features: Tensor, labels: Tensor, margin: float) -> Tensor:
    """By how much the squared distance of the two nearest class means falls short of a margin.

    Args:
        features (Tensor): Features ``(B, D)``.
        labels (Tensor): Their classes, int64 ``(B,)``.
        margin (float): The margin.

    Returns:
        Tensor: Scalar, 0 if there is one class.
    """
    same = labels[:, None] == labels
    means = same.to(features) @ features / same.sum(dim=1, keepdim=True)  # of the class of each image
    first = _is_first(same)
    apart = first[:, None] & first & ~same
    with torch.no_grad():  # which pair
        place = torch.where(apart, _squared_distances(means), torch.inf).flatten().argmin(keepdim=True)
    distance = (means[place // len(labels)] - means[place % len(labels)]).square().sum()
    return torch.where(apart.any(), (margin - distance).clamp(min=0), 0)


def _is_first(same: Tensor) -> Tensor:
    """Which images are the first of their class, bool ``(B,)``."""
    return ~same.tril(-1).any(dim=1)


def _squared_distances(rows: Tensor) -> Tensor:
    """Squared distances ``(B, B)``, good enough to compare."""
    rows = rows - rows.mean(dim=0)
    norms = rows.square().sum(dim=1)
    return norms[:, None] + norms - 2 * rows @ rows.T
