"""Cross-entropy on logits that are adjusted by the class priors."""

from __future__ import annotations

from typing import Any

import torch.nn.functional as F
from torch import Tensor

from lt_plugins.errors import UserInputError
from lt_plugins.models.losses.long_tail_loss import LongTailLoss
from lt_plugins.registry import MODELS


def logit_adjusted_cross_entropy(logits: Tensor, labels: Tensor, log_priors: Tensor, tau: float = 1.0) -> Tensor:
    r"""Cross-entropy of each image on logits plus the log-priors of the classes.

    .. math::
        \ell_i = -\log \frac{\pi_{y_i}^\tau e^{z_{iy_i}}}{\sum_c \pi_c^\tau e^{z_{ic}}}

    Args:
        logits (Tensor): Logits, shape ``(B, C)``.
        labels (Tensor): True classes, int64 ``(B,)``.
        log_priors (Tensor): :math:`\log \pi`, shape ``(C,)``; minus infinity takes a class out of the softmax.
        tau (float): Strength of the adjustment. Defaults to 1.0.

    Returns:
        Tensor: Losses, shape ``(B,)``.
    """
    if tau:  # 0 times the minus infinity of an empty class is not a number
        logits = logits + (tau * log_priors).to(logits)
    return F.cross_entropy(logits, labels, reduction="none")


@MODELS.register_module()
class LogitAdjustmentLoss(LongTailLoss):
    r"""Logit adjustment: cross-entropy on :math:`z + \tau \log \pi`, so that :math:`z` itself favours no class.

    At test time the logits are used as they are; subtracting the priors once more would favour rare classes. It needs
    the counts of the classes (``ClassDistributionHook`` sets them, else ``loss.class_distribution.set_counts()``). A
    class without images is left out of the softmax, where the released code adds 1e-12 to its prior. With ``tau=0`` it
    is cross-entropy over all classes, and with ``tau=1`` :class:`BalancedSoftmaxLoss`.

    Source: Menon et al., "Long-tail learning via logit adjustment" (ICLR 2021), Eq. 10.

    Args:
        tau (float): Strength of the adjustment :math:`\tau`, 0 or more. Defaults to 1.0.
        **kwargs: Class weights and other settings of :class:`LongTailLoss`.

    Raises:
        UserInputError: If ``tau`` is negative.

    Examples:
        >>> loss = LogitAdjustmentLoss(tau=1.0, class_counts=[100, 10, 1])
        >>> value = loss(logits, labels)
    """

    def __init__(self, tau: float = 1.0, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        if not tau >= 0:
            raise UserInputError(f"tau={tau} must be 0 or more, like 1; a negative one would favour frequent classes.")
        self.tau = tau

    def per_sample(self, logits: Tensor, labels: Tensor) -> Tensor:
        """Cross-entropy of adjusted logits, see :func:`logit_adjusted_cross_entropy`."""
        return logit_adjusted_cross_entropy(logits, labels, self.class_distribution.log_priors(), self.tau)

    def trained_prior(self, sampled: Tensor) -> Tensor:
        """Class prior that the logits answer for: uniform with ``tau=1``, see :meth:`.LongTailLoss.trained_prior`."""
        return super().trained_prior(sampled) / self.class_distribution.filled_counts().to(sampled) ** self.tau

    def extra_repr(self) -> str:
        """Show the settings."""
        return f"tau={self.tau}"
