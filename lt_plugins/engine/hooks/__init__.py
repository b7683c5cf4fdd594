"""Hooks: when something happens in training."""

from lt_plugins.engine.hooks.accumulation_hook import AccumulationHook
from lt_plugins.engine.hooks.averaged_model_hook import AveragedModelHook
from lt_plugins.engine.hooks.checkpoint_fit_hook import CheckpointFitHook
from lt_plugins.engine.hooks.class_distribution_hook import ClassDistributionHook
from lt_plugins.engine.hooks.covariance_hook import CovarianceHook
from lt_plugins.engine.hooks.deferred_reweight_hook import DeferredReweightHook
from lt_plugins.engine.hooks.epoch_seed_hook import EpochSeedHook
from lt_plugins.engine.hooks.finite_training_hook import FiniteTrainingHook
from lt_plugins.engine.hooks.peak_memory_hook import PeakMemoryHook
from lt_plugins.engine.hooks.preflight_hook import PreflightHook
from lt_plugins.engine.hooks.recluster_hook import ReclusterHook
from lt_plugins.engine.hooks.run_log_hook import RunLogHook
from lt_plugins.engine.hooks.run_record_hook import RunRecordHook
from lt_plugins.engine.hooks.safe_checkpoint_hook import SafeCheckpointHook
from lt_plugins.engine.hooks.sync_batch_norm_hook import SyncBatchNormHook
from lt_plugins.engine.hooks.temperature_hook import TemperatureHook

__all__ = [
    "AccumulationHook",
    "AveragedModelHook",
    "CheckpointFitHook",
    "ClassDistributionHook",
    "CovarianceHook",
    "DeferredReweightHook",
    "EpochSeedHook",
    "FiniteTrainingHook",
    "PeakMemoryHook",
    "PreflightHook",
    "ReclusterHook",
    "RunLogHook",
    "RunRecordHook",
    "SafeCheckpointHook",
    "SyncBatchNormHook",
    "TemperatureHook",
]
