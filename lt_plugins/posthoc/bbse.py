"""Class prior of unlabelled test images by black-box shift estimation."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import torch
from torch import Tensor

from lt_plugins.errors import UserInputError
from lt_plugins.posthoc.prior import check_prior


class BBSEResult(NamedTuple):
    """Outcome of :func:`bbse_prior`.

    Args:
        prior (Tensor): Estimated class frequencies, shape ``(C,)``, float64.
        condition (float): Condition number of the confusion matrix; infinite if a class is never predicted. Above
            about a million an estimate without regularisation is noise: take :func:`.em_prior` instead.
    """

    prior: Tensor
    condition: float


def joint_confusion(probabilities: Tensor, labels: Tensor, source: Tensor | Sequence[float]) -> Tensor:
    r"""Joint probability of prediction and class under a prior, :math:`C_{ij} = \pi_j P(\hat y = i \mid y = j)`.

    Soft: the mean probability stands for the share of predictions, which is better conditioned. One-hot rows give the
    hard form.

    Args:
        probabilities (Tensor): Of labelled images that were not trained on, shape ``(N, C)``. How frequent their
            classes are does not matter.
        labels (Tensor): Their classes, int64 ``(N,)``; each class occurs.
        source (Tensor | Sequence[float]): Prior :math:`\pi`, shape ``(C,)``.

    Returns:
        Tensor: Shape ``(C, C)``, float64, sum 1.

    Raises:
        UserInputError: If the shapes do not fit or a class has no image.
    """
    prior = check_prior(source, "source")
    if probabilities.ndim != 2 or labels.shape != probabilities.shape[:1] or probabilities.shape[1] != len(prior):
        raise UserInputError(
            f"probabilities {tuple(probabilities.shape)} and labels {tuple(labels.shape)} must be (N, C) and (N,) for "
            f"{len(prior)} classes."
        )
    counts = torch.bincount(labels, minlength=len(prior)).cpu()
    if missing := (counts == 0).nonzero().flatten().tolist():
        raise UserInputError(
            f"class {missing[0]} has no labelled held-out image, so nothing says how it is predicted; "
            "use the estimate by EM, which needs no labels."
        )
    sums = torch.zeros(len(prior), len(prior), dtype=torch.float64)
    sums.index_add_(0, labels.cpu(), probabilities.double().cpu())  # row j: sum over the images of class j
    return (sums / counts[:, None]).T * prior


def bbse_prior(
    confusion: Tensor, predicted: Tensor, source: Tensor | Sequence[float], regularization: float = 1e-6
) -> BBSEResult:
    r"""Find the class frequencies that explain how often each class is predicted.

    The weights :math:`\omega_c = q_c / \pi_c` solve :math:`C \omega = \hat\mu` (BBSE); regularised (RLLS), they stay
    near 1 where the predictions say little:

    .. math::
        \omega = 1 + \theta, \qquad \min_\theta \lVert C \theta - (\hat\mu - C \mathbf 1)\rVert^2
        + \lambda \lVert\theta\rVert^2

    Negative weights become 0 and :math:`q_c \propto \omega_c \pi_c`. Source: Lipton et al., "Detecting and Correcting
    for Label Shift with Black Box Predictors" (ICML 2018); Azizzadenesheli et al., "Regularized Learning for Domain
    Adaptation under Label Shifts" (ICLR 2019), here with squares, which have a closed form.

    Args:
        confusion (Tensor): :math:`C` as :func:`joint_confusion` gives it, shape ``(C, C)``.
        predicted (Tensor): :math:`\hat\mu`, mean probabilities of the test images (or shares of their predictions, if
            ``confusion`` is hard), shape ``(C,)``.
        source (Tensor | Sequence[float]): Prior :math:`\pi` of ``confusion``, shape ``(C,)``.
        regularization (float): :math:`\lambda`; 0 is BBSE. Defaults to 1e-6.

    Raises:
        UserInputError: If the regularisation is negative, or no weight is positive.
    """
    if regularization < 0:
        raise UserInputError(f"regularization={regularization} must be 0 (BBSE) or more.")
    prior, matrix = check_prior(source, "source"), confusion.double().cpu()
    singular = torch.linalg.svdvals(matrix)
    condition = float(singular[0] / singular[-1])
    residual = predicted.double().cpu() - matrix.sum(dim=1)
    # The rows below the matrix are those of the penalty; lstsq of the whole is stabler than the normal equations.
    penalty = regularization**0.5 * torch.eye(len(prior), dtype=torch.float64)
    rows, goal = torch.cat([matrix, penalty]), torch.cat([residual, torch.zeros_like(residual)])
    theta = torch.linalg.lstsq(rows, goal[:, None], driver="gelsd").solution.squeeze(1)
    weights = (1 + theta).clamp(min=0)
    if not bool((weights * prior).any()):
        raise UserInputError("no class has a positive weight; raise the regularization, or estimate by EM.")
    return BBSEResult(check_prior(weights * prior), condition)
