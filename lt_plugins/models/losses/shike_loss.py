"""Losses of the first stage of SHIKE: experts that teach each other, and suppress their hardest negative class."""

from __future__ import annotations

from typing import Any, Literal, get_args

import torch
import torch.nn.functional as F
from torch import Tensor

from lt_plugins.errors import UserInputError
from lt_plugins.models.losses.multi_expert_loss import MultiExpertLoss
from lt_plugins.registry import MODELS

KLReduction = Literal["elementmean", "batchmean"]
TARGET_LOGIT = -30.0
"""Logit of the true class where negative classes are compared, as released."""


def negative_teacher(logits: Tensor, labels: Tensor) -> Tensor:
    r"""Logits of the teacher of the negative classes: the best of the experts' logits, but for the hardest class.

    The hardest negative class, with the largest mean logit, keeps that mean, which is less than the largest of the
    experts; the true class has 0, as released.

    Args:
        logits (Tensor): Logits of the experts, shape ``(B, K, C)``.
        labels (Tensor): True classes, int64 ``(B,)``.

    Returns:
        Tensor: Shape ``(B, C)``.
    """
    target = F.one_hot(labels, logits.shape[-1]).bool()
    mean = logits.mean(dim=1)
    hardest = mean.masked_fill(target, -torch.inf).argmax(dim=1, keepdim=True)
    teacher = logits.amax(dim=1).scatter(1, hardest, mean.gather(1, hardest))
    return teacher.masked_fill(target, 0.0)


@MODELS.register_module()
class SHIKELoss(MultiExpertLoss):
    r"""Losses of SHIKE's first stage: cross-entropy, a teacher of the negative classes, and mutual distillation.

    .. math::
        \ell_i = \sum_k \mathrm{CE}(z^{(k)}_i, y_i) + \beta \sum_k \mathrm{KL}\big(q_i \,\|\, p^{(k)}_{i, \setminus
        y}\big) + \gamma \sum_{k \ne j} \mathrm{KL}\big(p^{(j)}_i \,\|\, p^{(k)}_i\big)

    :math:`p_{\setminus y}` is the softmax with -30 as the logit of the true class, and the teacher :math:`q` that of
    :func:`negative_teacher`. Gradients flow into the teachers too, as released. The experts learn the frequencies of
    the training set; the second stage re-balances new heads.

    Source: Jin et al., "Long-Tailed Visual Recognition via Self-Heterogeneous Integration with Knowledge Excavation"
    (CVPR 2023), and its released code, from which the constants are.

    Args:
        negative_weight (float): Weight of the teacher of the negative classes :math:`\beta`, 0 or more. Defaults to
            10.0.
        mutual_weight (float): Weight of the mutual distillation :math:`\gamma`, 0 or more. Defaults to 1.0.
        reduction (str): Mean of the divergences: ``"elementmean"`` over images and classes as released, which divides
            them by the number of classes, or ``"batchmean"`` over images. Defaults to ``"elementmean"``.
        **kwargs: Class weights and other settings of :class:`LongTailLoss`.

    Raises:
        UserInputError: If a weight is negative or the reduction unknown.

    Examples:
        >>> value = SHIKELoss()(logits, labels)  # logits (B, K, C)
    """

    def __init__(
        self,
        negative_weight: float = 10.0,
        mutual_weight: float = 1.0,
        reduction: KLReduction = "elementmean",
        **kwargs: Any,
    ) -> None:
        super().__init__(**kwargs)
        if not (negative_weight >= 0 and mutual_weight >= 0):
            raise UserInputError(
                f"negative_weight={negative_weight} and mutual_weight={mutual_weight} must be 0 or more, like 10 and 1."
            )
        if reduction not in get_args(KLReduction):
            raise UserInputError(f"reduction={reduction!r} must be one of {', '.join(get_args(KLReduction))}.")
        self.negative_weight = negative_weight
        self.mutual_weight = mutual_weight
        self.reduction = reduction

    def per_sample(self, logits: Tensor, labels: Tensor) -> Tensor:
        """Cross-entropy of each image, summed over the experts.

        Args:
            logits (Tensor): Logits of the experts, shape ``(B, K, C)``.
            labels (Tensor): True classes, int64 ``(B,)``.

        Returns:
            Tensor: Losses, shape ``(B,)``.
        """
        return -logits.log_softmax(dim=-1).gather(2, _index(logits, labels)).squeeze(2).sum(dim=1)

    def unweighted_per_sample(self, logits: Tensor, labels: Tensor) -> Tensor:
        """Divergences of each image, which class weights leave alone.

        Args:
            logits (Tensor): Logits of the experts, shape ``(B, K, C)``.
            labels (Tensor): True classes, int64 ``(B,)``.

        Returns:
            Tensor: Weighted sum of the teacher's and of those between experts, shape ``(B,)``.
        """
        negatives = logits.scatter(2, _index(logits, labels), TARGET_LOGIT).log_softmax(dim=-1)
        teacher = negative_teacher(logits, labels).log_softmax(dim=-1)
        hard = _divergence(teacher[:, None], negatives).sum(dim=1)
        log_probs = logits.log_softmax(dim=-1)
        # Pairs of an expert with itself add 0.
        mutual = _divergence(log_probs[:, :, None], log_probs[:, None]).sum(dim=(1, 2))
        divergence = self.negative_weight * hard + self.mutual_weight * mutual
        return divergence / logits.shape[-1] if self.reduction == "elementmean" else divergence

    def extra_repr(self) -> str:
        """Show the settings."""
        return (
            f"negative_weight={self.negative_weight}, mutual_weight={self.mutual_weight}, reduction={self.reduction!r}"
        )


def _divergence(target: Tensor, log_probs: Tensor) -> Tensor:
    """Kullback-Leibler divergence of the last dimension, from logarithms of both distributions."""
    return (target.exp() * (target - log_probs)).sum(dim=-1)


def _index(logits: Tensor, labels: Tensor) -> Tensor:
    """Position of the true class in the logits of each expert, shape ``(B, K, 1)``."""
    return labels.view(-1, 1, 1).expand(-1, logits.shape[1], 1)
