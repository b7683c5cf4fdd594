"""Clustering of features: tensors in, tensors out; nothing of OpenMMLab, faiss imported only where it is used."""

from .kmeans import KMeansResult, check_backend, kmeans
from .local_attributes import ClassAttributeTable, class_balanced_sample, match_prototypes

__all__ = [
    "ClassAttributeTable",
    "KMeansResult",
    "check_backend",
    "class_balanced_sample",
    "kmeans",
    "match_prototypes",
]
