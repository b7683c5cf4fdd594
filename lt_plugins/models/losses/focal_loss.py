"""Focal loss on softmax and on sigmoid."""

from __future__ import annotations

from typing import Any, ClassVar, Literal

import torch
import torch.nn.functional as F
from torch import Tensor

from lt_plugins.errors import UserInputError
from lt_plugins.models.losses.long_tail_loss import LongTailLoss
from lt_plugins.registry import MODELS


def focal_term(margin: Tensor, gamma: float, detach_modulator: bool = False) -> Tensor:
    r"""Focal loss by the log-odds of the truth, :math:`-(1 - p)^\gamma \log p` with :math:`p = \sigma(m)`.

    Written by the log-odds, :math:`1 - p` keeps its digits where ``p`` rounds to 1, and the gradient is finite for any
    ``gamma``; that of a power of a rounded ``1 - p = 0`` is not, for ``gamma`` below 1.

    Args:
        margin (Tensor): Log-odds :math:`m = \log p - \log (1 - p)`, of any shape.
        gamma (float): Exponent of the modulator :math:`(1 - p)^\gamma`.
        detach_modulator (bool): Whether the modulator is a weight without gradient. Defaults to False.

    Returns:
        Tensor: Losses, of the same shape.
    """
    modulator = torch.exp(gamma * F.logsigmoid(-margin))
    return -(modulator.detach() if detach_modulator else modulator) * F.logsigmoid(margin)


def softmax_focal_loss(logits: Tensor, labels: Tensor, gamma: float, detach_modulator: bool = False) -> Tensor:
    r"""Focal loss of the softmax probability of the true class of each image.

    .. math::
        \ell_i = -(1 - p_{iy_i})^\gamma \log p_{iy_i}, \quad
        \log \frac{p_{iy_i}}{1 - p_{iy_i}} = z_{iy_i} - \log \sum_{c \ne y_i} e^{z_{ic}}

    Args:
        logits (Tensor): Logits, shape ``(B, C)``, of two classes or more.
        labels (Tensor): True classes, int64 ``(B,)``.
        gamma (float): Exponent of the modulator :math:`(1 - p)^\gamma`.
        detach_modulator (bool): Whether the modulator is a weight without gradient. Defaults to False.

    Returns:
        Tensor: Losses, shape ``(B,)``.
    """
    index = labels.unsqueeze(1)
    others = logits.scatter(1, index, -torch.inf).logsumexp(dim=1)
    return focal_term(logits.gather(1, index).squeeze(1) - others, gamma, detach_modulator)


def sigmoid_focal_loss(logits: Tensor, labels: Tensor, gamma: float) -> Tensor:
    r"""Sum over the classes of the binary focal losses of each image, "this class" against "another one".

    .. math::
        \ell_i = -\sum_c (1 - p_{ic})^\gamma \log p_{ic}, \quad
        p_{ic} = \sigma(z_{ic}) \text{ if } c = y_i \text{ else } \sigma(-z_{ic})

    Args:
        logits (Tensor): Logits, shape ``(B, C)``.
        labels (Tensor): True classes, int64 ``(B,)``.
        gamma (float): Exponent of the modulators.

    Returns:
        Tensor: Losses, shape ``(B,)``.
    """
    is_true = F.one_hot(labels, logits.shape[1]).bool()
    return focal_term(torch.where(is_true, logits, -logits), gamma).sum(dim=1)


def _check_gamma(gamma: float) -> None:
    if not gamma >= 0:
        raise UserInputError(f"gamma={gamma} must be 0 (no focus on hard images) or more, like 2.")


