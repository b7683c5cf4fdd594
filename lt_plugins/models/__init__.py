"""Backbones, necks, classifiers, heads and losses; importing registers them in mmpretrain's ``MODELS``."""

from .backbones import ResNetCIFAR32
from .classifiers import FrozenBackboneClassifier, MomentumClassifier, TwoViewClassifier, TwoViewDataPreprocessor
from .heads import CosineClsHead, LPAHead, LWSClsHead, PaCoHead
from .losses import LabelAwareSmoothLoss, LDAMLoss, PaCoLoss, SupConLoss
from .necks import MLPProjector

__all__ = [
    "CosineClsHead",
    "FrozenBackboneClassifier",
    "LDAMLoss",
    "LPAHead",
    "LWSClsHead",
    "LabelAwareSmoothLoss",
    "MLPProjector",
    "MomentumClassifier",
    "PaCoHead",
    "PaCoLoss",
    "ResNetCIFAR32",
    "SupConLoss",
    "TwoViewClassifier",
    "TwoViewDataPreprocessor",
]
