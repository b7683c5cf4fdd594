"""Margin losses of several experts that are rewarded for differing."""

from __future__ import annotations

from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor

from lt_plugins.errors import UserInputError
from lt_plugins.models.losses.ldam_loss import LDAMLoss, ldam_loss
from lt_plugins.models.losses.multi_expert_loss import MultiExpertLoss
from lt_plugins.registry import MODELS


def expert_diversity(logits: Tensor, temperatures: Tensor) -> Tensor:
    r"""Distance of the experts of each image from their mean, summed over the experts.

    .. math::
        d_i = \bar T^2 \sum_k \mathrm{KL}(\bar p_i \,\|\, p_i^{(k)}), \qquad
        p_i^{(k)} = \mathrm{softmax}_c(z_{ic}^{(k)} / T_c), \quad
        \bar p_i = \mathrm{softmax}_c\Big(\frac{1}{K T_c} \sum_k z_{ic}^{(k)}\Big)

    with the mean :math:`\bar T` of the temperatures. No gradient flows through :math:`\bar p`.

    Args:
        logits (Tensor): Logits of the experts, shape ``(B, K, C)``.
        temperatures (Tensor): Temperature of each class ``T``, shape ``(C,)``.

    Returns:
        Tensor: Shape ``(B,)``, 0 or more.
    """
    temperatures = temperatures.to(logits)
    log_experts = F.log_softmax(logits / temperatures, dim=2)
    log_mean = F.log_softmax(logits.detach().mean(dim=1, keepdim=True) / temperatures, dim=2)
    distances = F.kl_div(log_experts, log_mean.expand_as(log_experts), reduction="none", log_target=True)
    return temperatures.mean() ** 2 * distances.sum(dim=(1, 2))


@MODELS.register_module()
class RIDELoss(LDAMLoss, MultiExpertLoss):
    r"""RIDE: the sum of the experts' LDAM losses, minus a reward for differing from their mean.

    .. math::
        \ell_i = \sum_k w_{y_i} \ell^{\mathrm{LDAM}}(z_i^{(k)}, y_i) - \lambda\, d_i

    with the :math:`d_i` of :func:`expert_diversity`, to which class weights do not apply. While class weights are in
    force, classes have temperatures of their own: the rarer, the lower, so that experts may differ more there,

    .. math::
        T_c \propto f C \pi_c + 1 - f, \qquad \max_c T_c = 1;

    before ``reweight_from``, or without weights, all are 1. One expert has :math:`d = 0`, which leaves LDAM (with
    ``reweight_from`` LDAM-DRW). The experts are summed, so that each learns at the rate of a network by itself.

    Source: Wang et al., "Long-tailed Recognition by Routing Diverse Distribution-Aware Experts" (ICLR 2021), Eq. 3
    and 4; the distance to the mean of the logits is that of the released code, where the paper has it between pairs.

    Args:
        max_margin (float): Margin of the rarest class. Defaults to 0.5.
        scale (float): Scale of the cosines in the logits. Defaults to 30.0.
        diversity_weight (float): :math:`\lambda`, 0 or more: 0.45 on CIFAR-100, 0.2 elsewhere. Defaults to 0.2.
        temperature_spread (float): :math:`f`, from 0 (all temperatures 1) to below 1: 0.05 on CIFAR, 0.02 on
            ImageNet-LT, 0.015 on iNaturalist. Defaults to 0.05.
        **kwargs: Class weights and other settings of :class:`LongTailLoss`.

    Raises:
        UserInputError: If an argument is out of its range.

    Examples:
        >>> loss = RIDELoss(class_weight="effective_number", reweight_from=160, class_counts=[100, 10, 1])
        >>> value = loss(30 * cosines, labels)  # of the experts, (B, K, C)
    """

    def __init__(
        self,
        max_margin: float = 0.5,
        scale: float = 30.0,
        diversity_weight: float = 0.2,
        temperature_spread: float = 0.05,
        **kwargs: Any,
    ) -> None:
        super().__init__(max_margin, scale, **kwargs)
        if not 0 <= diversity_weight < float("inf"):
            raise UserInputError(f"diversity_weight={diversity_weight} must be 0 or more, like 0.2; it is subtracted.")
        if not 0 <= temperature_spread < 1:
            raise UserInputError(f"temperature_spread={temperature_spread} must be in [0, 1), like 0.05.")
        self.diversity_weight = diversity_weight
        self.temperature_spread = temperature_spread

    def temperatures(self) -> Tensor:
        """Temperature of each class in this epoch, shape ``(C,)``, float64."""
        priors = self.class_distribution.priors
        if self.class_weight is None or not self.is_reweighted:
            return torch.ones_like(priors)
        raw = self.temperature_spread * len(priors) * priors + 1 - self.temperature_spread
        return raw / raw.max()

    def per_sample(self, logits: Tensor, labels: Tensor) -> Tensor:
        """Sum of the experts' LDAM losses, see :func:`~lt_plugins.models.losses.ldam_loss.ldam_loss`."""
        margins = self.margins()
        losses = [ldam_loss(expert, labels, margins, self.scale) for expert in logits.unbind(dim=1)]
        return torch.stack(losses).sum(dim=0)

    def unweighted_per_sample(self, logits: Tensor, labels: Tensor) -> Tensor | None:  # noqa: ARG002
        """The reward for differing, see :func:`expert_diversity`."""
        if not self.diversity_weight:
            return None
        return -self.diversity_weight * expert_diversity(logits, self.temperatures())

    def extra_repr(self) -> str:
        """Show the settings."""
        return (
            f"{super().extra_repr()}, diversity_weight={self.diversity_weight}, "
            f"temperature_spread={self.temperature_spread}"
        )
