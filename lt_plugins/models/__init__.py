"""Backbones, classifiers, heads and losses; importing registers them in mmpretrain's ``MODELS``."""

from .backbones import ResNetCIFAR32
from .classifiers import MomentumClassifier, TwoViewClassifier, TwoViewDataPreprocessor
from .heads import LPAHead, PaCoHead
from .losses import PaCoLoss, SupConLoss

__all__ = [
    "LPAHead",
    "MomentumClassifier",
    "PaCoHead",
    "PaCoLoss",
    "ResNetCIFAR32",
    "SupConLoss",
    "TwoViewClassifier",
    "TwoViewDataPreprocessor",
]
