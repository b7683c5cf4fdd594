"""Classifiers of several experts, which predict by the mean of their logits."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, cast

import torch
from mmengine.model import ModuleList
from mmpretrain.models.heads import ClsHead
from torch import Tensor

from lt_plugins.errors import UserInputError
from lt_plugins.models.heads.affine_head import AffineHead
from lt_plugins.models.losses import MultiExpertLoss
from lt_plugins.registry import MODELS


@MODELS.register_module()
class MultiExpertHead(AffineHead):
    r"""Multi-expert head: a classifier for each of the ``K`` maps of a multi-expert backbone.

    In training its logits are those of all experts, shape ``(B, K, C)``, for a
    :class:`~lt_plugins.models.losses.MultiExpertLoss`; it predicts by their mean :math:`\bar z = \frac{1}{K} \sum_k
    z^{(k)}`. That is affine in the features of the experts one behind the other, so that post-hoc methods take it like
    a single classifier.

    Source: Wang et al., "Long-tailed Recognition by Routing Diverse Distribution-Aware Experts" (ICLR 2021).

    Args:
        num_classes (int): Number of classes ``C``.
        in_channels (int): Length ``D`` of the pooled feature of one expert.
        num_experts (int): Number of experts ``K``, as in the backbone. Defaults to 3.
        expert (dict, optional): Config of the classifier of an expert, without sizes and loss: an
            :class:`~lt_plugins.models.heads.AffineHead` that adds nothing of its own to the loss. Defaults to
            ``dict(type='CosineClsHead')``.
        loss (dict, optional): Config of the loss on the logits of all experts. Defaults to ``dict(type='RIDELoss')``.
        init_cfg (dict | list, optional): Initialisation. Defaults to that of each expert.

    Raises:
        UserInputError: If there is no expert, its head does not fit, or the loss is none of experts.

    Examples:
        >>> head = dict(type='MultiExpertHead', num_classes=100, in_channels=48, num_experts=3,
        ...             expert=dict(type='CosineClsHead', scale=30.0),
        ...             loss=dict(type='RIDELoss', class_weight='effective_number', reweight_from=160))
    """

    def __init__(
        self,
        num_classes: int,
        in_channels: int,
        num_experts: int = 3,
        expert: dict | None = None,
        loss: dict | None = None,
        init_cfg: dict | list | None = None,
    ) -> None:
        super().__init__(loss=loss or {"type": "RIDELoss"}, init_cfg=init_cfg)
        if num_experts < 1:
            raise UserInputError(f"num_experts={num_experts} must be 1 or more, like 3.")
        if not isinstance(self.loss_module, MultiExpertLoss):
            raise UserInputError(
                f"{type(self.loss_module).__name__} is a loss on the logits of one classifier; MultiExpertHead takes "
                "one of several experts, like RIDELoss."
            )
        expert = expert or {"type": "CosineClsHead"}
        if "loss" in expert:
            raise UserInputError("the loss of all experts belongs to MultiExpertHead; remove expert.loss.")
        sizes = {"num_classes": num_classes, "in_channels": in_channels}
        self.num_classes = num_classes
        self.in_channels = in_channels
        self.num_experts = num_experts
        self.experts = ModuleList([MODELS.build({**expert, **sizes}) for _ in range(num_experts)])  # initialises them
        first: Any = self.experts[0]
        if not isinstance(first, AffineHead) or type(first).loss is not ClsHead.loss:
            raise UserInputError(
                f"a {type(first).__name__} cannot be the classifier of an expert: its training is more than a loss on "
                "its logits; use LinearHead, CosineClsHead or another AffineHead."
            )
        first.check_loss(self.loss_module)
        self.has_unit_features = first.has_unit_features

    def pre_logits(self, feats: tuple[Tensor, ...]) -> Tensor:
        """Put the features of the experts one behind the other.

        Args:
            feats (tuple[Tensor, ...]): Pooled features of the ``K`` experts, each of shape ``(B, D)``.

        Returns:
            Tensor: Shape ``(B, K * D)``.

        Raises:
            UserInputError: If there are more or fewer.
        """
        if len(feats) != self.num_experts:
            raise UserInputError(
                f"the backbone gives {len(feats)} feature(s) of an image, but MultiExpertHead has "
                f"num_experts={self.num_experts}; set num_experts of both to the same number."
            )
        return torch.cat([head.pre_logits((x,)) for head, x in zip(self._heads(), feats, strict=True)], dim=1)

    def forward(self, feats: tuple[Tensor, ...]) -> Tensor:
        """Compute the logits, in training of each expert, in evaluation their mean.

        Args:
            feats (tuple[Tensor, ...]): Pooled features of the ``K`` experts, each of shape ``(B, D)``.

        Returns:
            Tensor: Logits, shape ``(B, K, C)`` in training, ``(B, C)`` in evaluation.
        """
        features = self.pre_logits(feats)
        if self.training:
            return self.expert_logits(features)
        return self.classify(features) if self.adjusted is None else self.adjusted(self.affine_features(features))

    def expert_logits(self, features: Tensor) -> Tensor:
        """Compute the logits of each expert.

        Args:
            features (Tensor): What :meth:`pre_logits` gives, shape ``(B, K * D)``.

        Returns:
            Tensor: Shape ``(B, K, C)``.
        """
        parts = features.chunk(self.num_experts, dim=1)
        return torch.stack([head.classify(x) for head, x in zip(self._heads(), parts, strict=True)], dim=1)

    def classify(self, features: Tensor) -> Tensor:
        """Compute the mean of the experts' logits.

        Args:
            features (Tensor): What :meth:`pre_logits` gives, shape ``(B, K * D)``.

        Returns:
            Tensor: Logits ``(B, C)``.
        """
        return self.expert_logits(features).mean(dim=1)

    def affine(self) -> tuple[Tensor, Tensor]:
        """The mean of the experts as one affine classifier of what :meth:`affine_features` gives.

        Returns:
            tuple[Tensor, Tensor]: Weights ``(C, K * D)`` and biases ``(C,)``, without gradient.
        """
        weights, biases = zip(*(head.affine() for head in self._heads()), strict=True)
        scale = self.num_experts**0.5 if self.has_unit_features else self.num_experts
        return torch.cat(weights, dim=1) / scale, torch.stack(biases).mean(dim=0)

    def expert_biases(self) -> Tensor:
        """Bias of each class in the classifier of each expert, shape ``(K, C)``, without gradient."""
        return torch.stack([head.affine()[1] for head in self._heads()])

    def affine_features(self, features: Tensor) -> Tensor:
        r"""What the classifier is affine in: the features, or the directions of each expert's, of length 1 together.

        Args:
            features (Tensor): What :meth:`pre_logits` gives, shape ``(B, K * D)``.

        Returns:
            Tensor: Shape ``(B, K * D)``; of directions, each is divided by :math:`\sqrt K`.
        """
        parts = features.chunk(self.num_experts, dim=1)
        directions = [head.affine_features(x) for head, x in zip(self._heads(), parts, strict=True)]
        return torch.cat(directions, dim=1) / (self.num_experts**0.5 if self.has_unit_features else 1)

    def _heads(self) -> Iterator[AffineHead]:
        return (cast(AffineHead, expert) for expert in self.experts)
