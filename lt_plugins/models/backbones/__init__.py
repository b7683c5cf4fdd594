"""Backbones that mmpretrain lacks."""

from .last_block_resnet import LastBlockResNet
from .resnet_cifar32 import ResNetCIFAR32

__all__ = [
    "LastBlockResNet",
    "ResNetCIFAR32",
]
