"""Linear head whose logits have a learnable scale for each class."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from lt_plugins.models.heads.linear_head import LinearHead
from lt_plugins.registry import MODELS


@MODELS.register_module()
class LWSClsHead(LinearHead):
    r"""Learnable weight scaling: :math:`z_c = s_c (w_c^\top x + b_c)`, a linear head while all :math:`s_c` are 1.

    The scale multiplies the bias too, as in the released codes; the paper writes it for the weights only. LWS itself
    learns nothing else (``learn_linear=False``). MiSLAS trains the linear layer beside it, at a smaller learning rate,
    which ``paramwise_cfg`` gives to ``head.fc`` (``lr_mult``).

    Source: Kang et al., "Decoupling Representation and Classifier for Long-Tailed Recognition" (ICLR 2020), section
    4.2; with a linear layer that goes on learning, Zhong et al., "Improving Calibration for Long-Tailed Recognition"
    (CVPR 2021).

    Args:
        num_classes (int): Number of classes ``C``.
        in_channels (int): Length of the pooled feature.
        loss (dict, optional): Config of the loss on the scaled logits. Defaults to cross-entropy.
        learn_linear (bool): Whether the linear layer learns beside the scales. Without, it stays what stage 1 has made
            of it, so ``FrozenBackboneClassifier`` takes it over by ``reuse_head``. Defaults to True.
        bias (bool): Whether the linear layer has biases, as that of stage 1. Defaults to True.
        init_cfg (dict, optional): Initialisation. Defaults to that of ``LinearHead``; the scale starts as ones.

    Examples:
        >>> head = dict(type='LWSClsHead', num_classes=100, in_channels=64,
        ...             loss=dict(type='LabelAwareSmoothLoss', smooth_head=0.4, smooth_tail=0.1))
    """

    def __init__(
        self,
        num_classes: int,
        in_channels: int,
        loss: dict | None = None,
        learn_linear: bool = True,
        bias: bool = True,
        init_cfg: dict | None = None,
    ) -> None:
        super().__init__(
            num_classes=num_classes,
            in_channels=in_channels,
            loss=loss or {"type": "CrossEntropyLoss"},
            bias=bias,
            init_cfg=init_cfg or {"type": "Normal", "layer": "Linear", "std": 0.01},
        )
        self.scale = nn.Parameter(torch.ones(1, num_classes))
        self.fc.requires_grad_(learn_linear)

    def classify(self, features: Tensor) -> Tensor:
        """Compute the scaled logits.

        Args:
            features (Tensor): Pooled features, shape ``(B, in_channels)``.

        Returns:
            Tensor: Logits ``(B, C)``.
        """
        return self.scale * super().classify(features)

    def affine(self) -> tuple[Tensor, Tensor]:
        """Weights and biases, both scaled."""
        weight, bias = super().affine()
        scale = self.scale.detach()[0]
        return scale[:, None] * weight, scale * bias
