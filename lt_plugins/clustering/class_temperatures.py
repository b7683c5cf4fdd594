"""A temperature for each class from the spread of its features."""

from __future__ import annotations

from collections.abc import Iterator

import torch
import torch.nn.functional as F
from torch import Tensor

from lt_plugins.errors import UserInputError

CHUNK_SIZE = 16384
"""Vectors in float64 at a time."""


def class_temperatures(
    features: Tensor,
    labels: Tensor,
    num_classes: int,
    temperature: float = 0.1,
    alpha: float = 10.0,
    mode: str = "exp",
    split: Tensor | None = None,
) -> Tensor:
    """A higher temperature for classes whose features are more spread: ``tau2(c)`` of SBCL.

    ``phi(c) = sum_i |v_i - t_c| / (n_c log(n_c + alpha))`` is the spread of the unit features ``v_i`` of class ``c``
    about their mean ``t_c``; ``tau2(c) = temperature * exp(phi(c) / mean phi)``, the mean over the classes with
    samples. A class without samples gets what an average class gets. Source: SBCL (Hou et al., 2023), Eq. 5 and 6.

    Args:
        features (Tensor): Shape ``(N, D)``, of any length.
        labels (Tensor): Class of each sample, int64 ``(N,)``.
        num_classes (int): Number of classes ``C``.
        temperature (float): ``tau1``. Defaults to 0.1.
        alpha (float): Softens the measure for small classes. Defaults to 10.
        mode (str): ``"exp"``, the paper's formula, or ``"linear"``, the public code's ``temperature * phi / mean phi``
            with ``phi`` clipped to its 20th to 80th percentile. Defaults to ``"exp"``.
        split (Tensor, optional): Which classes have several subclasses, bool ``(C,)``; the others get
            ``temperature``, as in the public code. Defaults to all.

    Returns:
        Tensor: ``tau2``, float64 ``(C,)``.

    Raises:
        UserInputError: If shapes or labels do not fit, features are not finite, ``temperature`` or ``alpha`` is not
            positive, or the mode is unknown.
    """
    if mode not in ("exp", "linear"):
        raise UserInputError(f"mode={mode!r} must be 'exp' or 'linear'.")
    if not (temperature > 0 and alpha > 0):
        raise UserInputError(f"temperature={temperature} and alpha={alpha} must be positive.")
    if split is not None and (split.shape != (num_classes,) or split.dtype != torch.bool):
        raise UserInputError(
            f"split must be a bool tensor of shape {(num_classes,)}, got {split.dtype} {tuple(split.shape)}."
        )
    spread, present = concentrations(features, labels, num_classes, alpha)
    if mode == "linear" and bool(present.any()):
        low, high = torch.quantile(spread[present], spread.new_tensor([0.2, 0.8]))
        spread = spread.clamp(low, high)
    mean = spread[present].mean()
    # Without any spread but that of rounding, or without samples, all classes are average.
    ratio = torch.where(present & (mean > 1e-12), spread / mean, 1.0)
    tau2 = temperature * (ratio.exp() if mode == "exp" else ratio)
    return tau2 if split is None else torch.where(split.to(tau2.device), tau2, temperature)


def concentrations(features: Tensor, labels: Tensor, num_classes: int, alpha: float = 10.0) -> tuple[Tensor, Tensor]:
    """Concentration estimate of PCL: the spread of the unit features of each class, or cluster, about their mean.

    ``phi(c) = sum_i |v_i - t_c| / (n_c log(n_c + alpha))``, the smaller the more concentrated. Source: Li et al.,
    "Prototypical Contrastive Learning" (ICLR 2021), Eq. 12.

    Args:
        features (Tensor): Shape ``(N, D)``, of any length.
        labels (Tensor): Class of each sample, int64 ``(N,)``.
        num_classes (int): Number of classes ``C``.
        alpha (float): Softens the measure for small classes. Defaults to 10.

    Returns:
        tuple[Tensor, Tensor]: ``phi`` in float64, 0 without samples, and which classes have samples, each ``(C,)``.

    Raises:
        UserInputError: If shapes or labels do not fit, or features are not finite.
    """
    if features.dim() != 2 or labels.shape != features.shape[:1]:
        raise UserInputError(
            f"features must have shape (N, D) and labels (N,), got {tuple(features.shape)} and {tuple(labels.shape)}."
        )
    labels = labels.to(features.device)
    if len(labels) and not 0 <= int(labels.min()) <= int(labels.max()) < num_classes:
        raise UserInputError(
            f"labels from {int(labels.min())} to {int(labels.max())} must be in 0..{num_classes - 1}; set num_classes."
        )
    counts = torch.bincount(labels, minlength=num_classes).double()
    means = counts.new_zeros(num_classes, features.shape[1])
    for unit, index in _chunks(features, labels):
        means.index_add_(0, index, unit)
    means /= counts.clamp(min=1)[:, None]
    distance = torch.zeros_like(counts)
    for unit, index in _chunks(features, labels):
        distance.index_add_(0, index, (unit - means[index]).norm(dim=1))
    if not bool(distance.isfinite().all()):
        raise UserInputError("features hold values that are not finite; the network has diverged.")
    return distance / (counts.clamp(min=1) * (counts + alpha).log()), counts > 0


def _chunks(features: Tensor, labels: Tensor) -> Iterator[tuple[Tensor, Tensor]]:
    """Unit vectors in float64 and their classes, a few at a time."""
    for vectors, index in zip(features.detach().split(CHUNK_SIZE), labels.split(CHUNK_SIZE), strict=True):
        yield F.normalize(vectors.double(), dim=1), index
