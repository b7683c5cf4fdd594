"""Parametric contrastive loss."""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np
import torch
from torch import Tensor

from lt_plugins.errors import UserInputError
from lt_plugins.models.structures import ClassDistribution, ContrastBatch, StatesCall
from lt_plugins.registry import MODELS

# What the released code adds to each class's frequency before the logarithm.
PRIOR_EPS = 1e-9


def paco_loss(
    logits: Tensor, contrast: ContrastBatch, alpha: float, beta: float, gamma: float, temperature: float
) -> Tensor:
    r"""Parametric contrastive loss of each anchor.

    With the class centres' logits :math:`u_{ic}` (prior included), :math:`s_{ij} = v_i^\top v_j / T` over the
    candidates :math:`A_i` and the positives :math:`P_i`,

    .. math::
        D_i = \sum_c e^{u_{ic}} + \gamma \sum_{j \in A_i} e^{s_{ij}}, \qquad
        L_i = -\frac{\beta \log(e^{u_{iy_i}} / D_i) + \alpha \sum_{j \in P_i} \log(e^{s_{ij}} / D_i)}
                    {\beta + \alpha |P_i|}

    Args:
        logits (Tensor): Logits of the class centres plus the log-prior, shape ``(M, C)``.
        contrast (ContrastBatch): The ``M`` anchors and ``A`` candidates.
        alpha (float): Weight of each contrastive positive.
        beta (float): Weight of the class centre as a positive.
        gamma (float): Weight of the candidates in the denominator.
        temperature (float): ``T``.

    Returns:
        Tensor: Loss of each anchor, shape ``(M,)``.
    """
    scores = (contrast.cosine / temperature).masked_fill(~contrast.valid, -torch.inf)
    log_denominator = torch.cat([logits, scores + math.log(gamma)], dim=1).logsumexp(dim=1)
    positives = contrast.same_class
    # Masked entries are -inf: take them out before they meet the zero weight of a negative (0 * inf is not a number).
    log_ratio = scores.masked_fill(~positives, 0.0) - log_denominator[:, None] * positives
    centre = logits.gather(1, contrast.anchor_labels[:, None]).squeeze(1) - log_denominator
    weight = beta + alpha * positives.sum(dim=1, dtype=logits.dtype)  # a sum of int64 would become float32
    return -(beta * centre + alpha * log_ratio.sum(dim=1)) / weight


@MODELS.register_module()
class PaCoLoss(StatesCall):
    """Parametric contrastive loss: a supervised contrastive loss whose positives include learnable class centres.

    It needs the counts of the classes (``ClassDistributionHook`` sets them, else
    ``loss.class_distribution.set_counts()``).

    Source: Cui et al., "Parametric Contrastive Learning" (ICCV 2021), Eq. 5, in the form of its released code: the
    centres' logits are plain linear logits plus the log-prior (balanced softmax), not divided by the temperature, and
    the sum over positives is divided by the sum of its weights. As there, the prior of a class is its frequency plus
    1e-9, so that an empty class stays in the denominator with a small weight. See :func:`paco_loss` for the formula.

    Args:
        alpha (float): Weight of each contrastive positive; 0.01 on CIFAR. Defaults to 0.05.
        beta (float): Weight of the class centre as a positive. Defaults to 1.0.
        gamma (float): Weight of the candidates in the denominator. Defaults to 1.0.
        temperature (float): Temperature ``T`` of the contrastive part; 0.05 on CIFAR. Defaults to 0.2.
        class_counts (Tensor | np.ndarray | Sequence[int], optional): Training images of each class, for a loop of your
            own. Defaults to None: set later.

    Raises:
        UserInputError: If the temperature, beta or gamma is not positive, or alpha is negative.

    Examples:
        >>> head = dict(type='PaCoHead', num_classes=100, in_channels=64,
        ...             loss=dict(type='PaCoLoss', alpha=0.01, temperature=0.05))
        >>> loss = PaCoLoss(class_counts=[100, 10, 1])
        >>> contrast = ContrastBatch.from_views(projector(features_1), projector(features_2), labels)
        >>> value = loss(fc(torch.cat([features_1, features_2])), contrast)
    """

    call = "loss(logits_of_both_views, ContrastBatch.from_views(view_1, view_2, labels))"

    needs_one_label = True

    def __init__(
        self,
        alpha: float = 0.05,
        beta: float = 1.0,
        gamma: float = 1.0,
        temperature: float = 0.2,
        class_counts: Tensor | np.ndarray | Sequence[int] | None = None,
    ) -> None:
        super().__init__()
        if min(temperature, beta, gamma) <= 0 or alpha < 0:
            raise UserInputError(
                f"temperature={temperature}, beta={beta} and gamma={gamma} must be positive, "
                f"alpha={alpha} not negative."
            )
        self.alpha = alpha
        self.beta = beta
        self.gamma = gamma
        self.temperature = temperature
        self.class_distribution = ClassDistribution()
        if class_counts is not None:
            self.class_distribution.set_counts(class_counts)

    def trained_prior(self, sampled: Tensor) -> Tensor:
        """Class prior that the logits of the centres answer for: the log-prior is added in training only.

        Args:
            sampled (Tensor): How often each class came in training, shares of shape ``(C,)``.
        """
        return sampled / self.class_distribution.filled_counts().to(sampled)

    def forward(self, logits: Tensor, contrast: ContrastBatch) -> Tensor:
        """Compute the mean loss over the anchors.

        Args:
            logits (Tensor): Linear logits of the anchors, without prior, shape ``(M, C)``.
            contrast (ContrastBatch): Anchors and candidates.

        Returns:
            Tensor: Scalar loss in float32 (or float64, if the input is).

        Raises:
            UserInputError: If the class counts are unknown.
        """
        logits = logits.to(torch.promote_types(logits.dtype, torch.float32))
        adjusted = logits + self.class_distribution.log_priors(PRIOR_EPS).to(logits.dtype)
        return paco_loss(adjusted, contrast, self.alpha, self.beta, self.gamma, self.temperature).mean()
