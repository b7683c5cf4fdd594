"""Samplers: which image comes when."""

from .class_aware_sampler import ClassAwareSampler
from .class_balanced_sampler import ClassBalancedSampler
from .companion_batch_sampler import CompanionBatchSampler
from .deferred_sampler import DeferredSampler
from .environment_sampler import EnvironmentSampler
from .episodic_sampler import EpisodicSampler
from .epoch_sampler import EpochSampler
from .meta_sampler import MetaSampler
from .part_sampler import PartSampler

__all__ = [
    "ClassAwareSampler",
    "ClassBalancedSampler",
    "CompanionBatchSampler",
    "DeferredSampler",
    "EnvironmentSampler",
    "EpisodicSampler",
    "EpochSampler",
    "MetaSampler",
    "PartSampler",
]
