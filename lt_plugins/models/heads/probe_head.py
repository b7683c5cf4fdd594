"""Linear probe of features that another loss learns."""

from __future__ import annotations

import torch.nn.functional as F
from torch import Tensor, nn

from lt_plugins.models.heads.linear_head import LinearHead
from lt_plugins.registry import MODELS


@MODELS.register_module()
class ProbeHead(LinearHead):
    """Online linear probe: a linear classifier on detached, standardised pooled features.

    It shows during pre-training what the features are good for, and moves none of them. The loss is balanced softmax,
    so that many-, medium- and few-shot accuracy can be followed.

    Args:
        num_classes (int): Number of classes ``C``.
        in_channels (int): Length of the pooled feature.
        loss (dict, optional): Config of the loss on the logits. Defaults to balanced softmax.
        init_cfg (dict, optional): Initialisation. Defaults to normal with a deviation of 0.01.

    Examples:
        >>> head = dict(type='ProbeHead', num_classes=100, in_channels=64)
    """

    single_row_safe = ("standardise",)  # which pre_logits leaves out for a batch of one

    def __init__(
        self, num_classes: int, in_channels: int, loss: dict | None = None, init_cfg: dict | None = None
    ) -> None:
        super().__init__(
            num_classes=num_classes,
            in_channels=in_channels,
            loss=loss or {"type": "BalancedSoftmaxLoss"},
            init_cfg=init_cfg or {"type": "Normal", "layer": "Linear", "std": 0.01},
        )
        # Pooled features are positive and point all the same way; a linear layer would take long to learn their mean.
        self.standardise = nn.BatchNorm1d(in_channels, affine=False)

    def pre_logits(self, feats: tuple[Tensor, ...]) -> Tensor:
        """What the probe sees: features of zero mean and unit variance, without gradient to the encoder.

        Args:
            feats (tuple[Tensor, ...]): Pooled features, the last of shape ``(M, in_channels)``.
        """
        pooled = feats[-1].detach()
        if self.training and len(pooled) == 1:  # a single row has no variance
            return F.batch_norm(pooled, self.standardise.running_mean, self.standardise.running_var)
        return self.standardise(pooled)
