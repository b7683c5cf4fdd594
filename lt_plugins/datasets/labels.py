"""Labels, class counts and class names of a dataset, through any wrappers."""

from __future__ import annotations

from typing import Any

import numpy as np
import torch

from lt_plugins.datasets.label_cache import labels_of_leaf
from lt_plugins.datasets.leaf_table import build_leaf_table
from lt_plugins.errors import UserInputError
from lt_plugins.terminal import displayable


def get_labels(dataset: Any) -> np.ndarray:
    """Ground-truth labels of all samples, in the order in which the dataset is iterated.

    Args:
        dataset: A dataset of mmpretrain (``get_gt_labels()``) or torchvision (``targets`` or ``labels``), in any
            nesting of wrappers (see :func:`build_leaf_table`); or the labels themselves, whole numbers in an array,
            tensor or list ``(N,)``.

    Returns:
        Labels ``(N,)``, int64.

    Raises:
        UserInputError: If a dataset at the end of the chain has no labels, or they are not one integer a sample.
    """
    table = build_leaf_table(dataset)
    labels = np.empty(len(table.leaf_of), dtype=np.int64)
    for position, leaf in enumerate(table.leaves):
        chosen = table.leaf_of == position
        labels[chosen] = _require_labels(leaf)[table.index_in_leaf[chosen]]
    return labels


def get_class_counts(dataset: Any, num_classes: int) -> torch.Tensor:
    """Number of distinct images of each class.

    An image that a wrapper repeats (``RepeatDataset``, ``ClassBalancedDataset``, a dataset concatenated with itself)
    counts once: many, medium and few are about how much there is to learn from, and so are the priors of losses, which
    do not change with the sampler either.

    Args:
        dataset: A dataset, or its labels, as for :func:`get_labels`.
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
            f"set num_classes={labels.max() + 1} in the model and the data preprocessor, or use the matching dataset"
        )
    return torch.from_numpy(np.bincount(labels, minlength=num_classes).astype(np.int64))


def get_class_names(dataset: Any) -> tuple[str, ...]:
    """Names of the classes in label order.

    Args:
        dataset: A dataset, as for :func:`get_labels`.

    Returns:
        ``metainfo['classes']`` of the first dataset at the end of the chain; where it has none (a list file without
        names), the labels themselves up to the largest one that occurs.
    """
    classes = getattr(build_leaf_table(dataset).leaves[0], "metainfo", {}).get("classes")
    if classes is None:
        classes = range(int(get_labels(dataset).max(initial=-1)) + 1)
    return tuple(displayable(str(name)) for name in classes)


def _require_labels(leaf: Any) -> np.ndarray:
    """Labels of a dataset that wraps nothing, or the labels themselves, ``(N,)`` int64; not to be written to."""
    if hasattr(leaf, "get_gt_labels"):
        return labels_of_leaf(leaf)
    is_array = isinstance(leaf, np.ndarray | torch.Tensor)
    given = leaf if is_array else getattr(leaf, "targets", getattr(leaf, "labels", None))
    if given is None and isinstance(leaf, list | tuple):
        given = leaf
    if given is None:
        raise UserInputError(
            f"{type(leaf).__name__} has no get_gt_labels(), targets or labels, so the class of its samples is unknown; "
            "give the labels as an array, tensor or list, or use a classification dataset of mmpretrain or torchvision"
        )
    try:
        labels = np.asarray(given.cpu() if isinstance(given, torch.Tensor) else given)
    except ValueError as error:  # a list of lists of several lengths
        raise UserInputError(f"labels of {type(leaf).__name__} are no list of whole numbers, one a sample.") from error
    if labels.shape != (len(leaf),) or labels.dtype.kind not in "iu":
        raise UserInputError(
            f"labels of {type(leaf).__name__} are {labels.dtype} of shape {labels.shape}, expected one integer for "
            f"each of its {len(leaf)} samples"
        )
    return labels.astype(np.int64, copy=False)
