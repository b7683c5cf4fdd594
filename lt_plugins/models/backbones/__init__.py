"""Backbones that mmpretrain lacks."""

from .resnet_cifar32 import ResNetCIFAR32

__all__ = ["ResNetCIFAR32"]
