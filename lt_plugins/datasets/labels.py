"""Labels, class counts, class names and pipelines of a data set, through any wrappers."""

from __future__ import annotations

import copy
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
import torch
from mmengine.dataset import Compose

# mmpretrain's BaseDataset builds its transforms from mmpretrain's registry; so does replace_pipeline.
from mmpretrain.registry import TRANSFORMS

from lt_plugins.datasets.label_cache import labels_of_leaf
from lt_plugins.datasets.leaf_table import build_leaf_table
from lt_plugins.datasets.text_file import displayable
from lt_plugins.errors import UserInputError

Transform = dict | Callable[[dict], dict | None]


def get_labels(dataset: Any) -> np.ndarray:
    """Ground-truth labels of all samples, in the order in which the data set is iterated.

    Args:
        dataset: An mmpretrain data set, or one in any nesting of wrappers (see :func:`build_leaf_table`).

    Returns:
        Labels ``(N,)``, int64.

    Raises:
        UserInputError: If a data set at the end of the chain has no ``get_gt_labels``.
    """
    table = build_leaf_table(dataset)
    labels = np.empty(len(table.leaf_of), dtype=np.int64)
    for position, leaf in enumerate(table.leaves):
        chosen = table.leaf_of == position
        labels[chosen] = _require_labels(leaf)[table.index_in_leaf[chosen]]
    return labels


def get_class_counts(dataset: Any, num_classes: int) -> torch.Tensor:
    """Number of distinct images of each class.

    An image that a wrapper repeats (``RepeatDataset``, ``ClassBalancedDataset``, a data set concatenated with itself)
    counts once: many, medium and few are about how much there is to learn from, and so are the priors of losses, which
    do not change with the sampler either.

    Args:
        dataset: An mmpretrain data set, or one in any nesting of wrappers.
        num_classes: Number of classes ``C`` of the model.

    Returns:
        Counts ``(C,)``, int64; zero for a class without images.

    Raises:
        UserInputError: If a label lies outside ``[0, C)``.
    """
    images = build_leaf_table(dataset).distinct_images()
    labels = np.concatenate([_require_labels(leaf)[indices] for leaf, indices in images])
    if labels.size and not 0 <= labels.min() <= labels.max() < num_classes:
        raise UserInputError(
            f"labels run from {labels.min()} to {labels.max()}, expected 0 to {num_classes - 1}; "
            f"set num_classes={labels.max() + 1} in the model and the data preprocessor, or use the matching data set"
        )
    return torch.from_numpy(np.bincount(labels, minlength=num_classes).astype(np.int64))


def get_class_names(dataset: Any) -> tuple[str, ...]:
    """Names of the classes in label order.

    Args:
        dataset: An mmpretrain data set, or one in any nesting of wrappers.

    Returns:
        ``metainfo['classes']`` of the first data set at the end of the chain; where it has none (a list file without
        names), the labels themselves up to the largest one that occurs.
    """
    classes = getattr(build_leaf_table(dataset).leaves[0], "metainfo", {}).get("classes")
    if classes is None:
        classes = range(int(get_labels(dataset).max(initial=-1)) + 1)
    return tuple(displayable(str(name)) for name in classes)


def replace_pipeline(dataset: Any, pipeline: Sequence[Transform] | Compose) -> Any:
    """A copy of a (wrapped) data set that reads the same samples through another transform pipeline.

    The copies down the chain are shallow: annotations and images are shared, and the original is untouched.

    Args:
        dataset: An mmpretrain data set, or one in any nesting of wrappers.
        pipeline: Transform configs or callables, or an already composed pipeline.

    Returns:
        The copy, of the same type, length and order.
    """
    if not isinstance(pipeline, Compose):
        pipeline = Compose([TRANSFORMS.build(step) if isinstance(step, dict) else step for step in pipeline])
    if hasattr(dataset, "datasets"):
        clone = copy.copy(dataset)
        clone.datasets = [replace_pipeline(child, pipeline) for child in dataset.datasets]
    elif hasattr(dataset, "dataset"):
        child = replace_pipeline(dataset.dataset, pipeline)
        if hasattr(dataset, "rewrap"):  # wrappers of this package also hold a table of the leaves
            return dataset.rewrap(child)
        clone = copy.copy(dataset)
        clone.dataset = child
    else:
        clone = copy.copy(dataset)
        clone.pipeline = pipeline
    return clone


def _require_labels(leaf: Any) -> np.ndarray:
    if not hasattr(leaf, "get_gt_labels"):
        raise UserInputError(
            f"{type(leaf).__name__} has no get_gt_labels(), so its class counts are unknown; "
            "use a classification data set of mmpretrain (CustomDataset reads folders and lists)"
        )
    return labels_of_leaf(leaf)
