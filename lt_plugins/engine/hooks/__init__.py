"""Hooks of the training loop, registered in mmpretrain's ``HOOKS``."""

from .accumulation_hook import AccumulationHook
from .averaged_model_hook import AveragedModelHook
from .centroid_hook import CentroidHook
from .checkpoint_fit_hook import CheckpointFitHook
from .class_distribution_hook import ClassDistributionHook
from .class_mean_hook import ClassMeanHook
from .contrast_geometry_hook import ContrastGeometryHook
from .covariance_hook import CovarianceHook
from .deferred_info_hook import DeferredInfoHook
from .environment_hook import EnvironmentHook
from .epoch_hook import EpochHook
from .epoch_seed_hook import EpochSeedHook
from .feature_cache_hook import FeatureCacheHook
from .few_shot_weight_hook import FewShotWeightHook
from .finite_training_hook import FiniteTrainingHook
from .image_buffers_hook import ImageBuffersHook
from .lfme_hook import LFMEHook
from .max_norm_hook import MaxNormHook
from .memory_format_hook import MemoryFormatHook
from .meta_step_hook import MetaStepHook
from .peak_memory_hook import PeakMemoryHook
from .preflight_hook import PreflightHook
from .recluster_hook import ReclusterHook
from .teacher_hook import TeacherHook
from .temperature_hook import TemperatureHook

__all__ = [
    "AccumulationHook",
    "AveragedModelHook",
    "CentroidHook",
    "CheckpointFitHook",
    "ClassDistributionHook",
    "ClassMeanHook",
    "ContrastGeometryHook",
    "CovarianceHook",
    "DeferredInfoHook",
    "EnvironmentHook",
    "EpochHook",
    "EpochSeedHook",
    "FeatureCacheHook",
    "FewShotWeightHook",
    "FiniteTrainingHook",
    "ImageBuffersHook",
    "LFMEHook",
    "MaxNormHook",
    "MemoryFormatHook",
    "MetaStepHook",
    "PeakMemoryHook",
    "PreflightHook",
    "ReclusterHook",
    "TeacherHook",
    "TemperatureHook",
]
