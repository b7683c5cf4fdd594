"""Base of the losses of experts that each learn to answer for a class prior of their own."""

from __future__ import annotations

from typing import ClassVar, Literal

import torch.nn.functional as F
from torch import Tensor

from lt_plugins.errors import UserInputError
from lt_plugins.models.losses.multi_expert_loss import MultiExpertLoss


class AdjustedExpertsLoss(MultiExpertLoss):
    r"""Base class of losses with an expert for each of several class priors: cross-entropy on adjusted logits.

    .. math::
        \ell_i = \sum_k \mathrm{CE}\big(z^{(k)}_i + a_k,\; y_i\big), \qquad \bar z_i = \frac1K \sum_k z^{(k)}_i

    What the adjustment :math:`a_k` explains, the logits of expert ``k`` need not say, so that experts differ in the
    classes that they favour. Predictions take the mean of the logits as they are. A subclass defines
    :meth:`adjustments`, and whether losses are summed over the experts or averaged.
    """

    over_experts: ClassVar[Literal["sum", "mean"]]
    """How the losses of the experts become one: at the same learning rate, a mean makes steps of ``1 / K``."""

    def adjustments(self, log_priors: Tensor) -> Tensor:
        r"""What is added to the logits of each expert in training; what a method implements.

        Args:
            log_priors (Tensor): :math:`\log \pi`, shape ``(C,)``, float64; minus infinity for an empty class, or as
                that of the rarest one.

        Returns:
            Tensor: :math:`a`, shape ``(K, C)``; minus infinity takes a class out of the softmax.
        """
        raise NotImplementedError(f"{type(self).__name__} does not define adjustments(log_priors).")

    def filled_log_priors(self) -> Tensor:
        """Log-priors in which an empty class has that of the rarest one, shape ``(C,)``, float64."""
        counts = self.class_distribution.filled_counts()
        return (counts / counts.sum()).log()

    def per_sample(self, logits: Tensor, labels: Tensor) -> Tensor:
        """Cross-entropy of each image, over the experts with their adjusted logits.

        Args:
            logits (Tensor): Logits of the experts, shape ``(B, K, C)``.
            labels (Tensor): True classes, int64 ``(B,)``.

        Returns:
            Tensor: Losses, shape ``(B,)``.

        Raises:
            UserInputError: If there is another number of experts than of adjustments.
        """
        adjustments = self.adjustments(self.class_distribution.log_priors()).to(logits)
        num_experts = logits.shape[1]
        if num_experts != len(adjustments):
            raise UserInputError(
                f"{type(self).__name__} is for {len(adjustments)} experts and got the logits of {num_experts}; set "
                "num_experts of backbone and head to that of the loss."
            )
        losses = F.cross_entropy(
            (logits + adjustments).flatten(0, 1), labels.repeat_interleave(num_experts), reduction="none"
        ).view(-1, num_experts)
        return losses.sum(dim=1) if self.over_experts == "sum" else losses.mean(dim=1)

    def trained_prior(self, sampled: Tensor) -> Tensor:
        r"""Class prior that the mean of the logits answers for, see :meth:`.LongTailLoss.trained_prior`.

        Expert ``k`` answers for what it saw, divided by :math:`e^{a_k}`; the mean of logits is the geometric mean of
        these.
        """
        found = super().trained_prior(sampled)
        return found / self.adjustments(self.filled_log_priors()).mean(dim=0).exp().to(found)
