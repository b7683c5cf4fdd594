"""Linear head trained with implicit semantic data augmentation."""

from __future__ import annotations

from collections.abc import Sequence

from mmpretrain.structures import DataSample
from torch import Tensor

from lt_plugins.models.heads.linear_head import LinearHead
from lt_plugins.models.structures import LabelBatch
from lt_plugins.registry import MODELS


@MODELS.register_module()
class ISDAHead(LinearHead):
    """A linear head whose loss also reads the features and the weights of the classifier.

    Source: Wang et al., "Implicit Semantic Data Augmentation for Deep Networks" (NeurIPS 2019).

    Args:
        num_classes (int): Number of classes ``C``.
        in_channels (int): Length of the pooled feature.
        loss (dict, optional): Settings of the loss; it gets this head's sizes. Defaults to ``dict(type='ISDALoss')``,
            which needs ``CovarianceHook``.
        init_cfg (dict, optional): Initialisation. Defaults to that of ``LinearHead``.

    Examples:
        >>> head = dict(type='ISDAHead', num_classes=100, in_channels=64, loss=dict(lambda_0=0.5))
    """

    def __init__(
        self, num_classes: int, in_channels: int, loss: dict | None = None, init_cfg: dict | None = None
    ) -> None:
        super().__init__(
            num_classes=num_classes,
            in_channels=in_channels,
            loss={"type": "ISDALoss", **(loss or {}), "num_classes": num_classes, "channels": in_channels},
            init_cfg=init_cfg or {"type": "Normal", "layer": "Linear", "std": 0.01},
        )

    def loss(self, feats: tuple[Tensor, ...], data_samples: Sequence[DataSample]) -> dict[str, Tensor]:
        """Compute the loss of a batch.

        Args:
            feats (tuple[Tensor, ...]): Pooled features, the last of shape ``(B, in_channels)``.
            data_samples (Sequence[DataSample]): Annotations of the ``B`` images.

        Returns:
            dict[str, Tensor]: ``loss``.
        """
        features = self.pre_logits(feats)
        labels = LabelBatch.from_samples(data_samples).target
        return {"loss": self.loss_module(features, labels, self.fc.weight, self.fc.bias)}
