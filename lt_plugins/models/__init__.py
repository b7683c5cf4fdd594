"""Backbones, necks, classifiers, heads and losses; importing registers them in mmpretrain's ``MODELS``."""

from .backbones import LastBlockResNet, ResNetCIFAR32
from .classifiers import FrozenBackboneClassifier, MomentumClassifier, TwoViewClassifier, TwoViewDataPreprocessor
from .heads import CosineClsHead, ISDAHead, LCRegHead, LPAHead, LWSClsHead, PaCoHead, SupContrastHead
from .initializers import TorchDefaultInit
from .losses import (
    ISDALoss,
    KCLLoss,
    LabelAwareSmoothLoss,
    LatentISDALoss,
    LDAMLoss,
    PaCoLoss,
    ReconstructionLoss,
    SBCLLoss,
    SupConLoss,
)
from .necks import MLPProjector

__all__ = [
    "CosineClsHead",
    "FrozenBackboneClassifier",
    "ISDAHead",
    "ISDALoss",
    "KCLLoss",
    "LCRegHead",
    "LDAMLoss",
    "LPAHead",
    "LWSClsHead",
    "LabelAwareSmoothLoss",
    "LastBlockResNet",
    "LatentISDALoss",
    "MLPProjector",
    "MomentumClassifier",
    "PaCoHead",
    "PaCoLoss",
    "ReconstructionLoss",
    "ResNetCIFAR32",
    "SBCLLoss",
    "SupConLoss",
    "SupContrastHead",
    "TorchDefaultInit",
    "TwoViewClassifier",
    "TwoViewDataPreprocessor",
]
