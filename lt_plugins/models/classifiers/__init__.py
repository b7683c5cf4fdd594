"""Classifiers that train on two views of each image."""

from .momentum_classifier import MomentumClassifier
from .two_view_classifier import TwoViewClassifier
from .two_view_data_preprocessor import TwoViewDataPreprocessor

__all__ = ["MomentumClassifier", "TwoViewClassifier", "TwoViewDataPreprocessor"]
