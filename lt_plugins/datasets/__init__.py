"""Data sets, and what the rest of the package asks of one."""

from lt_plugins.datasets.indexed_dataset import IndexedDataset
from lt_plugins.datasets.labels import get_class_counts, get_class_names, get_labels, replace_pipeline
from lt_plugins.datasets.leaf_table import LeafTable, build_leaf_table
from lt_plugins.datasets.long_tail_dataset import LongTailDataset
from lt_plugins.datasets.profiles import class_profile

__all__ = [
    "IndexedDataset",
    "LeafTable",
    "LongTailDataset",
    "build_leaf_table",
    "class_profile",
    "get_class_counts",
    "get_class_names",
    "get_labels",
    "replace_pipeline",
]
