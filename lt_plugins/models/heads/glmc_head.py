"""Two classifiers of the same features, of which the re-balanced one takes over."""

from __future__ import annotations

from collections.abc import Sequence

from mmpretrain.structures import DataSample
from torch import Tensor, nn

from lt_plugins.models.heads.linear_head import LinearHead
from lt_plugins.models.structures import LabelBatch
from lt_plugins.registry import MODELS


@MODELS.register_module()
class GLMCHead(LinearHead):
    r"""GLMC head: a plain and a re-balanced linear classifier of the same features, with cumulative learning.

    In epoch :math:`t`, from 0, of :math:`T`, with the logits :math:`z = W x + b` of the plain classifier and
    :math:`\tilde z` of the re-balanced one,

    .. math::
        L = \alpha\, \ell(z, y) + (1 - \alpha)\, \tilde\ell(\tilde z, y), \qquad \alpha = 1 - (t / T)^2

    so that the features learn from the images as they come first, and from re-weighted ones in the end. The re-balanced
    classifier, ``fc``, alone predicts. By default its loss is cross-entropy with the weights :math:`w_c \propto
    n_c^{-k}` of mean 1, divided by the number of images: with soft targets :math:`w \odot y`, which do not sum to 1, it
    is the same. The larger step that rare classes therefore take is that of the released code.

    Source: Du et al., "Global and Local Mixture Consistency Cumulative Learning for Long-tailed Visual Recognitions"
    (CVPR 2023), section 3.3, and its released code.

    Args:
        num_classes (int): Number of classes ``C``.
        in_channels (int): Length ``D`` of the pooled feature.
        loss (dict, optional): Config of the loss of the re-balanced classifier. Defaults to
            ``dict(type='WeightedCrossEntropyLoss', class_weight='inverse_power', weight_power=1.0,
            normalize_by='batch')``.
        plain_loss (dict, optional): Config of the loss of the plain classifier. Defaults to
            ``dict(type='WeightedCrossEntropyLoss')``, cross-entropy.
        bias (bool): As for :class:`LinearHead`. Defaults to True.
        init_cfg (dict | list, optional): Initialisation of both. Defaults to that of PyTorch.

    Examples:
        >>> model = dict(type='ImageClassifier', backbone=dict(type='CIFARResNet'),
        ...              neck=dict(type='GlobalAveragePooling'),
        ...              head=dict(type='GLMCHead', num_classes=100, in_channels=64))
    """

    def __init__(
        self,
        num_classes: int,
        in_channels: int,
        loss: dict | None = None,
        plain_loss: dict | None = None,
        bias: bool = True,
        init_cfg: dict | list | None = None,
    ) -> None:
        rebalanced = {
            "type": "WeightedCrossEntropyLoss",
            "class_weight": "inverse_power",
            "weight_power": 1.0,
            "normalize_by": "batch",
        }
        super().__init__(
            num_classes=num_classes,
            in_channels=in_channels,
            loss=loss or rebalanced,
            bias=bias,
            init_cfg=init_cfg or {"type": "TorchDefaultInit", "layer": "Linear"},
        )
        self.plain = nn.Linear(in_channels, num_classes, bias=bias)
        self.plain_loss_module = MODELS.build(plain_loss or {"type": "WeightedCrossEntropyLoss"})
        self.alpha = 1.0

    def set_epoch(self, epoch: int, max_epochs: int) -> str:
        """Set the share of the plain classifier's loss.

        Args:
            epoch (int): The epoch about to start, from 0.
            max_epochs (int): Number of epochs of the training.

        Returns:
            str: The share, for the log.
        """
        self.alpha = 1 - (epoch / max_epochs) ** 2
        return f"plain classifier {self.alpha:.3f}"

    def loss(self, feats: tuple[Tensor, ...], data_samples: Sequence[DataSample]) -> dict[str, Tensor]:
        """Compute the loss of a batch.

        Args:
            feats (tuple[Tensor, ...]): Output of the neck, the last of shape ``(B, D)``.
            data_samples (Sequence[DataSample]): Annotations of the images.

        Returns:
            dict[str, Tensor]: ``loss``.
        """
        features, target = self.pre_logits(feats), LabelBatch.from_samples(data_samples).target
        plain = self.plain_loss_module(self.plain(features), target, avg_factor=len(features))
        rebalanced = self.loss_module(self.classify(features), target, avg_factor=len(features))
        return {"loss": self.alpha * plain + (1 - self.alpha) * rebalanced}
