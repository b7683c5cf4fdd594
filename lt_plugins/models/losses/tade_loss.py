"""Three experts for long-tailed, uniform and inversely long-tailed classes (TADE, SADE)."""

from __future__ import annotations

from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor

from lt_plugins.errors import UserInputError
from lt_plugins.models.losses.adjusted_experts_loss import AdjustedExpertsLoss
from lt_plugins.registry import MODELS


def reversed_ranks(values: Tensor) -> Tensor:
    """Give the largest value to the class that has the smallest one, the second largest to the second smallest, ...

    Classes with equal values share the mean of what their ranks are given. The released code of SADE sorts them in an
    order that its sort leaves open.

    Args:
        values (Tensor): A value for each class, shape ``(C,)``.

    Returns:
        Tensor: Shape ``(C,)``, with the same sum.
    """
    ascending, order = values.sort()
    group = F.pad((ascending[1:] != ascending[:-1]).cumsum(dim=0), (1, 0))  # of equal values, from 0
    given = torch.zeros_like(values).index_add(0, group, ascending.flip(0))
    sizes = torch.zeros_like(values).index_add(0, group, torch.ones_like(values))
    swapped = torch.empty_like(values)
    swapped[order] = (given / sizes.clamp(min=1))[group]
    return swapped


@MODELS.register_module()
class TADELoss(AdjustedExpertsLoss):
    r"""Losses of TADE (also SADE): three experts for long-tailed, uniform and inversely long-tailed classes.

    .. math::
        \ell_i = \mathrm{CE}\big(z^{(1)}_i, y_i\big) + \mathrm{CE}\big(z^{(2)}_i + \log \pi, y_i\big)
        + \mathrm{CE}\big(z^{(3)}_i + \log \pi - \tau \log \bar\pi, y_i\big)

    where :math:`\bar\pi` gives the prior of the most frequent class to the rarest one, and so on; classes of the same
    size share the geometric mean of theirs. Predictions take the mean of the logits; for a test set whose class
    frequencies are unknown, ``tools/posthoc.py --method expert-weights`` weighs the experts by its images without
    labels. It needs the counts of the classes (``ClassDistributionHook`` sets them, else
    ``loss.class_distribution.set_counts()``). An empty class is left out of the softmax of the second and third expert,
    where the released code adds 1e-9 to all priors.

    Source: Zhang et al., "Self-Supervised Aggregation of Diverse Experts for Test-Agnostic Long-Tailed Recognition"
    (NeurIPS 2022), and its released code.

    Args:
        tau (float): How much the third expert favours rare classes :math:`\tau`, 0 or more; 2 on CIFAR-100-LT and
            ImageNet-LT, 1 on iNaturalist and Places-LT. Defaults to 2.0.
        **kwargs: Class weights and other settings of :class:`LongTailLoss`.

    Raises:
        UserInputError: If ``tau`` is negative.

    Examples:
        >>> loss = TADELoss(tau=2.0, class_counts=[100, 10, 1])
        >>> value = loss(logits, labels)  # logits (B, 3, C)
    """

    over_experts = "sum"

    def __init__(self, tau: float = 2.0, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        if not tau >= 0:
            raise UserInputError(f"tau={tau} must be 0 or more, like 2; with 0 the third expert is the second.")
        self.tau = tau

    def adjustments(self, log_priors: Tensor) -> Tensor:
        r"""Zeros, log-priors, and these less those of the reversed ranks; see :meth:`.AdjustedExpertsLoss.adjustments`.

        The reversed ranks take an empty class for one as rare as the rarest, so that no adjustment is plus infinity.
        """
        inverse = log_priors - self.tau * reversed_ranks(self.filled_log_priors())
        return torch.stack([torch.zeros_like(log_priors), log_priors, inverse])

    def extra_repr(self) -> str:
        """Show the settings."""
        return f"tau={self.tau}"
