"""Linear head trained by the parametric contrastive loss."""

from __future__ import annotations

from collections.abc import Sequence

from mmpretrain.structures import DataSample
from torch import Tensor

from lt_plugins.models.heads.linear_head import LinearHead
from lt_plugins.models.structures import ContrastBatch
from lt_plugins.registry import MODELS


@MODELS.register_module()
class PaCoHead(LinearHead):
    """The class centres of PaCo: a plain linear classifier on the pooled feature.

    Training uses its logits plus the log-prior as the parametric part of the contrast; prediction uses the plain
    logits. Source: Cui et al., "Parametric Contrastive Learning" (ICCV 2021).

    Args:
        num_classes (int): Number of classes ``C``.
        in_channels (int): Length of the pooled feature.
        loss (dict, optional): Config of the loss. Defaults to ``dict(type='PaCoLoss')``.
        init_cfg (dict, optional): Initialisation. Defaults to normal with a deviation of 0.01 for the classifier.

    Examples:
        >>> head = dict(type='PaCoHead', num_classes=100, in_channels=64,
        ...             loss=dict(type='PaCoLoss', alpha=0.01, temperature=0.05))
    """

    def __init__(
        self, num_classes: int, in_channels: int, loss: dict | None = None, init_cfg: dict | None = None
    ) -> None:
        super().__init__(
            num_classes=num_classes,
            in_channels=in_channels,
            loss={"type": "PaCoLoss", **(loss or {})},
            init_cfg=init_cfg or {"type": "Normal", "layer": "Linear", "std": 0.01},
        )

    def loss(
        self,
        feats: tuple[Tensor, ...],
        data_samples: Sequence[DataSample],  # noqa: ARG002
        contrast: ContrastBatch,
    ) -> dict[str, Tensor]:
        """Compute the parametric contrastive loss.

        Args:
            feats (tuple[Tensor, ...]): Pooled features of the anchors, the last of shape ``(M, in_channels)``.
            data_samples (Sequence[DataSample]): Unused, part of mmpretrain's signature: the contrast has the labels.
            contrast (ContrastBatch): Anchors and candidates.

        Returns:
            dict[str, Tensor]: ``loss_paco``.
        """
        return {"loss_paco": self.loss_module(self(feats), contrast)}
