"""Class prior of unlabelled test images by expectation-maximisation."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import torch
from torch import Tensor

from lt_plugins.errors import UserInputError
from lt_plugins.posthoc.prior import TINY, check_prior

CHUNK_SIZE = 8192
"""Images whose responsibilities are in memory at a time."""


class EMResult(NamedTuple):
    """Outcome of :func:`em_prior`.

    Args:
        prior (Tensor): Estimated class frequencies, shape ``(C,)``, float64.
        objectives (list[float]): What is maximised, before the first step and after each: the mean log-likelihood of an
            image, with ``alpha`` above 1 plus that of the prior.
    """

    prior: Tensor
    objectives: list[float]


def em_prior(
    logits: Tensor,
    source: Tensor | Sequence[float],
    alpha: float = 1.0,
    max_steps: int = 1000,
    tolerance: float = 1e-6,
) -> EMResult:
    r"""Estimate the class frequencies of unlabelled images from the logits of a calibrated classifier.

    With the classifier's probabilities :math:`p_{ic}` under the prior :math:`\pi`, beginning at :math:`q = \pi`:

    .. math::
        r_{ic} = \frac{q_c p_{ic} / \pi_c}{\sum_j q_j p_{ij} / \pi_j}, \qquad
        q_c \leftarrow \frac{\sum_i r_{ic} + \alpha - 1}{M + C (\alpha - 1)}

    The likelihood is concave in :math:`q`, and no step lowers it. Computed in float64 by logarithms. A network that is
    too sure of itself over-shoots: divide its logits by a temperature first. Source: Saerens et al., "Adjusting the
    Outputs of a Classifier to New a Priori Probabilities" (Neural Computation 2002), Eq. 2.9.

    Args:
        logits (Tensor): Calibrated logits of the test images, shape ``(M, C)``.
        source (Tensor | Sequence[float]): Prior :math:`\pi` that the classifier answers for, shape ``(C,)``.
        alpha (float): Dirichlet prior of the frequencies: 1 is maximum likelihood, more pulls towards equal ones, for
            few images a class. Defaults to 1.0.
        max_steps (int): Steps at most. Defaults to 1000.
        tolerance (float): Stops as soon as the frequencies change by less in sum. Defaults to 1e-6.

    Raises:
        UserInputError: If there are no images, the prior does not fit, or ``alpha`` is below 1.
    """
    prior = check_prior(source, "source").clamp(min=TINY)
    if logits.ndim != 2 or not len(logits) or logits.shape[1] != len(prior):
        raise UserInputError(f"logits {tuple(logits.shape)} must be (M, C) for {len(prior)} classes, M at least 1.")
    if alpha < 1:
        raise UserInputError(f"alpha={alpha} must be 1 (maximum likelihood) or more.")
    num_images, num_classes = logits.shape
    log_ratio = logits.double().cpu().log_softmax(dim=1) - prior.log()
    objectives: list[float] = []
    while True:
        log_prior = prior.log()
        expected = torch.zeros(num_classes, dtype=torch.float64)
        log_likelihood = 0.0
        for chunk in log_ratio.split(CHUNK_SIZE):
            joint = chunk + log_prior
            evidence = joint.logsumexp(dim=1, keepdim=True)
            expected += (joint - evidence).exp().sum(dim=0)
            log_likelihood += float(evidence.sum())
        penalty = (alpha - 1) * float(log_prior.sum()) if alpha > 1 else 0.0  # of a share of 0 the log is infinite
        objectives.append((log_likelihood + penalty) / num_images)
        updated = (expected + alpha - 1) / (num_images + num_classes * (alpha - 1))
        change = float((updated - prior).abs().sum())
        if change < tolerance or len(objectives) > max_steps:
            return EMResult(prior, objectives)
        prior = updated
