"""Normalised classifier of several heads that removes the mean direction of the features from its predictions."""

from __future__ import annotations

from collections.abc import Sequence

import torch
import torch.nn.functional as F
from mmpretrain.structures import DataSample
from torch import Tensor, nn

from lt_plugins.distributed import sum_over_processes
from lt_plugins.errors import UserInputError
from lt_plugins.models.heads.linear_head import LinearHead
from lt_plugins.models.structures import FollowsSteps
from lt_plugins.registry import MODELS


@MODELS.register_module()
class TDEHead(FollowsSteps, LinearHead):
    r"""De-confounded classifier, which predicts by the total direct effect (TDE).

    Feature :math:`x` and class weights :math:`w_c` are cut into :math:`K` equal parts, without bias:

    .. math::
        z_c = \frac{\tau}{K} \sum_{k=1}^K \frac{w_{c,k}^\top}{\lVert w_{c,k} \rVert + \gamma}
            \left( \hat x_k - \alpha \cos(x_k, d_k)\, d_k \right), \qquad d_k = \hat{\bar x}_k

    In training :math:`\alpha = 0`. The momentum of the optimiser pulls all features towards one direction, which
    favours frequent classes; :math:`\bar x`, a running mean of the features of training batches, stands for it, and
    prediction removes :math:`\alpha` times the part of a feature that lies in it. With ``alpha=0`` this is the
    de-confounded classifier alone; with ``num_heads=1, gamma=0`` as well
    :class:`~lt_plugins.models.heads.CosineClsHead`.

    The mean is that of the batches of all processes, and follows optimiser steps where gradients accumulate. A batch
    whose features are not finite, in which half precision has overflowed, does not enter it.

    Source: Tang et al., "Long-Tailed Classification by Keeping the Good and Removing the Bad Momentum Causal Effect"
    (NeurIPS 2020). The running mean of the features, of which only the direction matters, is that of the released code
    in place of the momentum of the optimiser.

    Args:
        num_classes (int): Number of classes ``C``.
        in_channels (int): Length ``D`` of the pooled feature.
        num_heads (int): Number of parts ``K``, which divides ``D``. Defaults to 2.
        scale (float): Scale ``tau`` of the logits. Defaults to 16.0.
        gamma (float): Added to the norms of the class weights, so that long ones still count more. Defaults to 1/32.
        alpha (float): How much of the mean direction predictions are freed of; 0 for nothing. Defaults to 1.5, of the
            CIFAR recipes; 3 on ImageNet-LT and Places-LT.
        momentum (float): Share of the running mean that stays in each step. Defaults to 0.9.
        loss (dict, optional): Config of the loss on the logits. Defaults to cross-entropy.
        init_cfg (dict | list, optional): Initialisation. Defaults to that of PyTorch, uniform within ``1 / sqrt(D)``.

    Raises:
        UserInputError: If a setting is out of its range, or ``num_heads`` does not divide ``in_channels``.

    Examples:
        >>> head = dict(type='TDEHead', num_classes=100, in_channels=64, alpha=1.5)
    """

    feature_mean: Tensor

    def __init__(
        self,
        num_classes: int,
        in_channels: int,
        num_heads: int = 2,
        scale: float = 16.0,
        gamma: float = 1 / 32,
        alpha: float = 1.5,
        momentum: float = 0.9,
        loss: dict | None = None,
        init_cfg: dict | list | None = None,
    ) -> None:
        super().__init__(
            num_classes=num_classes,
            in_channels=in_channels,
            loss=loss,
            init_cfg=init_cfg or {"type": "TorchDefaultInit", "layer": "Linear"},
        )
        if num_heads < 1 or in_channels % num_heads:
            raise UserInputError(f"num_heads={num_heads} must divide in_channels={in_channels}.")
        if scale <= 0 or gamma < 0 or alpha < 0:
            raise UserInputError(f"scale={scale} must be positive, gamma={gamma} and alpha={alpha} 0 or more.")
        if not 0 <= momentum < 1:
            raise UserInputError(f"momentum={momentum} of the running mean must be 0 or more and below 1.")
        self.num_heads = num_heads
        self.scale = scale
        self.gamma = gamma
        self.alpha = alpha
        self.momentum = momentum
        self.fc = nn.Linear(in_channels, num_classes, bias=False)
        self.register_buffer("feature_mean", torch.zeros(in_channels))

    def pre_logits(self, feats: tuple[Tensor, ...]) -> Tensor:
        """Normalise each part of the features.

        Args:
            feats (tuple[Tensor, ...]): Pooled features, the last of shape ``(B, D)``.

        Returns:
            Tensor: Shape ``(B, D)``, each part of length 1, in float32 even under autocast.
        """
        features = super().pre_logits(feats)
        features = features.to(torch.promote_types(features.dtype, torch.float32))
        return F.normalize(self._split(features), dim=-1).flatten(1)

    def classify(self, features: Tensor) -> Tensor:
        """Compute the logits; in evaluation mode without the mean direction.

        Args:
            features (Tensor): What :meth:`pre_logits` gives, shape ``(B, D)``.

        Returns:
            Tensor: Logits ``(B, C)``, in float32 even under autocast.
        """
        with torch.autocast(features.device.type, enabled=False):
            return features @ self._weight(0.0 if self.training else self.alpha).T

    def affine(self) -> tuple[Tensor, Tensor]:
        """Weights of prediction, which lack the mean direction, and biases of 0."""
        weight = self._weight(self.alpha).detach()
        return weight, weight.new_zeros(len(weight))

    def loss(self, feats: tuple[Tensor, ...], data_samples: Sequence[DataSample]) -> dict[str, Tensor]:
        """Compute the loss of a batch; in training its features enter the running mean.

        Args:
            feats (tuple[Tensor, ...]): Pooled features, the last of shape ``(B, D)``.
            data_samples (Sequence[DataSample]): Annotations of the ``B`` images.

        Returns:
            dict[str, Tensor]: ``loss``.
        """
        if self.training and not self.repeats_batch:
            self._observe(feats[-1])
        return super().loss(feats, data_samples)

    def _weight(self, alpha: float) -> Tensor:
        """Scaled weights ``(C, D)``; to remove a direction from them is to remove it from every feature."""
        weight = self._split(self.fc.weight)
        weight = self.scale / self.num_heads * weight / (weight.norm(dim=-1, keepdim=True) + self.gamma)
        if alpha:
            direction = F.normalize(self._split(self.feature_mean.to(weight)), dim=-1)
            weight = weight - alpha * (weight * direction).sum(dim=-1, keepdim=True) * direction
        return weight.flatten(1)

    def _split(self, rows: Tensor) -> Tensor:
        """Cut features or weights into their parts, ``(..., D)`` to ``(..., K, D / K)``."""
        return rows.unflatten(-1, (self.num_heads, -1))

    @torch.no_grad()
    def _observe(self, features: Tensor) -> None:
        """Let the mean of a batch, shape ``(B, D)`` on each process, enter the running mean."""
        sums = features.to(self.feature_mean).sum(dim=0)
        total = torch.cat([sums, sums.new_tensor([len(features)])])
        sum_over_processes(total)
        mean = total[:-1] / total[-1]
        kept = self.momentum if self.starts_step else 1.0
        self.feature_mean.copy_(torch.where(mean.isfinite().all(), kept * self.feature_mean + mean, self.feature_mean))
