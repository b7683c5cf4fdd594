"""Environments of invariant feature learning: how often each image is drawn, by the confidence of its class."""

from __future__ import annotations

import math

import torch
from torch import Tensor

from lt_plugins.errors import UserInputError

MIN_IMAGES = 5
"""Images of a class with a confidence, below which all of them weigh the same."""
UNSEEN = ("zero", "mean")


def environment_weights(
    confidence: Tensor,
    labels: Tensor,
    ratio: float = 4.0,
    *,
    gamma_range: tuple[float, float] = (1.0, 10.0),
    unseen: str = "zero",
    balance_classes: bool = True,
) -> Tensor:
    r"""Sampling weights of an environment that shows the images of each class that the network doubts most.

    With the probabilities of the true class :math:`p_i`, of which :math:`\tilde p_i` are scaled to 0..1 within the
    class,

    .. math::
        q_i = (1 - \tilde p_i) + 10^{-5}, \qquad
        \rho = \frac{\text{mean of the highest fifth of } q}{\text{mean of the lowest four fifths of } q}, \qquad
        \gamma = \mathrm{clip}\Big(\frac{\log r}{\log(\rho + 10^{-5})}, 1, 10\Big), \qquad
        w_i = \frac{q_i^\gamma}{\sum_{j : y_j = y_i} q_j^\gamma}

    The exponent aims at the doubted fifth of a class coming :math:`r` times as often as the rest. A class with fewer
    than :data:`MIN_IMAGES` confidences has equal weights. Rare attributes of a class are what a network doubts, so this
    environment has another distribution of attributes.

    Source: Tang et al., "Invariant Feature Learning for Generalized Long-Tailed Classification" (ECCV 2022), whose
    text has the weight :math:`(1 - p)^\beta`: ``gamma_range=(beta, beta)``. The rest is its released code, in which
    images without a confidence are not drawn (``unseen="zero"``), and each class is drawn equally often.

    Args:
        confidence (Tensor): Probability of the true class of each image, shape ``(N,)``; negative where it is unknown.
        labels (Tensor): Class of each image, int64 ``(N,)``.
        ratio (float): Ratio :math:`r`, 1 or more. Defaults to 4.
        gamma_range (tuple[float, float]): Limits of the exponent. Defaults to ``(1, 10)``.
        unseen (str): Weight of an image of unknown confidence: ``"zero"``, or ``"mean"``, the mean of its class, with
            which no class can be lost. Defaults to ``"zero"``.
        balance_classes (bool): Whether the weights of each class sum to 1; else to its number of images, so that the
            classes stay as frequent as they are. Defaults to True.

    Returns:
        Tensor: Weights, float64 ``(N,)``.

    Raises:
        UserInputError: If shapes do not fit, an argument is out of range, or no confidence is known.
    """
    check_environment_options(ratio, gamma_range, unseen)
    if confidence.dim() != 1 or labels.shape != confidence.shape or not len(labels):
        raise UserInputError(
            f"confidence and labels must have one shape (N,), got {tuple(confidence.shape)} and {tuple(labels.shape)}."
        )
    if not bool(((confidence >= 0) & (confidence <= 1)).any()):
        raise UserInputError("no image has a confidence from 0 to 1; record them over an epoch of the training first.")
    confidence = confidence.double()
    num_classes = int(labels.max()) + 1
    seen = confidence >= 0
    of_class = torch.bincount(labels[seen], minlength=num_classes)
    weights = torch.zeros_like(confidence)
    weights[seen] = _scaled_doubt(confidence[seen], labels[seen], of_class, ratio, gamma_range)
    sums = torch.zeros(num_classes).to(weights).index_add_(0, labels, weights)
    if unseen == "mean":
        mean = torch.where(of_class > 0, sums / of_class.clamp(min=1), 1.0)
        weights = torch.where(seen, weights, mean[labels])
        sums = mean * torch.bincount(labels, minlength=num_classes)
    mass = 1.0 if balance_classes else torch.bincount(labels, minlength=num_classes)
    return weights * torch.where(sums > 0, mass / sums, 0.0)[labels]


def _scaled_doubt(
    confidence: Tensor, labels: Tensor, of_class: Tensor, ratio: float, gamma_range: tuple[float, float]
) -> Tensor:
    r""":math:`q^\gamma` of ``n`` images that have a confidence, ``of_class`` of each class; 1 in small classes."""
    num_classes = len(of_class)
    limits = [
        torch.zeros(num_classes).to(confidence).scatter_reduce_(0, labels, confidence, how, include_self=False)
        for how in ("amin", "amax")
    ]
    lowest, highest = (limit[labels] for limit in limits)
    doubt = (1 - (confidence - lowest) / (highest - lowest + 1e-9)).abs() + 1e-5
    # Ascending doubt within each class, and the position of each image there.
    order = torch.argsort(doubt, stable=True)
    order = order[torch.argsort(labels[order], stable=True)]
    position = torch.arange(len(order), device=order.device) - (of_class.cumsum(0) - of_class)[labels[order]]
    low, high = 4 * of_class // 5, of_class // 5
    means = [
        torch.zeros(num_classes).to(doubt).index_add_(0, labels[order], doubt[order] * chosen) / number.clamp(min=1)
        for chosen, number in (
            (position < low[labels[order]], low),
            (position >= (of_class - high)[labels[order]], high),
        )
    ]
    spread = (means[1] / means[0].clamp(min=1e-5) + 1e-5).clamp(min=1 + 1e-9)
    gamma = (math.log(ratio) / spread.log()).clamp(*gamma_range)
    return torch.where(of_class[labels] < MIN_IMAGES, 1.0, doubt ** gamma[labels])


def check_environment_options(ratio: float, gamma_range: tuple[float, float], unseen: str) -> None:
    """Refuse options of :func:`environment_weights` that are out of range, before there are confidences.

    Args:
        ratio (float): As there.
        gamma_range (tuple[float, float]): As there.
        unseen (str): As there.

    Raises:
        UserInputError: If one is out of range or unknown.
    """
    if not ratio >= 1:
        raise UserInputError(f"ratio={ratio} of an environment must be 1 or more, like 4.")
    if len(gamma_range) != 2 or not 0 < gamma_range[0] <= gamma_range[1]:
        raise UserInputError(f"gamma_range={gamma_range} must be two positive numbers, ascending, like (1, 10).")
    if unseen not in UNSEEN:
        raise UserInputError(f"unseen={unseen!r} must be one of {UNSEEN}.")
