"""Geometry of features on the unit sphere: uniformity, distances within and between classes, angles of class means."""

from __future__ import annotations

import math
from collections.abc import Iterator
from typing import NamedTuple

import torch
import torch.nn.functional as F
from scipy.special import hyp0f1
from torch import Tensor

from lt_plugins.clustering.class_sums import class_means, class_sums

BLOCK_VALUES = 1 << 22
"""Distances or angles in memory at a time, 32 MB."""


class MeanAngles(NamedTuple):
    """Outcome of :func:`mean_angles`, in degrees.

    Args:
        blocks (Tensor): Mean angle between the classes of two blocks, ``(B, B)``, without that of a class and itself;
            NaN where there are none.
        average (Tensor): Mean angle of each class to the others, ``(C,)``.
        nearest (Tensor): Angle of each class to the nearest other one, ``(C,)``; NaN for a class without direction.
        nearest_class (Tensor): Which one that is, int64 ``(C,)``; -1 for none.
    """

    blocks: Tensor
    average: Tensor
    nearest: Tensor
    nearest_class: Tensor


def uniformity(features: Tensor, t: float = 2.0) -> Tensor:
    r"""Uniformity of features on the sphere, :math:`\log \mathrm{mean}_{i \ne j} \exp(-t \lVert z_i - z_j \rVert^2)`.

    0 where all features are the same; the lower, the more evenly they are spread (:func:`least_uniformity`). Only a
    block of the pairs is in memory at a time.

    Source: Wang and Isola, "Understanding Contrastive Representation Learning through Alignment and Uniformity on the
    Hypersphere" (ICML 2020), section 4.1.

    Args:
        features (Tensor): Features of any length, ``(N, D)``; their directions count.
        t (float): Sharpness of the kernel. Defaults to 2.

    Returns:
        Tensor: A number, float64; NaN for less than two features.
    """
    total = features.new_zeros((), dtype=torch.float64)
    for rows, squared in _squared_distances(features):
        kernel = squared.mul_(-t).exp_()
        kernel[torch.arange(len(rows)), rows] = 0
        total += kernel.sum()
    number = len(features) * (len(features) - 1)
    return (total / number).log() if number else torch.full_like(total, math.nan)


def least_uniformity(dimension: int, t: float = 2.0) -> float:
    r"""Uniformity of the uniform distribution on the sphere, the least that any distribution has.

    :math:`-2t + \log {}_0F_1(; D/2; t^2)`, the logarithm of the mean of :math:`\exp(-2t + 2t \cos\theta)`.

    Args:
        dimension (int): Length ``D`` of the features.
        t (float): Sharpness of the kernel. Defaults to 2.
    """
    return -2 * t + math.log(hyp0f1(dimension / 2, t**2))


def class_distances(features: Tensor, labels: Tensor, num_classes: int) -> tuple[Tensor, Tensor]:
    """Mean Euclidean distances of the directions of features within each class, and to all other classes.

    Only a block of the pairs is in memory at a time.

    Args:
        features (Tensor): Features of any length, ``(N, D)``; their directions count.
        labels (Tensor): Classes, int64 ``(N,)``.
        num_classes (int): Number of classes ``C``.

    Returns:
        tuple[Tensor, Tensor]: Mean over the pairs of two different images of a class, and over the pairs of an image of
            the class and one of another class; each float64 ``(C,)``, NaN where there is no pair.
    """
    own, total = (features.new_zeros(len(features), dtype=torch.float64) for _ in range(2))
    for rows, squared in _squared_distances(features):
        distances = squared.sqrt_()
        distances[torch.arange(len(rows)), rows] = 0
        total[rows] = distances.sum(dim=1)
        own[rows] = distances.mul_(labels[rows, None] == labels).sum(dim=1)
    sums = class_sums(torch.stack([own, total - own], dim=1), labels, num_classes)
    number = sums[:, -1]
    pairs = torch.stack([number * (number - 1), number * (len(features) - number)], dim=1)
    within, between = (sums[:, :-1] / pairs.where(pairs > 0, math.nan)).unbind(dim=1)
    return within, between


