"""PaCo with local pseudo-attributes."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, ClassVar

import torch
import torch.nn.functional as F
from mmpretrain.structures import DataSample
from torch import Tensor

from lt_plugins.errors import UserInputError
from lt_plugins.models.heads.paco_head import PaCoHead
from lt_plugins.models.structures import ContrastBatch
from lt_plugins.registry import MODELS


@MODELS.register_module()
class LPAHead(PaCoHead):
    r"""PaCo's head plus a supervised contrastive loss on shared local pseudo-attributes (LPA).

    The pseudo-attributes are ``K`` prototypes of local features (found by ``ReclusterHook``); each class is described
    by its strongest ones, and two images attract each other by how many attributes their classes share:

    .. math::
        L = L_{PaCo} + \alpha L_{SupCon}(z, a(y)), \qquad
        A_{yy'} = \frac{|a(y) \cap a(y')|}{|a(y) \cup a(y')|}, \quad A_{yy} = 1

    Since attributes belong to classes, the queue needs labels only and never holds stale attributes. Before the first
    clustering the attribute loss is zero and the head is exactly :class:`PaCoHead`.

    Source: Kim, Ke and Yu, "Local Pseudo-Attributes for Long-Tailed Recognition", Eq. 1. The paper leaves open how
    scores become labels and how multi-hot labels enter the contrast; see ``docs/lpa.md`` for what is decided here and
    why.

    Args:
        num_classes (int): Number of classes ``C``.
        in_channels (int): Length of the pooled and of the local features ``D``.
        num_attributes (int): Number of pseudo-attributes ``K``. Defaults to 128.
        attributes_per_class (int): How many of its strongest attributes describe a class. Defaults to 5.
        assignment_temperature (float): Temperature of the softmax over prototypes that turns the cosine of a local
            feature into scores. Defaults to 0.1.
        alpha (float): Weight of the attribute loss. Defaults to 0.1.
        loss (dict, optional): Config of the PaCo loss. Defaults to ``dict(type='PaCoLoss')``.
        attribute_loss (dict, optional): Config of the attribute loss. Defaults to :class:`SupConLoss` with the PaCo
            loss's temperature.
        init_cfg (dict, optional): Initialisation, as in :class:`PaCoHead`.

    Raises:
        UserInputError: If ``num_attributes`` or ``attributes_per_class`` does not fit the other, or a temperature or
            weight has the wrong sign.

    Examples:
        >>> head = dict(type='LPAHead', num_classes=100, in_channels=64, num_attributes=128,
        ...             loss=dict(type='PaCoLoss', alpha=0.01, temperature=0.05))
    """

    needs_hook: ClassVar[dict[str, Any]] = {"type": "ReclusterHook", "task": {"type": "AttributeClustering"}}
    prototypes: Tensor
    class_attributes: Tensor
    attribute_labels: Tensor

    def __init__(
        self,
        num_classes: int,
        in_channels: int,
        num_attributes: int = 128,
        attributes_per_class: int = 5,
        assignment_temperature: float = 0.1,
        alpha: float = 0.1,
        loss: dict | None = None,
        attribute_loss: dict | None = None,
        init_cfg: dict | None = None,
    ) -> None:
        if not 0 < attributes_per_class <= num_attributes:
            raise UserInputError(
                f"attributes_per_class={attributes_per_class} must be in 1..num_attributes={num_attributes}."
            )
        if assignment_temperature <= 0 or alpha < 0:
            raise UserInputError(
                f"assignment_temperature={assignment_temperature} must be positive and alpha={alpha} not negative."
            )
        super().__init__(num_classes, in_channels, loss=loss, init_cfg=init_cfg)
        self.num_attributes = num_attributes
        self.attributes_per_class = attributes_per_class
        self.assignment_temperature = assignment_temperature
        self.alpha = alpha
        self.attribute_loss_module = MODELS.build(
            {"type": "SupConLoss", "temperature": self.loss_module.temperature, **(attribute_loss or {})}
        )
        self.register_buffer("prototypes", torch.zeros(num_attributes, in_channels))
        self.register_buffer("class_attributes", torch.zeros(num_classes, num_attributes))
        self.register_buffer("attribute_labels", torch.zeros(num_classes, num_attributes, dtype=torch.bool))

    @property
    def has_attributes(self) -> bool:
        """Whether a clustering has set the attributes."""
        return bool(self.attribute_labels.any())

    def set_attributes(self, prototypes: Tensor, class_attributes: Tensor) -> None:
        """Take over a clustering and label each class with its strongest attributes.

        Args:
            prototypes (Tensor): Unit rows, shape ``(K, D)``.
            class_attributes (Tensor): Score of each attribute for each class, shape ``(C, K)``. A class whose scores
                are all equal (no images) gets no attributes.
        """
        self.prototypes.copy_(prototypes)
        self.class_attributes.copy_(class_attributes)
        strongest = self.class_attributes.topk(self.attributes_per_class, dim=1).indices
        labels = torch.zeros_like(self.attribute_labels).scatter_(1, strongest, True)
        described = self.class_attributes.amax(dim=1) > self.class_attributes.amin(dim=1)
        self.attribute_labels.copy_(labels & described[:, None])

    def attribute_scores(self, local_features: Tensor) -> Tensor:
        """Softly assign local features to attributes.

        Args:
            local_features (Tensor): Shape ``(..., D)``.

        Returns:
            Tensor: Scores that sum to 1 over the attributes, shape ``(..., K)``, float32.
        """
        cosine = F.normalize(local_features.float(), dim=-1) @ self.prototypes.T
        return (cosine / self.assignment_temperature).softmax(dim=-1)

    def affinity(self, labels: Tensor, other_labels: Tensor, dtype: torch.dtype = torch.float32) -> Tensor:
        """Jaccard index of the attributes of pairs of classes; 1 for a class with itself.

        Args:
            labels (Tensor): Classes, int64 ``(M,)``.
            other_labels (Tensor): Classes, int64 ``(A,)``; negative ones are no class and have affinity 0.
            dtype (torch.dtype): Of the result. Defaults to ``torch.float32``.

        Returns:
            Tensor: Affinities in ``[0, 1]``, shape ``(M, A)``.
        """
        one = self.attribute_labels[labels].to(dtype)
        other = self.attribute_labels[other_labels.clamp(min=0)].to(dtype)
        shared = one @ other.T
        union = one.sum(dim=1)[:, None] + other.sum(dim=1)[None, :] - shared
        affinity = torch.where(labels[:, None] == other_labels[None, :], 1.0, shared / union.clamp(min=1))
        return affinity.masked_fill(other_labels[None, :] < 0, 0.0)

    def loss(
        self, feats: tuple[Tensor, ...], data_samples: Sequence[DataSample], contrast: ContrastBatch
    ) -> dict[str, Tensor]:
        """Compute PaCo's loss and the weighted attribute loss.

        Args:
            feats (tuple[Tensor, ...]): Pooled features of the anchors, the last of shape ``(M, in_channels)``.
            data_samples (Sequence[DataSample]): Unused, part of mmpretrain's signature: the contrast has the labels.
            contrast (ContrastBatch): Anchors and candidates.

        Returns:
            dict[str, Tensor]: ``loss_paco`` and ``loss_attribute``.
        """
        losses = super().loss(feats, data_samples, contrast=contrast)
        affinity = self.affinity(contrast.anchor_labels, contrast.candidate_labels, contrast.cosine.dtype)
        attribute_loss = self.attribute_loss_module(contrast, affinity)
        # A product instead of a branch: asking the device for a bool would stall it in every step.
        losses["loss_attribute"] = self.alpha * (self.attribute_labels.any() * attribute_loss)
        return losses
