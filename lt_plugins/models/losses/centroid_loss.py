"""Centroid loss of OLTR: class centroids that are learned, attract their own features and repel all others."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any, ClassVar, Literal

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from lt_plugins.distributed import gather_rows
from lt_plugins.errors import UserInputError
from lt_plugins.models.losses.aux_loss import AuxLoss
from lt_plugins.models.structures import LabelBatch
from lt_plugins.registry import MODELS

HINGES = ("batch", "sample")


@MODELS.register_module()
class CentroidLoss(AuxLoss):
    r"""Discriminative centroid loss: features attract the centroid of their class and keep away from all others.

    .. math::
        L = \omega \Big( \frac{1}{2B} \sum_i \|v_i - M_{y_i}\|^2 + \lambda \Big[ m - \frac{1}{BC} \sum_i
            \sum_{j \ne y_i} \|v_i - M_j\|^2 \Big]_+ \Big)

    with the hinge on the mean of the batch, as in the released code, or with ``hinge="sample"`` one an image as in the
    paper, :math:`\frac{1}{B} \sum_i [m - \frac{1}{C} \sum_{j \ne y_i} \|v_i - M_j\|^2]_+`.

    The centroids :math:`M` are parameters: the optimiser of the model moves them, with its momentum, its decay and a
    learning rate of their own (``custom_keys={"centroids": dict(lr_mult=...)}``). The second term gives them its
    gradient. The first gives them, as in the released code, the rule of the original center loss, without
    :math:`\omega` and divided by the :math:`n_c` images of the class in the batch (:class:`.CenterLoss` with
    ``update="class"`` makes such steps by itself):

    .. math:: g_c = \frac{1}{B} \sum_{y_i = c} \frac{M_c - v_i}{1 + n_c}

    Batch, :math:`n_c` and hinge are those of all processes, whose batches are gathered: they compute the same loss, and
    take the same steps. Centroids start as standard normal numbers and, with ``CentroidHook``, as the class means of
    the training set.

    Source: Liu et al., "Large-Scale Long-Tailed Recognition in an Open World" (CVPR 2019), section 3.2, where distances
    are not squared; here they are, as in the released code.

    Args:
        num_classes (int): Number of classes ``C``.
        in_channels (int): Length ``D`` of the features.
        margin (float): Margin :math:`m` of the repelling term. Defaults to 10.0.
        repel_weight (float): Weight :math:`\lambda` of that term. Defaults to 0.01.
        hinge (str): ``"batch"``: one on the mean of the batch; ``"sample"``: one an image. Defaults to ``"batch"``.
        weights (float | Sequence[Sequence[float]]): Weight :math:`\omega`, or pairs of an epoch and the weight from it
            on. Defaults to 0.01.

    Raises:
        UserInputError: If an argument is unknown or out of range.

    Examples:
        >>> head = dict(type='OLTRHead', num_classes=1000, in_channels=512, centroid_loss=dict(type='CentroidLoss'))
        >>> optim_wrapper = dict(paramwise_cfg=dict(custom_keys={'centroids': dict(lr_mult=0.1)}))
    """

    needs_hook: ClassVar[dict[str, Any]] = {"type": "CentroidHook"}
    needs_one_label = True

    def __init__(
        self,
        num_classes: int,
        in_channels: int,
        margin: float = 10.0,
        repel_weight: float = 0.01,
        hinge: Literal["batch", "sample"] = "batch",
        weights: float | Sequence[Sequence[float]] = 0.01,
    ) -> None:
        super().__init__(weights)
        if not (0 <= margin < math.inf and 0 <= repel_weight < math.inf):
            raise UserInputError(f"margin={margin} and repel_weight={repel_weight} must be 0 or more.")
        if hinge not in HINGES:
            raise UserInputError(f"hinge={hinge!r} must be one of {HINGES}.")
        self.margin = margin
        self.repel_weight = repel_weight
        self.hinge = hinge
        self.centroids = nn.Parameter(torch.randn(num_classes, in_channels))

    @torch.no_grad()
    def set_centroids(self, centroids: Tensor) -> None:
        """Set the centroids, as the means of the classes; the optimiser moves them on from there.

        Args:
            centroids (Tensor): Shape ``(C, D)``, the same on all processes.

        Raises:
            UserInputError: If the shape is another one.
        """
        if centroids.shape != self.centroids.shape:
            raise UserInputError(
                f"centroids {tuple(centroids.shape)} must be (classes, channels)={tuple(self.centroids.shape)}."
            )
        self.centroids.copy_(centroids)

    def forward(
        self,
        features: Tensor,
        logits: Tensor,  # noqa: ARG002 (the signature of auxiliary losses)
        samples: LabelBatch,
        num_environments: int = 1,  # noqa: ARG002 (centroids are those of all environments)
    ) -> Tensor:
        """Compute the loss of a batch, in training that of all processes together.

        Args:
            features (Tensor): Features, shape ``(B, D)``, as many on each process.
            logits (Tensor): Unused.
            samples (LabelBatch): Labels of the images.
            num_environments (int): Unused. Defaults to 1.

        Returns:
            Tensor: Scalar loss in float32 (or float64, if the features are).
        """
        labels = samples.target
        features = features.to(torch.promote_types(features.dtype, torch.float32))
        if self.training:
            features, labels = gather_rows(features), gather_rows(labels)
        with torch.autocast(features.device.type, enabled=False):
            own = self.centroids[labels]
            attract = _half_square(features, own.detach()).mean()
            counts = labels.new_zeros(len(self.centroids)).index_add_(0, labels, torch.ones_like(labels))
            rule = (_half_square(features.detach(), own) / (1 + counts[labels])).mean()
            loss = attract + self.repel_weight * self._repel(features, labels)
        # The rule is a loss of the centroids alone, whose value does not count.
        return self.weight * loss + (rule - rule.detach())

    def _repel(self, features: Tensor, labels: Tensor) -> Tensor:
        """What the margin is more than the mean distance to the centroids of other classes."""
        others = squared_distances(features, self.centroids).scatter(1, labels[:, None], 0.0).mean(dim=1)
        return F.relu(self.margin - (others.mean() if self.hinge == "batch" else others)).mean()


def squared_distances(features: Tensor, centroids: Tensor) -> Tensor:
    r"""Squared distances of features to centroids, :math:`\|v\|^2 - 2 v^\top M_c + \|M_c\|^2`.

    Args:
        features (Tensor): Features ``(B, D)``.
        centroids (Tensor): Centroids ``(C, D)``.

    Returns:
        Tensor: Shape ``(B, C)``; rounded by about the last digit of the squared norms.
    """
    norms = features.square().sum(dim=1, keepdim=True) + centroids.square().sum(dim=1)
    return norms - 2 * features @ centroids.T


def _half_square(features: Tensor, centroids: Tensor) -> Tensor:
    """Half the squared distance of each feature to a centroid of its own, shape ``(B,)``."""
    return (features - centroids).square().sum(dim=1) / 2
