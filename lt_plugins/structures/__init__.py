"""Data structures shared by data sets, models and metrics."""

from .class_distribution import ClassDistribution
from .contrast_batch import ContrastBatch
from .covariance_form import (
    CovarianceForm,
    DiagonalCovariance,
    FullCovariance,
    LowRankCovariance,
    build_covariance_form,
)
from .moments import GroupSums, Moments, group_sums, sums_to_moments, update_moments
from .step_position import FollowsSteps

__all__ = [
    "ClassDistribution",
    "ContrastBatch",
    "CovarianceForm",
    "DiagonalCovariance",
    "FollowsSteps",
    "FullCovariance",
    "GroupSums",
    "LowRankCovariance",
    "Moments",
    "build_covariance_form",
    "group_sums",
    "sums_to_moments",
    "update_moments",
]
