"""Running: hooks, checkpoints, command lines."""

from lt_plugins.engine.hooks import (
    ClassDistributionHook,
    EpochSeedHook,
    PreflightHook,
    SafeCheckpointHook,
    SyncBatchNormHook,
)
from lt_plugins.engine.worker_init import epoch_worker_init

__all__ = [
    "ClassDistributionHook",
    "EpochSeedHook",
    "PreflightHook",
    "SafeCheckpointHook",
    "SyncBatchNormHook",
    "epoch_worker_init",
]
