"""Classifiers that train on two views of each image, or on frozen features."""

from .frozen_backbone_classifier import FrozenBackboneClassifier
from .momentum_classifier import MomentumClassifier
from .two_view_classifier import TwoViewClassifier
from .two_view_data_preprocessor import TwoViewDataPreprocessor

__all__ = [
    "FrozenBackboneClassifier",
    "MomentumClassifier",
    "TwoViewClassifier",
    "TwoViewDataPreprocessor",
]
