"""Running: hooks, the feature pass, checkpoints, command lines."""

from lt_plugins.engine.attribute_clustering import AttributeClustering
from lt_plugins.engine.attribute_gallery import AttributeGallery
from lt_plugins.engine.attributes import AttributeRetrieval, locate_attributes, retrieve_attributes
from lt_plugins.engine.backbone import (
    Backbone,
    find_torchvision_model,
    read_backbone,
    set_backbone,
    write_backbone,
)
from lt_plugins.engine.best_places import Place
from lt_plugins.engine.checked_pretrained_init import CheckedPretrainedInit
from lt_plugins.engine.checkpoint import find_last_checkpoint, guard_pickles, load_checkpoint
from lt_plugins.engine.checkpoint_fit import check_checkpoint_fit
from lt_plugins.engine.clustering_task import ClusteringTask, FeaturePass
from lt_plugins.engine.features import gather_features, stream_features
from lt_plugins.engine.hooks import (
    AccumulationHook,
    AveragedModelHook,
    CheckpointFitHook,
    ClassDistributionHook,
    DeferredReweightHook,
    EpochSeedHook,
    FiniteTrainingHook,
    PeakMemoryHook,
    PreflightHook,
    ReclusterHook,
    RunLogHook,
    RunRecordHook,
    SafeCheckpointHook,
    SyncBatchNormHook,
    TemperatureHook,
)
from lt_plugins.engine.lasting_vis_backend import LastingVisBackend
from lt_plugins.engine.latent_gallery import LatentGallery
from lt_plugins.engine.latents import LatentUsage, effective_number, measure_latents, view_images
from lt_plugins.engine.preflight import check_setup, preflight_summary
from lt_plugins.engine.sized_buffers import copy_sized_buffers
from lt_plugins.engine.subclass_clustering import SubclassClustering
from lt_plugins.engine.sync_batch_norm import CPUSyncBatchNorm, convert_sync_batch_norm
from lt_plugins.engine.unwrap import unwrap_model
from lt_plugins.engine.worker_init import epoch_worker_init

__all__ = [
    "AccumulationHook",
    "AttributeClustering",
    "AttributeGallery",
    "AttributeRetrieval",
    "AveragedModelHook",
    "Backbone",
    "CPUSyncBatchNorm",
    "CheckedPretrainedInit",
    "CheckpointFitHook",
    "ClassDistributionHook",
    "ClusteringTask",
    "DeferredReweightHook",
    "EpochSeedHook",
    "FeaturePass",
    "FiniteTrainingHook",
    "LastingVisBackend",
    "LatentGallery",
    "LatentUsage",
    "PeakMemoryHook",
    "Place",
    "PreflightHook",
    "ReclusterHook",
    "RunLogHook",
    "RunRecordHook",
    "SafeCheckpointHook",
    "SubclassClustering",
    "SyncBatchNormHook",
    "TemperatureHook",
    "check_checkpoint_fit",
    "check_setup",
    "convert_sync_batch_norm",
    "copy_sized_buffers",
    "effective_number",
    "epoch_worker_init",
    "find_last_checkpoint",
    "find_torchvision_model",
    "gather_features",
    "guard_pickles",
    "load_checkpoint",
    "locate_attributes",
    "measure_latents",
    "preflight_summary",
    "read_backbone",
    "retrieve_attributes",
    "set_backbone",
    "stream_features",
    "unwrap_model",
    "view_images",
    "write_backbone",
]
