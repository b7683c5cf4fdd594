"""Class priors: of a training set, and what an accuracy becomes under another one."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor

from lt_plugins.errors import UserInputError
from lt_plugins.models.structures import ClassDistribution

TINY = 1e-12
"""Share that a class has at least where its logarithm is taken, as in the released code of logit adjustment."""


def class_priors(counts: Tensor | Sequence[int]) -> Tensor:
    """Class frequencies of a training set, in which an empty class counts as the rarest one that has images.

    A class with a share of zero would win every comparison as soon as its logarithm is subtracted.

    Args:
        counts (Tensor | Sequence[int]): Training images of each class, shape ``(C,)``.

    Returns:
        Tensor: Shape ``(C,)``, float64, sum 1.

    Raises:
        UserInputError: If a count is negative or all are zero.
    """
    distribution = ClassDistribution()
    distribution.set_counts(counts)
    filled = distribution.filled_counts()
    return filled / filled.sum()


def check_prior(prior: Tensor | Sequence[float], name: str = "prior") -> Tensor:
    """Bring a distribution over classes to float64, sum 1.

    Args:
        prior (Tensor | Sequence[float]): Shares or weights of the classes, shape ``(C,)``.
        name (str): How to call it in an error. Defaults to ``"prior"``.

    Returns:
        Tensor: Shape ``(C,)``, float64, on the CPU.

    Raises:
        UserInputError: If it has another shape, a value is negative or not finite, or all are zero.
    """
    values = torch.as_tensor(prior, dtype=torch.float64).cpu()
    if values.ndim != 1 or not bool(values.isfinite().all()) or bool((values < 0).any()) or not bool(values.any()):
        raise UserInputError(
            f"{name} {values.flatten().tolist()[:5]} of shape {tuple(values.shape)} must be one share a class, finite, "
            "not negative and not all zero."
        )
    return values / values.sum()


def accuracy_under_prior(recalls: Tensor | Sequence[float], prior: Tensor | Sequence[float]) -> float:
    r"""Accuracy on images with other class frequencies, :math:`\sum_c q_c R_c`, without a new forward pass.

    Exact for fixed predictions, as long as only the frequencies change and not the images of a class.

    Args:
        recalls (Tensor | Sequence[float]): Accuracy on each class :math:`R_c`, shape ``(C,)``; NaN for one without test
            images, which is left out.
        prior (Tensor | Sequence[float]): Class frequencies :math:`q`, shape ``(C,)``.

    Returns:
        float: In the unit of the recalls.

    Raises:
        UserInputError: If the shapes differ or no tested class has a share.
    """
    values, shares = torch.as_tensor(recalls, dtype=torch.float64).cpu(), check_prior(prior)
    if values.shape != shares.shape:
        raise UserInputError(f"{len(values)} recalls and {len(shares)} shares; give one of each for every class.")
    shares = shares.where(values.isfinite(), 0.0)
    if not bool(shares.any()):
        raise UserInputError("no class with a share has test images, so there is no accuracy.")
    return float((shares * values.nan_to_num()).sum() / shares.sum())


def prior_power(prior: Tensor | Sequence[float], counts: Tensor | Sequence[int]) -> float:
    r"""The power of the class frequencies that a prior is nearest to, :math:`q_c \propto \pi_c^p`.

    1 for the frequencies themselves, 0 for a uniform prior; by least squares in the logarithm.

    Args:
        prior (Tensor | Sequence[float]): Class frequencies :math:`q`, shape ``(C,)``.
        counts (Tensor | Sequence[int]): Training images of each class, shape ``(C,)``.

    Returns:
        float: :math:`p`; 1 if all classes have the same number of images.
    """
    expected = class_priors(counts).log()
    found = check_prior(prior).clamp(min=TINY).log()
    expected, found = expected - expected.mean(), found - found.mean()
    spread = float(expected.square().sum())
    return float(expected @ found) / spread if spread > TINY else 1.0
