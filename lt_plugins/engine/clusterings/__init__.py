"""Clustering tasks of ``ReclusterHook``, registered in mmpretrain's ``TASK_UTILS``."""

from .attribute_clustering import AttributeClustering
from .clustering_task import ClusteringTask, FeaturePass
from .prototype_clustering import PrototypeClustering
from .subclass_clustering import SubclassClustering

__all__ = [
    "AttributeClustering",
    "ClusteringTask",
    "FeaturePass",
    "PrototypeClustering",
    "SubclassClustering",
]
