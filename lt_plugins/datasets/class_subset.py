"""The images of some classes of a dataset."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Literal, get_args

import numpy as np

from lt_plugins.datasets.indexed_dataset import IndexedDataset
from lt_plugins.datasets.labels import get_class_counts, get_class_names, get_labels
from lt_plugins.errors import UserInputError
from lt_plugins.models.structures import ClassDistribution
from lt_plugins.models.structures.class_distribution import FEW_THRESHOLD, MANY_THRESHOLD
from lt_plugins.registry import DATASETS

Shots = Literal["many", "medium", "few"]


@DATASETS.register_module()
class ClassSubset(IndexedDataset):
    """Class subset: keeps the images of the many-, medium- or few-shot classes of a dataset, or of given ones.

    Labels and class names stay those of the whole dataset, so that a network which is trained on the subset has the
    classes of one that is trained on all; its head is a :class:`.ClassSubsetHead`, a softmax over its own classes.
    Classes beyond the subset count as empty on purpose: the check before the first step asks for images of the kept
    ones alone.

    Args:
        dataset (Any): Dataset, or its config.
        keep (str | Sequence[int]): ``'many'``, ``'medium'`` or ``'few'``, by the thresholds; or labels.
        counted_in (Any): Dataset whose images are counted, or its config: for validation images the training set.
            Defaults to None: ``dataset``.
        many_threshold (int): Classes with more images than this are many-shot. Defaults to 100.
        few_threshold (int): Classes with fewer images than this are few-shot; all others are medium-shot. LFME's own
            groups of ImageNet-LT, 391, 463 and 146 classes, are those of 99 and 21. Defaults to 20.
        pipeline (Sequence[dict] | None): Transforms in place of those of the dataset. Defaults to its own.

    Raises:
        UserInputError: If ``keep`` or a threshold is out of range, or the subset has no class or no image.

    Examples:
        >>> train_dataloader = dict(dataset=dict(
        ...     type='ClassSubset', keep='few', dataset=dict(type='ImageListDataset', data_root='data/birds')))
    """

    def __init__(
        self,
        dataset: Any,
        keep: str | Sequence[int],
        counted_in: Any = None,
        many_threshold: int = MANY_THRESHOLD,
        few_threshold: int = FEW_THRESHOLD,
        pipeline: Sequence[dict] | None = None,
    ) -> None:
        super().__init__(dataset)
        labels, num_classes = get_labels(self.dataset), len(get_class_names(self.dataset))
        if isinstance(keep, str):
            counted = self.dataset if counted_in is None else IndexedDataset(counted_in)
            distribution = ClassDistribution(None, many_threshold, few_threshold)
            distribution.set_counts(get_class_counts(counted, max(num_classes, len(get_class_names(counted)))))
            self.kept = _classes_of(distribution, keep)
        else:
            self.kept = _given_classes(keep, num_classes)
        chosen = np.flatnonzero(np.isin(labels, self.kept))
        if not len(chosen):
            raise UserInputError(
                f"ClassSubset: none of the {len(labels)} images is of the {len(self.kept)} classes that "
                f"keep={_shown(keep)} names; give others, or a dataset that has them."
            )
        super().__init__(self.dataset, chosen, pipeline)


def kept_classes(dataset: Any) -> np.ndarray | None:
    """Find the classes that a dataset is a subset of, through wrappers.

    Args:
        dataset (Any): The dataset.

    Returns:
        np.ndarray | None: Their labels, ascending, int64; None if no :class:`ClassSubset` is in its chain.
    """
    while dataset is not None:
        if isinstance(dataset, ClassSubset):
            return dataset.kept
        dataset = getattr(dataset, "dataset", None)
    return None


def _classes_of(distribution: ClassDistribution, shots: str) -> np.ndarray:
    """Labels of the classes of a group that have images, ascending, int64."""
    if shots not in get_args(Shots):
        raise UserInputError(
            f"keep={shots!r} of ClassSubset must be one of {', '.join(get_args(Shots))}, or a list of labels."
        )
    group = getattr(distribution, shots) & (distribution.counts > 0)
    if not bool(group.any()):
        present = distribution.counts[distribution.counts > 0]
        limits = f"many_threshold={distribution.many_threshold} and few_threshold={distribution.few_threshold}"
        raise UserInputError(
            f"ClassSubset: no class is {shots}-shot by {limits}, its classes have {present.min()} to {present.max()} "
            "images; give other thresholds, or labels: keep=[...]."
        )
    return group.nonzero().flatten().numpy()


def _given_classes(keep: Sequence[int], num_classes: int) -> np.ndarray:
    """Labels as they are given, ascending, int64."""
    labels = np.unique(np.asarray(keep, dtype=np.int64)) if len(keep) else np.zeros(0, dtype=np.int64)
    if not len(labels) or labels[0] < 0 or labels[-1] >= num_classes:
        raise UserInputError(
            f"keep={_shown(keep)} of ClassSubset must be labels from 0 to {num_classes - 1}, at least one."
        )
    return labels


def _shown(keep: str | Sequence[int]) -> str:
    return repr(keep) if isinstance(keep, str) or len(keep) < 6 else f"[{keep[0]}, ..., {keep[-1]}]"
