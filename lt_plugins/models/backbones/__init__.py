"""Backbones that mmpretrain lacks."""

from .cifar_resnet import CIFARResNet
from .efficientnet_lite0 import EfficientNetLite0
from .last_block_resnet import LastBlockResNet

__all__ = [
    "CIFARResNet",
    "EfficientNetLite0",
    "LastBlockResNet",
]
