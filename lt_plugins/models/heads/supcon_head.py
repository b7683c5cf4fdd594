"""Head of contrastive pre-training, with a linear probe that shows how it goes."""

from __future__ import annotations

from collections.abc import Sequence

import torch
import torch.nn.functional as F
from mmpretrain.structures import DataSample
from torch import Tensor

from lt_plugins.models.heads.probe_head import ProbeHead
from lt_plugins.models.structures import ClassDistribution, ContrastBatch
from lt_plugins.registry import MODELS


@MODELS.register_module()
class SupConHead(ProbeHead):
    """A contrastive loss, and beside it an online linear probe.

    The contrastive loss alone trains the encoder. The probe is a linear classifier on the detached, standardised pooled
    features, trained by balanced softmax; its predictions are what evaluation during pre-training reports, so that
    many-, medium- and few-shot accuracy can be followed. Stage 2 trains its own classifier.

    Args:
        num_classes (int): Number of classes ``C``.
        in_channels (int): Length of the pooled feature.
        loss (dict): Config of a loss of a :class:`ContrastBatch`, such as ``SupConLoss``, ``KCLLoss``, ``SBCLLoss`` or
            ``PCLLoss``.
        warmup_loss (dict, optional): Config of the loss that is used until ``loss.is_ready`` (SBCL: until the first
            clustering).
        init_cfg (dict, optional): Initialisation. Defaults to normal with a deviation of 0.01 for the probe.

    Examples:
        >>> head = dict(type='SupConHead', num_classes=100, in_channels=64, loss=dict(type='SBCLLoss'),
        ...             warmup_loss=dict(type='SupConLoss', temperature=0.1))
    """

    def __init__(
        self,
        num_classes: int,
        in_channels: int,
        loss: dict,
        warmup_loss: dict | None = None,
        init_cfg: dict | None = None,
    ) -> None:
        super().__init__(num_classes=num_classes, in_channels=in_channels, loss=loss, init_cfg=init_cfg)
        self.warmup_loss_module = None if warmup_loss is None else MODELS.build(warmup_loss)
        self.class_distribution = ClassDistribution(num_classes)

    def trained_prior(self, sampled: Tensor) -> Tensor:
        """Class prior that the probe answers for: its loss adds the log-priors, as balanced softmax does.

        Args:
            sampled (Tensor): How often each class came in training, shares of shape ``(C,)``.
        """
        return sampled / self.class_distribution.filled_counts().to(sampled)

    def loss(
        self,
        feats: tuple[Tensor, ...],
        data_samples: Sequence[DataSample],  # noqa: ARG002
        contrast: ContrastBatch,
    ) -> dict[str, Tensor]:
        """Compute the contrastive loss and the probe's.

        Args:
            feats (tuple[Tensor, ...]): Pooled features of the anchors, the last of shape ``(M, in_channels)``.
            data_samples (Sequence[DataSample]): Unused, part of mmpretrain's signature: the contrast has the labels.
            contrast (ContrastBatch): Anchors and candidates.

        Returns:
            dict[str, Tensor]: ``loss_contrast`` and ``loss_probe``.
        """
        contrastive_loss = self.loss_module
        if self.warmup_loss_module is not None and not getattr(self.loss_module, "is_ready", True):
            contrastive_loss = self.warmup_loss_module
        logits = self(feats)
        logits = logits.to(torch.promote_types(logits.dtype, torch.float32))
        logits = logits + self.class_distribution.log_priors().to(logits.dtype)
        return {
            "loss_contrast": contrastive_loss(contrast),
            "loss_probe": F.cross_entropy(logits, contrast.anchor_labels),
        }
