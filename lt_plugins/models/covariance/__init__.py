"""Running covariances of groups of features: storage forms, moments and the losses' shared base."""

from .covariance_form import (
    CovarianceForm,
    DiagonalCovariance,
    FullCovariance,
    build_covariance_form,
)
from .moments import GroupSums, Moments, group_sums, sums_to_moments, update_moments

__all__ = [
    "CovarianceForm",
    "DiagonalCovariance",
    "FullCovariance",
    "GroupSums",
    "Moments",
    "build_covariance_form",
    "group_sums",
    "sums_to_moments",
    "update_moments",
]
