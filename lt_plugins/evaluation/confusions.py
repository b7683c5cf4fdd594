"""Confusions of a classifier: what each class is taken for, and the most confused pairs."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray


class ConfusedPair(NamedTuple):
    """Two classes of which one is taken for the other.

    Args:
        label (int): True class.
        predicted (int): Class that it is taken for.
        images (int): Test images.
        share (float): These of all test images of the true class, in percent.
    """

    label: int
    predicted: int
    images: int
    share: float


class ClassErrors(NamedTuple):
    """Errors of each of ``C`` classes.

    Args:
        precision (NDArray): Right ones of the predictions for the class, in percent, ``(C,)``; NaN if never predicted.
        confidence (NDArray): Mean confidence on its test images, in percent, ``(C,)``; NaN without test images.
        confused_with (NDArray): Class that its test images are most often taken for (the first of equals), ``(C,)``; -1
            without a wrong one.
        confused_count (NDArray): Test images of the class that are taken for it, ``(C,)``.
    """

    precision: NDArray[np.float64]
    confidence: NDArray[np.float64]
    confused_with: NDArray[np.int64]
    confused_count: NDArray[np.int64]


def confused_pairs(
    label: NDArray[np.int64], predicted: NDArray[np.int64], num_classes: int, limit: int | None = None
) -> list[ConfusedPair]:
    """Pairs of a true and a predicted class, most images first, of equals those with the largest share of the class.

    Args:
        label (NDArray): True classes, ``(N,)``.
        predicted (NDArray): Predicted classes, ``(N,)``; a negative one is no prediction.
        num_classes (int): Number of classes ``C``.
        limit (int | None): Return no more pairs. Defaults to None, all.
    """
    sizes = np.bincount(label, minlength=num_classes)
    truth, taken, count = _wrong_pairs(label, predicted, num_classes)
    share = 100 * count / sizes[truth]
    order = np.lexsort((taken, truth, -share, -count))[:limit]
    return [ConfusedPair(int(truth[i]), int(taken[i]), int(count[i]), float(share[i])) for i in order]


def class_errors(
    label: NDArray[np.int64], predicted: NDArray[np.int64], confidence: NDArray[np.floating], num_classes: int
) -> ClassErrors:
    """Precision, mean confidence and most frequent confusion of each class.

    Args:
        label (NDArray): True classes, ``(N,)``.
        predicted (NDArray): Predicted classes, ``(N,)``; a negative one is no prediction.
        confidence (NDArray): Probability of the predicted class, in [0, 1], ``(N,)``.
        num_classes (int): Number of classes ``C``.
    """
    known = predicted >= 0
    hits = np.bincount(label[predicted == label], minlength=num_classes)
    truth, taken, count = _wrong_pairs(label, predicted, num_classes)
    order = np.lexsort((taken, -count, truth))
    truth, taken, count = truth[order], taken[order], count[order]
    wrong_classes, first = np.unique(truth, return_index=True)
    confused_with, confused_count = np.full(num_classes, -1), np.zeros(num_classes, np.int64)
    confused_with[wrong_classes], confused_count[wrong_classes] = taken[first], count[first]
    with np.errstate(invalid="ignore"):  # 0 / 0 is the NaN of a class without any
        precision = 100 * hits / np.bincount(predicted[known], minlength=num_classes)
        mean = 100 * np.bincount(label, confidence, num_classes) / np.bincount(label, minlength=num_classes)
    return ClassErrors(precision, mean, confused_with, confused_count)


def worst_classes(
    accuracy: NDArray[np.float64],
    test_counts: NDArray[np.int64],
    train_counts: NDArray[np.int64] | None = None,
    limit: int | None = None,
) -> NDArray[np.int64]:
    """Classes with wrong test images, the lowest accuracy first, of equals those with fewest training images.

    Args:
        accuracy (NDArray): Accuracy on each class in percent, ``(C,)``; NaN without test images.
        test_counts (NDArray): Test images of each class, ``(C,)``.
        train_counts (NDArray | None): Training images of each class, ``(C,)``, if they are known. Defaults to None.
        limit (int | None): Return no more classes. Defaults to None, all.
    """
    sizes = np.zeros_like(test_counts) if train_counts is None else train_counts
    order = np.lexsort((np.arange(len(accuracy)), sizes, accuracy))
    return order[(test_counts[order] > 0) & (accuracy[order] < 100)][:limit]


def _wrong_pairs(
    label: NDArray[np.int64], predicted: NDArray[np.int64], num_classes: int
) -> tuple[NDArray[np.int64], NDArray[np.int64], NDArray[np.int64]]:
    """True class, predicted class and number of images of each pair that occurs, sorted by both classes."""
    wrong = (predicted >= 0) & (predicted != label)
    pairs, count = np.unique(label[wrong] * num_classes + predicted[wrong], return_counts=True)
    return pairs // num_classes, pairs % num_classes, count
