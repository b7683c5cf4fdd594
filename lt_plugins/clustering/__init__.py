"""Clustering of features: tensors in, tensors out; nothing of OpenMMLab, faiss imported only where it is used."""

from .attribute_clusters import AttributeClusters, ClusterSettings, Stability, attribute_clusters, cluster_stability
from .balanced_assignment import balanced_assignment
from .class_sums import class_means, class_sums
from .class_temperatures import class_temperatures, concentrations
from .environments import check_environment_options, environment_weights
from .kmeans import KMeansResult, check_backend, kmeans, tightest_kmeans
from .local_attributes import ClassAttributeTable, class_balanced_sample, match_prototypes
from .prototypes import Prototypes, prototypes
from .sinkhorn import check_sinkhorn_options, sinkhorn_assignment
from .sphere_geometry import (
    MeanAngles,
    class_directions,
    class_distances,
    least_uniformity,
    mean_angles,
    simplex_angle,
    uniformity,
)
from .subclass_clusters import SubclassClusters, check_subclass_options, subclass_clusters
from .subclass_distances import SubclassDistances, subclass_distances, tail_sizes
from .subclass_sizes import SubclassSizes, subclass_sizes
from .uniform_targets import uniform_targets

__all__ = [
    "AttributeClusters",
    "ClassAttributeTable",
    "ClusterSettings",
    "KMeansResult",
    "MeanAngles",
    "Prototypes",
    "Stability",
    "SubclassClusters",
    "SubclassDistances",
    "SubclassSizes",
    "attribute_clusters",
    "balanced_assignment",
    "check_backend",
    "check_environment_options",
    "check_sinkhorn_options",
    "check_subclass_options",
    "class_balanced_sample",
    "class_directions",
    "class_distances",
    "class_means",
    "class_sums",
    "class_temperatures",
    "cluster_stability",
    "concentrations",
    "environment_weights",
    "kmeans",
    "least_uniformity",
    "match_prototypes",
    "mean_angles",
    "prototypes",
    "simplex_angle",
    "sinkhorn_assignment",
    "subclass_clusters",
    "subclass_distances",
    "subclass_sizes",
    "tail_sizes",
    "tightest_kmeans",
    "uniform_targets",
    "uniformity",
]
