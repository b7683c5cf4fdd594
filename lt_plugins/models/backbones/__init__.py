"""Backbones that mmpretrain lacks."""

from .cifar_resnet import CIFARResNet
from .last_block_resnet import LastBlockResNet

__all__ = [
    "CIFARResNet",
    "LastBlockResNet",
]
