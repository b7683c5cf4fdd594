"""Sums and means of the features of each class."""

from __future__ import annotations

from torch import Tensor


def class_sums(features: Tensor, labels: Tensor, num_classes: int, shares: Tensor | None = None) -> Tensor:
    """Sum the features of each class, and count its images; sums of batches and processes add up.

    Args:
        features (Tensor): Features, shape ``(B, D)``; in float64 the sums of a whole training set keep their digits.
        labels (Tensor): Classes, int64 ``(B,)``.
        num_classes (int): Number of classes ``C``.
        shares (Tensor, optional): What share of each image counts, shape ``(B,)``. Defaults to None: all of it.

    Returns:
        Tensor: Shape ``(C, D + 1)``, in the type of the features; the last column counts the images.
    """
    sums = features.new_zeros(num_classes, features.shape[1] + 1)
    counted = features.new_ones(len(features)) if shares is None else shares.to(features)
    sums[:, :-1].index_add_(0, labels, features if shares is None else counted[:, None] * features)
    sums[:, -1].index_add_(0, labels, counted)
    return sums


def class_means(sums: Tensor) -> tuple[Tensor, Tensor]:
    """Divide sums of :func:`class_sums` by the numbers of images.

    Args:
        sums (Tensor): Shape ``(C, D + 1)``.

    Returns:
        tuple[Tensor, Tensor]: Means ``(C, D)``, zeros for a class without images, and numbers of images ``(C,)``.
    """
    counts = sums[:, -1]
    return sums[:, :-1] / counts.clamp(min=1)[:, None], counts
