"""Temperature scaling."""

from __future__ import annotations

import math
from collections.abc import Sequence

import torch
from scipy.optimize import minimize_scalar
from torch import Tensor

from lt_plugins.errors import UserInputError
from lt_plugins.posthoc.affine_classifier import AffineClassifier
from lt_plugins.posthoc.prior import check_prior

LIMITS = (1e-2, 1e2)
"""Temperatures that are tried; beyond them nothing changes but rounding."""


def fit_temperature(logits: Tensor, labels: Tensor, prior: Tensor | Sequence[float] | None = None) -> float:
    r"""Find the temperature with the smallest negative log-likelihood.

    .. math::
        \min_T -\sum_i w_i \log \mathrm{softmax}(z_i / T)_{y_i}

    In float64; convex in :math:`1 / T`. Source: Guo et al., "On Calibration of Modern Neural Networks" (ICML 2017),
    section 4.2.

    Args:
        logits (Tensor): Logits of held-out images, shape ``(N, C)``.
        labels (Tensor): Their classes, int64 ``(N,)``.
        prior (Tensor | Sequence[float], optional): Class frequencies to calibrate under, shape ``(C,)``: each image
            weighs :math:`w_i = \pi_{y_i} / n_{y_i}`, so that a balanced set stands for a long-tailed one. Defaults to
            those of the images, all weights equal.

    Returns:
        float: Temperature ``T``, from 0.01 to 100.

    Raises:
        UserInputError: If there are no images, or the shapes do not fit.
    """
    if logits.ndim != 2 or labels.shape != logits.shape[:1] or not len(labels):
        raise UserInputError(
            f"logits {tuple(logits.shape)} and labels {tuple(labels.shape)} must be (N, C) and (N,), N at least 1."
        )
    logits = logits.double()
    weights = torch.ones(len(labels), dtype=torch.float64, device=logits.device)
    if prior is not None:
        shares = check_prior(prior).to(logits.device)
        weights = (shares / torch.bincount(labels, minlength=logits.shape[1]).clamp(min=1))[labels]
    weights = weights / weights.sum()

    def loss(log_temperature: float) -> float:
        scaled = (logits / math.exp(log_temperature)).log_softmax(dim=1)
        return -float(weights @ scaled.gather(1, labels[:, None]).squeeze(1))

    low, high = map(math.log, LIMITS)
    found = minimize_scalar(loss, bounds=(low, high), method="bounded", options={"xatol": 1e-6})
    return math.exp(float(found.x))


def temperature_scaling(classifier: AffineClassifier, temperature: float) -> AffineClassifier:
    """Divide weights and biases by a temperature; predictions stay, probabilities become softer or sharper.

    Args:
        classifier (AffineClassifier): The classifier.
        temperature (float): Temperature, as :func:`fit_temperature` finds it.

    Raises:
        UserInputError: If it is not positive.
    """
    if temperature <= 0:
        raise UserInputError(f"temperature={temperature} must be positive; 1 changes nothing.")
    return AffineClassifier(classifier.weight / temperature, classifier.bias / temperature)
