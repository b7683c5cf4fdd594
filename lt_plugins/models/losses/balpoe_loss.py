"""Balanced product of experts: logit adjustment with a strength of its own for each expert."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor

from lt_plugins.errors import UserInputError
from lt_plugins.models.losses.adjusted_experts_loss import AdjustedExpertsLoss
from lt_plugins.registry import MODELS


@MODELS.register_module()
class BalPoELoss(AdjustedExpertsLoss):
    r"""Balanced product of experts: cross-entropy on logits that each expert adjusts by another strength.

    .. math::
        \ell_i = \frac1K \sum_k \mathrm{CE}\big(z^{(k)}_i + \tau_k \log \pi,\; y_i\big)

    Expert ``k`` answers for the prior :math:`\pi^{1 - \tau_k}`: the frequencies of the training set, uniform ones, rare
    classes first. Their product, which is the mean of the logits, is unbiased for classes of equal frequency if the
    mean of the strengths is 1 and the experts are calibrated, which Mixup provides. For a known test prior, add its
    logarithm to the mean of the logits (:func:`~lt_plugins.posthoc.target_prior`).

    It needs the counts of the classes (``ClassDistributionHook`` sets them, else
    ``loss.class_distribution.set_counts()``). An empty class is left out of the softmax of an expert with a positive
    strength; for one with a negative strength it is as rare as the rarest class that has images, where the released
    code adds 1e-9 to all priors. With one expert it is :class:`LogitAdjustmentLoss`.

    Source: Sanchez Aimar et al., "Balanced Product of Calibrated Experts for Long-Tailed Recognition" (CVPR 2023),
    and its released code.

    Args:
        tau (Sequence[float]): Strength :math:`\tau_k` of each expert; a negative one favours frequent classes even
            more. Defaults to ``(0, 1, 2)``.
        num_experts (int, optional): Number of experts ``K``, whose strengths are spread evenly from the first to the
            last of ``tau``. Defaults to None: one for each value.
        **kwargs: Class weights and other settings of :class:`LongTailLoss`.

    Raises:
        UserInputError: If there is no strength, one is not finite, or ``num_experts`` is not at least 2.

    Examples:
        >>> loss = BalPoELoss(tau=(0, 2), num_experts=7, class_counts=[100, 10, 1])
        >>> value = loss(logits, labels)  # logits (B, 7, 3)
    """

    over_experts = "mean"

    def __init__(self, tau: Sequence[float] = (0.0, 1.0, 2.0), num_experts: int | None = None, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        if len(tau) == 0 or not all(abs(value) < float("inf") for value in tau):
            raise UserInputError(f"tau={tuple(tau)} must be a finite strength for each expert, like (0, 1, 2).")
        if num_experts is not None and num_experts < 2:
            raise UserInputError(f"num_experts={num_experts} must be 2 or more, or None for one expert a value of tau.")
        self.tau = tuple(map(float, tau))
        if num_experts is not None:
            first, last, steps = self.tau[0], self.tau[-1], num_experts - 1
            self.tau = tuple(first + (last - first) * step / steps for step in range(num_experts))

    def adjustments(self, log_priors: Tensor) -> Tensor:
        r"""Log-priors times the strength of each expert, see :meth:`.AdjustedExpertsLoss.adjustments`."""
        rows = []
        for tau in self.tau:
            # Of an empty class, 0 times minus infinity is not a number, and a negative strength gives plus infinity.
            known = log_priors if tau > 0 else self.filled_log_priors()
            rows.append(tau * known)
        return torch.stack(rows)

    def extra_repr(self) -> str:
        """Show the settings."""
        return f"tau={self.tau}"
