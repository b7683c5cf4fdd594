"""Backbones, necks, classifiers, heads and losses; importing registers them in mmpretrain's ``MODELS``."""

from .backbones import ResNetCIFAR32
from .classifiers import MomentumClassifier, TwoViewClassifier, TwoViewDataPreprocessor
from .heads import LPAHead, PaCoHead
from .losses import PaCoLoss, SupConLoss
from .necks import MLPProjector

__all__ = [
    "LPAHead",
    "MLPProjector",
    "MomentumClassifier",
    "PaCoHead",
    "PaCoLoss",
    "ResNetCIFAR32",
    "SupConLoss",
    "TwoViewClassifier",
    "TwoViewDataPreprocessor",
]
