"""Bias of classifiers that are trained by sigmoid."""

from __future__ import annotations

import math

from mmengine.registry import WEIGHT_INITIALIZERS
from torch import nn

from lt_plugins.models.initializers.layer_init import LayerInit


@WEIGHT_INITIALIZERS.register_module()
class RareEventBiasInit(LayerInit):
    r"""Bias :math:`-\log(C - 1)` of linear layers with ``C`` outputs, so that each sigmoid starts at ``1 / C``.

    With zeros each of the ``C`` binary classifiers starts at 1/2, and the first steps do nothing but lower the bias; a
    training by sigmoid may diverge in them. Weights are left as they are: put it behind their initialisation, and take
    the bias out of weight decay, which would pull it back.

    Source: Lin et al., "Focal Loss for Dense Object Detection" (ICCV 2017), section 3.3; with ``1 / C``, Cui et al.,
    "Class-Balanced Loss Based on Effective Number of Samples" (CVPR 2019).

    Args:
        layer (str | list[str], optional): Classes of the layers, like ``'Linear'``. Defaults to None; a layer can be
            named by ``override`` then, as for mmengine's own initialisations.

    Examples:
        >>> head = dict(type='LinearHead', num_classes=100, in_channels=64, loss=dict(type='SigmoidFocalLoss'),
        ...             init_cfg=[dict(type='Normal', layer='Linear', std=0.01),
        ...                       dict(type='RareEventBiasInit', layer='Linear')])
        >>> optim_wrapper = dict(paramwise_cfg=dict(custom_keys={'head.fc.bias': dict(decay_mult=0.0)}))
    """

    kinds = (nn.Linear,)

    def initialise(self, layer: nn.Linear) -> None:
        """Set the bias of one layer, if it has one."""
        if layer.bias is not None:
            nn.init.constant_(layer.bias, -math.log(max(layer.out_features - 1, 1)))
