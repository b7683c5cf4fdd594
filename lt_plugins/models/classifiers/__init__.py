"""Classifiers that train on two views of each image, or on frozen features, and the preprocessor of all."""

from .frozen_backbone_classifier import FrozenBackboneClassifier
from .image_batch_preprocessor import ImageBatchPreprocessor
from .lff_classifier import LFFClassifier
from .momentum_classifier import MomentumClassifier
from .two_view_classifier import TwoViewClassifier

__all__ = [
    "FrozenBackboneClassifier",
    "ImageBatchPreprocessor",
    "LFFClassifier",
    "MomentumClassifier",
    "TwoViewClassifier",
]
