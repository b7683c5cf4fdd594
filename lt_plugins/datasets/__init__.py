"""Data sets, and what the rest of the package asks of one."""

from lt_plugins.datasets.digits_dataset import DigitsDataset
from lt_plugins.datasets.fingerprint import fingerprint_dataset
from lt_plugins.datasets.folder_dataset import FolderDataset
from lt_plugins.datasets.indexed_dataset import IndexedDataset
from lt_plugins.datasets.labels import get_class_counts, get_class_names, get_labels, replace_pipeline
from lt_plugins.datasets.leaf_table import LeafTable, build_leaf_table
from lt_plugins.datasets.list_dataset import ListDataset
from lt_plugins.datasets.long_tail_dataset import LongTailDataset
from lt_plugins.datasets.profiles import class_profile
from lt_plugins.datasets.samplers import ClassAwareSampler
from lt_plugins.datasets.transforms import LoadImage

__all__ = [
    "ClassAwareSampler",
    "DigitsDataset",
    "FolderDataset",
    "IndexedDataset",
    "LeafTable",
    "ListDataset",
    "LoadImage",
    "LongTailDataset",
    "build_leaf_table",
    "class_profile",
    "fingerprint_dataset",
    "get_class_counts",
    "get_class_names",
    "get_labels",
    "replace_pipeline",
]