def class_directions(features: Tensor, labels: Tensor, num_classes: int, centred: bool = False) -> Tensor:
    """Mean direction of the features of each class.

    Args:
        features (Tensor): Features of any length, ``(N, D)``; their directions count.
        labels (Tensor): Classes, int64 ``(N,)``.
        num_classes (int): Number of classes ``C``.
        centred (bool): Whether the mean over the class means is subtracted from each first, as in studies of neural
            collapse: features behind a ReLU are all in one corner of the space. Defaults to False.

    Returns:
        Tensor: Unit rows, float64 ``(C, D)``; NaN for a class without images.
    """
    sums = class_sums(F.normalize(features.double(), dim=1), labels, num_classes)
    means, number = class_means(sums)
    present = number > 0
    if centred:
        means = means - means[present].mean(dim=0)
    return F.normalize(means, dim=1).where(present[:, None], math.nan)


def simplex_angle(num_classes: int) -> float:
    """Angle between the corners of a regular simplex from its centre, in degrees: ``arccos(-1 / (C - 1))``.

    No ``C`` directions have a larger smallest angle; it takes ``C - 1`` dimensions to reach it.

    Args:
        num_classes (int): Number of corners ``C``, 2 or more.
    """
    return math.degrees(math.acos(-1 / (num_classes - 1)))


def mean_angles(directions: Tensor, order: Tensor, num_blocks: int) -> MeanAngles:
    """Angles between the mean directions of classes; of many classes a block of the pairs is in memory at a time.

    Args:
        directions (Tensor): Unit rows, ``(C, D)``; NaN for a class without one.
        order (Tensor): The classes in the order of the blocks, int64 ``(C,)``.
        num_blocks (int): Number of blocks of neighbouring classes ``B``; ``C`` merges nothing.

    Returns:
        MeanAngles: In degrees, float64.
    """
    num_classes = len(order)
    chosen = order[~directions[order].isnan().any(dim=1)]
    block = torch.empty_like(order)
    block[order] = torch.arange(num_classes) * num_blocks // num_classes
    block = block[chosen]
    sums = torch.zeros(num_blocks, num_blocks, dtype=torch.float64)
    average, nearest = (torch.full((num_classes,), math.nan, dtype=torch.float64) for _ in range(2))
    nearest_class = torch.full((num_classes,), -1)
    for rows, squared in _squared_distances(directions[chosen]):
        angles = squared.sqrt_().div_(2).clamp_(max=1).asin_().mul_(2).rad2deg_()
        itself = torch.arange(len(rows)), rows
        angles[itself] = 0
        by_block = torch.zeros(len(rows), num_blocks, dtype=torch.float64).index_add_(1, block, angles)
        sums.index_add_(0, block[rows], by_block)
        if len(chosen) > 1:
            average[chosen[rows]] = angles.sum(dim=1) / (len(chosen) - 1)
            angles[itself] = math.inf
            values, places = angles.min(dim=1)
            nearest[chosen[rows]], nearest_class[chosen[rows]] = values, chosen[places]
    number = block.bincount(minlength=num_blocks).double()
    pairs = number.outer(number) - number.diag()
    return MeanAngles(sums / pairs.where(pairs > 0, math.nan), average, nearest, nearest_class)


def _squared_distances(features: Tensor) -> Iterator[tuple[Tensor, Tensor]]:
    """Some rows at a time, squared distances of their directions to all, ``(R, N)``, which the caller may change."""
    unit = F.normalize(features.double(), dim=1)
    for rows in torch.arange(len(unit)).split(max(1, BLOCK_VALUES // max(1, len(unit)))):
        yield rows, (unit[rows] @ unit.T).mul_(-2).add_(2).clamp_(min=0)
