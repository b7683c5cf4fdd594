"""Generalized cross-entropy."""

from __future__ import annotations

from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor

from lt_plugins.errors import UserInputError
from lt_plugins.models.losses.long_tail_loss import LongTailLoss
from lt_plugins.registry import MODELS


def generalized_cross_entropy(logits: Tensor, labels: Tensor, q: float) -> Tensor:
    r"""Generalized cross-entropy of each image.

    .. math::
        \ell_i = \frac{1 - p_{iy_i}^q}{q}

    Args:
        logits (Tensor): Logits, shape ``(B, C)``.
        labels (Tensor): True classes, int64 ``(B,)``.
        q (float): From 0, the limit that is cross-entropy, to 1.

    Returns:
        Tensor: Losses, shape ``(B,)``.
    """
    cross_entropy = F.cross_entropy(logits, labels, reduction="none")
    # 1 - p^q by expm1: a small q leaves no digits of a difference from 1.
    return -torch.expm1(-q * cross_entropy) / q if q else cross_entropy


@MODELS.register_module()
class GeneralizedCrossEntropyLoss(LongTailLoss):
    r"""Generalized cross-entropy (GCE): :math:`(1 - p_y^q) / q`, which counts images that the network doubts less.

    Its gradient is that of cross-entropy times :math:`p_y^q`. It lies between cross-entropy (``q=0``, the limit) and
    :math:`1 - p_y` (``q=1``), half the mean absolute error of the one-hot label. On clean long-tailed data it is a
    baseline that gives the tail up; learning from failure (LfF) trains its biased network by it, where the released
    code multiplies cross-entropy by :math:`q p_y^q` without gradient: the same with ``loss_weight=q``.

    Source: Zhang and Sabuncu, "Generalized Cross Entropy Loss for Training Deep Neural Networks with Noisy Labels"
    (NeurIPS 2018), Eq. 6; its truncated form is not included.

    Args:
        q (float): From 0 (cross-entropy) to 1 (absolute error). Defaults to 0.7.
        **kwargs: Class weights and other settings of :class:`LongTailLoss`.

    Raises:
        UserInputError: If ``q`` is not in ``[0, 1]``.

    Examples:
        >>> loss = GeneralizedCrossEntropyLoss(q=0.7)
        >>> value = loss(logits, labels)
    """

    def __init__(self, q: float = 0.7, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        if not 0 <= q <= 1:
            raise UserInputError(f"q={q} must be from 0 (cross-entropy) to 1 (absolute error), like 0.7.")
        self.q = q

    def per_sample(self, logits: Tensor, labels: Tensor) -> Tensor:
        """Generalized cross-entropy of the true class, see :func:`generalized_cross_entropy`."""
        return generalized_cross_entropy(logits, labels, self.q)

    def extra_repr(self) -> str:
        """Show the settings."""
        return f"q={self.q}"
