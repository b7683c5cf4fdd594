"""Data structures shared by data sets, models and metrics."""

from .class_distribution import ClassDistribution

__all__ = ["ClassDistribution"]
