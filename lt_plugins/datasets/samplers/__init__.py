"""Samplers: which image comes when."""

from .class_aware_sampler import ClassAwareSampler
from .class_balanced_sampler import ClassBalancedSampler
from .deferred_sampler import DeferredSampler
from .epoch_sampler import EpochSampler

__all__ = [
    "ClassAwareSampler",
    "ClassBalancedSampler",
    "DeferredSampler",
    "EpochSampler",
]
