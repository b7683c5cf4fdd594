"""ResNet of which only the last residual block is trained, from new weights."""

from __future__ import annotations

from typing import Any

from mmpretrain.models import ResNet
from torch import nn
from torch.nn.modules.batchnorm import _NormBase

from lt_plugins.registry import MODELS


@MODELS.register_module()
class LastBlockResNet(ResNet):
    """A frozen pretrained ResNet whose last residual block starts anew and alone is trained.

    That is how the field trains on Places-LT: ImageNet weights give the features, a new block adapts them. Everything
    before the block is in evaluation mode, so that its batch norms keep their statistics; the block follows the mode of
    the model. A checkpoint of a whole model also fills the block, as ever.

    Source: Zhong et al., "Improving Calibration for Long-Tailed Recognition" (CVPR 2021), released code.

    Args:
        depth (int): Number of layers: 50, 101 or 152.
        **kwargs: As for :class:`mmpretrain.models.ResNet`, of which ``frozen_stages`` has no effect.

    Examples:
        >>> backbone = dict(type='LastBlockResNet', depth=152, out_indices=(3,), style='pytorch',
        ...                 init_cfg=dict(type='Pretrained', checkpoint='torchvision://resnet152'))
    """

    def __init__(self, depth: int, **kwargs: Any) -> None:
        super().__init__(depth, **kwargs)
        self.requires_grad_(False)
        self.last_block.requires_grad_(True)

    @property
    def last_block(self) -> nn.Module:
        """The block that is trained."""
        return getattr(self, self.res_layers[-1])[-1]

    def init_weights(self) -> None:
        """Load the pretrained weights, then draw those of the last block anew, PyTorch's default ones."""
        super().init_weights()
        for module in self.last_block.modules():
            if isinstance(module, (nn.Conv2d, _NormBase)):
                module.reset_parameters()

    def train(self, mode: bool = True) -> LastBlockResNet:
        """Switch the last block; what is before it stays in evaluation mode.

        Args:
            mode (bool): Whether to train. Defaults to True.
        """
        super().train(False)
        self.training = mode
        self.last_block.train(mode)
        return self
