"""Two linear classifiers of the same features: one learns from labels, one from a teacher."""

from __future__ import annotations

from collections.abc import Sequence

from mmpretrain.structures import DataSample
from torch import Tensor, nn

from lt_plugins.errors import UserInputError
from lt_plugins.models.heads.linear_head import LinearHead
from lt_plugins.models.structures import LabelBatch
from lt_plugins.registry import MODELS


@MODELS.register_module()
class SelfDistillHead(LinearHead):
    r"""Hard and soft linear classifier of the same features, for a :class:`.DistillClassifier`.

    The hard one, :math:`z^h = W_h x + b_h`, learns from the labels by the loss of this head. The soft one, ``fc``, is
    what the distillation of the classifier reads in training, and learns from the teachers alone. Features learn from
    both, so that labels of frequent classes and soft labels of a re-balanced teacher do not compete for one classifier.

    Source: Li et al., "Self Supervision to Distillation for Long-Tailed Visual Recognition" (ICCV 2021), and its
    released code: the third stage of SSD, which predicts by the soft classifier.

    Args:
        num_classes (int): Number of classes ``C``.
        in_channels (int): Length ``D`` of the pooled feature.
        loss (dict, optional): Config of the loss of the hard classifier. Defaults to cross-entropy.
        predict_by (str): The classifier that predicts, ``'soft'`` or ``'hard'``. Defaults to ``'soft'``.
        bias (bool): As for :class:`LinearHead`. Defaults to True.
        init_cfg (dict | list, optional): Initialisation of both. Defaults to that of :class:`LinearHead`.

    Raises:
        UserInputError: If ``predict_by`` is another word.

    Examples:
        >>> model = dict(type='DistillClassifier', teachers=[dict(stage=2)], backbone=dict(type='CIFARResNet'),
        ...              distill=dict(type='KDLoss', temperature=2.0),
        ...              head=dict(type='SelfDistillHead', num_classes=100, in_channels=64))
    """

    def __init__(
        self,
        num_classes: int,
        in_channels: int,
        loss: dict | None = None,
        predict_by: str = "soft",
        bias: bool = True,
        init_cfg: dict | list | None = None,
    ) -> None:
        super().__init__(num_classes=num_classes, in_channels=in_channels, loss=loss, bias=bias, init_cfg=init_cfg)
        if predict_by not in ("soft", "hard"):
            raise UserInputError(f"predict_by={predict_by!r} of SelfDistillHead must be 'soft' or 'hard'.")
        self.predict_by = predict_by
        self.hard = nn.Linear(in_channels, num_classes, bias=bias)

    def classify(self, features: Tensor) -> Tensor:
        """Compute the logits of the soft classifier in training, in evaluation of the one that predicts.

        Args:
            features (Tensor): Pooled features, shape ``(B, D)``.

        Returns:
            Tensor: Logits ``(B, C)``.
        """
        return self.fc(features) if self.training else self._predicting(features)

    def affine(self) -> tuple[Tensor, Tensor]:
        """Weights ``(C, D)`` and biases ``(C,)`` of the classifier that predicts, without gradient."""
        weight, bias = self._predicting.weight.detach(), self._predicting.bias
        return weight, weight.new_zeros(len(weight)) if bias is None else bias.detach()

    def trained_prior(self, sampled: Tensor) -> Tensor:
        """Class prior that the predicting logits answer for.

        The soft classifier imitates a teacher that was trained on class-balanced batches, whatever comes itself.

        Args:
            sampled (Tensor): How often each class came in training, shares of shape ``(C,)``.

        Returns:
            Tensor: Shape ``(C,)``; of the soft classifier uniform over the classes that came.
        """
        if self.predict_by == "hard":
            return super().trained_prior(sampled)
        came = (sampled > 0).to(sampled)
        return came / came.sum()

    def loss(self, feats: tuple[Tensor, ...], data_samples: Sequence[DataSample]) -> dict[str, Tensor]:
        """Compute the loss of the hard classifier.

        Args:
            feats (tuple[Tensor, ...]): Output of the neck, the last of shape ``(B, D)``.
            data_samples (Sequence[DataSample]): Annotations of the images.

        Returns:
            dict[str, Tensor]: ``loss``.
        """
        return self._get_loss(self.hard(self.pre_logits(feats)), LabelBatch.from_samples(data_samples))

    @property
    def _predicting(self) -> nn.Linear:
        return self.hard if self.predict_by == "hard" else self.fc
