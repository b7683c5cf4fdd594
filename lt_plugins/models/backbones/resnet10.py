"""ResNet-10, the smallest network of ImageNet-LT."""

from __future__ import annotations

from typing import Any, ClassVar, Literal

from mmpretrain.models import ResNet
from mmpretrain.models.backbones.resnet import BasicBlock

from lt_plugins.registry import MODELS


@MODELS.register_module()
class ResNet10(ResNet):
    """A ResNet with one basic block a stage: a 512-d feature, 4.9 M parameters.

    Source: Liu et al., "Large-Scale Long-Tailed Recognition in an Open World" (CVPR 2019), released code.

    Args:
        depth (int): 10. Defaults to 10.
        **kwargs: As for :class:`mmpretrain.models.ResNet`.

    Examples:
        >>> backbone = dict(type='ResNet10', out_indices=(3,), style='pytorch', zero_init_residual=False)
    """

    arch_settings: ClassVar[dict[int, Any]] = {10: (BasicBlock, (1, 1, 1, 1))}

    def __init__(self, depth: Literal[10] = 10, **kwargs: Any) -> None:
        super().__init__(depth, **kwargs)

    def train(self, mode: bool = True) -> ResNet10:
        """Switch between training and evaluation; mmpretrain's returns nothing.

        Args:
            mode (bool): Whether to train. Defaults to True.
        """
        super().train(mode)
        return self
