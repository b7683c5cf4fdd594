"""Backbones that mmpretrain lacks."""

from .cifar_resnet import CIFARResNet
from .efficientnet_lite0 import EfficientNetLite0
from .expert_stage import ExpertStage
from .last_block_resnet import LastBlockResNet
from .multi_expert_resnet import MultiExpertResNet, MultiExpertResNeXt
from .resnet10 import ResNet10
from .shike_resnet import SHIKEResNet
from .timm_features import TimmFeatures

__all__ = [
    "CIFARResNet",
    "EfficientNetLite0",
    "ExpertStage",
    "LastBlockResNet",
    "MultiExpertResNeXt",
    "MultiExpertResNet",
    "ResNet10",
    "SHIKEResNet",
    "TimmFeatures",
]
