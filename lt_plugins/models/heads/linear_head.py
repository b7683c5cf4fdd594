"""Linear classifier."""

from __future__ import annotations

from mmpretrain.models.heads import LinearClsHead
from torch import Tensor, nn

from lt_plugins.models.heads.affine_head import AffineHead
from lt_plugins.registry import MODELS


@MODELS.register_module()
class LinearHead(AffineHead, LinearClsHead):
    """mmpretrain's ``LinearClsHead``, whose labels and predictions are one tensor each; the weights are ``fc`` too.

    What post-hoc methods need of it is :class:`.AffineHead`'s.

    Args:
        num_classes (int): Number of classes ``C``.
        in_channels (int): Length of the pooled feature.
        loss (dict, optional): Config of the loss on the logits. Defaults to cross-entropy.
        topk (int | tuple[int, ...]): The ``k`` of the training accuracies. Defaults to ``(1,)``.
        cal_acc (bool): Whether the log shows training accuracies; they need one label an image. Defaults to False.
        bias (bool): Whether the classifier has biases; the GLT benchmarks are measured without. Defaults to True.
        init_cfg (dict | list, optional): Initialisation. Defaults to normal with a deviation of 0.01.

    Examples:
        >>> head = dict(type='LinearHead', num_classes=100, in_channels=64)
    """

    def __init__(
        self,
        num_classes: int,
        in_channels: int,
        loss: dict | None = None,
        topk: int | tuple[int, ...] = (1,),
        cal_acc: bool = False,
        bias: bool = True,
        init_cfg: dict | list | None = None,
    ) -> None:
        super().__init__(
            num_classes=num_classes,
            in_channels=in_channels,
            loss=loss or {"type": "CrossEntropyLoss"},
            topk=(topk,) if isinstance(topk, int) else topk,
            cal_acc=cal_acc,
            init_cfg=init_cfg or {"type": "Normal", "layer": "Linear", "std": 0.01},
        )
        if not bias:
            self.fc = nn.Linear(in_channels, num_classes, bias=False)

    def classify(self, features: Tensor) -> Tensor:
        """Compute the logits of the trained classifier.

        Args:
            features (Tensor): What :meth:`pre_logits` gives, shape ``(B, D)``.

        Returns:
            Tensor: Logits ``(B, C)``.
        """
        return self.fc(features)

    def affine(self) -> tuple[Tensor, Tensor]:
        """Weights ``(C, D)`` and biases ``(C,)`` of the linear layer, 0 if it has none, without gradient."""
        weight = self.fc.weight.detach()
        return weight, weight.new_zeros(len(weight)) if self.fc.bias is None else self.fc.bias.detach()
