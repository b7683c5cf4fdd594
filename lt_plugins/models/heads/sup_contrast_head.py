"""Head of contrastive pre-training, with a linear probe that shows how it goes."""

from __future__ import annotations

import torch.nn.functional as F
from mmpretrain.models.heads import LinearClsHead
from mmpretrain.registry import MODELS
from mmpretrain.structures import DataSample
from torch import Tensor

from lt_plugins.structures import ClassDistribution, ContrastBatch


@MODELS.register_module()
class SupContrastHead(LinearClsHead):
    """A contrastive loss, and beside it an online linear probe.

    The contrastive loss alone trains the encoder. The probe is a linear classifier on the detached, l2-normalised
    pooled features, trained by balanced softmax; its predictions are what evaluation during pre-training reports, so
    that many-, medium- and few-shot accuracy can be followed. Stage 2 trains its own classifier.

    Args:
        num_classes (int): Number of classes ``C``.
        in_channels (int): Length of the pooled feature.
        loss (dict): Config of a loss of a :class:`ContrastBatch`, such as ``SupConLoss``, ``KCLLoss`` or ``SBCLLoss``.
        warmup_loss (dict, optional): Config of the loss that is used until ``loss.is_ready`` (SBCL: until the first
            clustering).
        init_cfg (dict, optional): Initialisation. Defaults to normal with a deviation of 0.01 for the probe.

    Examples:
        >>> head = dict(type='SupContrastHead', num_classes=100, in_channels=64, loss=dict(type='SBCLLoss'),
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
        super().__init__(
            num_classes=num_classes,
            in_channels=in_channels,
            loss=loss,
            init_cfg=init_cfg or {"type": "Normal", "layer": "Linear", "std": 0.01},
        )
        self.warmup_loss_module = None if warmup_loss is None else MODELS.build(warmup_loss)
        self.class_distribution = ClassDistribution(num_classes)

    def pre_logits(self, feats: tuple[Tensor, ...]) -> Tensor:
        """What the probe sees: unit rows without gradient to the encoder.

        Args:
            feats (tuple[Tensor, ...]): Pooled features, the last of shape ``(M, in_channels)``.
        """
        return F.normalize(feats[-1].detach(), dim=1)

    def loss(
        self,
        feats: tuple[Tensor, ...],
        data_samples: list[DataSample],  # noqa: ARG002
        contrast: ContrastBatch,
    ) -> dict[str, Tensor]:
        """Compute the contrastive loss and the probe's.

        Args:
            feats (tuple[Tensor, ...]): Pooled features of the anchors, the last of shape ``(M, in_channels)``.
            data_samples (list[DataSample]): Unused, part of mmpretrain's signature: the contrast has the labels.
            contrast (ContrastBatch): Anchors and candidates.

        Returns:
            dict[str, Tensor]: ``loss_contrast`` and ``loss_probe``.
        """
        warming_up = self.warmup_loss_module is not None and not getattr(self.loss_module, "is_ready", True)
        contrastive_loss = self.warmup_loss_module if warming_up else self.loss_module
        logits = self(feats).float() + self.class_distribution.log_priors()
        return {
            "loss_contrast": contrastive_loss(contrast),
            "loss_probe": F.cross_entropy(logits, contrast.anchor_labels),
        }