@MODELS.register_module()
class SoftmaxFocalLoss(LongTailLoss):
    r"""Focal loss on softmax: :math:`-(1 - p_y)^\gamma \log p_y`, which counts well-classified images less.

    With ``gamma=0`` it is cross-entropy. Class weights multiply the loss; the released code of LDAM puts them inside,
    with :math:`p_y^{w_y}` in place of :math:`p_y`. Without weights, as in the published "Focal" rows, the two agree.

    Source: Lin et al., "Focal Loss for Dense Object Detection" (ICCV 2017), Eq. 4, with softmax as in Cao et al.,
    "Learning Imbalanced Datasets with Label-Distribution-Aware Margin Loss" (NeurIPS 2019).

    Args:
        gamma (float): Exponent of the modulator :math:`(1 - p_y)^\gamma`, 0 or more; 1 in the tables of CIFAR-LT.
            Defaults to 2.0.
        detach_modulator (bool): Whether the modulator is a weight without gradient, as in the released codes of GCL
            and GLT. Defaults to False.
        **kwargs: Class weights and other settings of :class:`LongTailLoss`.

    Raises:
        UserInputError: If ``gamma`` is negative.

    Examples:
        >>> loss = SoftmaxFocalLoss(gamma=1.0)
        >>> value = loss(logits, labels)
    """

    def __init__(self, gamma: float = 2.0, detach_modulator: bool = False, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        _check_gamma(gamma)
        self.gamma = gamma
        self.detach_modulator = detach_modulator

    def per_sample(self, logits: Tensor, labels: Tensor) -> Tensor:
        """Focal loss of the true class, see :func:`softmax_focal_loss`."""
        return softmax_focal_loss(logits, labels, self.gamma, self.detach_modulator)

    def extra_repr(self) -> str:
        """Show the settings."""
        return f"gamma={self.gamma}, detach_modulator={self.detach_modulator}"


@MODELS.register_module()
class SigmoidFocalLoss(LongTailLoss):
    r"""Focal loss on sigmoid: the sum over the classes of :math:`-(1 - p)^\gamma \log p` of "this class or not".

    The loss of an image is this sum, its weight that of its true class, for all terms. With
    ``class_weight="effective_number", normalize_by="batch"`` it is class-balanced focal loss (CB-Focal) as released,
    and with ``gamma=0`` the sum of binary cross-entropies, the sigmoid form of the class-balanced loss. An image that
    is mixed of two classes has the losses of both, each as if it were of that class alone, by their shares; for
    ``gamma=0`` that is the binary cross-entropy with the shares as targets.

    At first all but one of the ``C`` terms say "not this class": a bias of 0 starts with a loss of ``C log 2`` and may
    diverge. :class:`~lt_plugins.models.initializers.RareEventBiasInit` starts each class at the probability ``1 / C``,
    and the bias has no weight decay. Heads predict the sigmoid of the logits (:attr:`link`).

    Source: Cui et al., "Class-Balanced Loss Based on Effective Number of Samples" (CVPR 2019), sections 4.2 and 4.3,
    and its released code; Lin et al., "Focal Loss for Dense Object Detection" (ICCV 2017).

    Args:
        gamma (float): Exponent of the modulators, 0 or more; 0.5 to 2 in the paper. Defaults to 2.0.
        **kwargs: Class weights and other settings of :class:`LongTailLoss`.

    Raises:
        UserInputError: If ``gamma`` is negative.

    Examples:
        >>> loss = SigmoidFocalLoss(  # CB-Focal
        ...     gamma=1.0, class_weight="effective_number", normalize_by="batch", class_counts=[100, 10, 1])
        >>> value = loss(logits, labels)
    """

    link: ClassVar[Literal["softmax", "sigmoid"]] = "sigmoid"

    def __init__(self, gamma: float = 2.0, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        _check_gamma(gamma)
        self.gamma = gamma

    def per_sample(self, logits: Tensor, labels: Tensor) -> Tensor:
        """Sum of the binary focal losses, see :func:`sigmoid_focal_loss`."""
        return sigmoid_focal_loss(logits, labels, self.gamma)

    def extra_repr(self) -> str:
        """Show the settings."""
        return f"gamma={self.gamma}"
