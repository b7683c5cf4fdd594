"""Data structures shared by data sets, models and metrics."""

from .class_distribution import ClassDistribution
from .contrast_batch import ContrastBatch

__all__ = ["ClassDistribution", "ContrastBatch"]
