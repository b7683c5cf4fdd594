"""Base of the losses on the logits of several experts."""

from __future__ import annotations

from torch import Tensor

from lt_plugins.errors import UserInputError
from lt_plugins.models.losses.long_tail_loss import LongTailLoss


class MultiExpertLoss(LongTailLoss):
    """Base class of the losses on logits of ``K`` experts; a method is one ``per_sample(logits, labels) -> (B,)``.

    The logits have shape ``(B, K, C)``, as :class:`~lt_plugins.models.heads.MultiExpertHead` gives them in training;
    all else is :class:`LongTailLoss`'s: class counts and weights, deferred re-weighting, mixed labels. Terms without
    class weights, such as how much the experts differ, belong into :meth:`unweighted_per_sample`. ``trained_prior`` is
    that of the mean of the experts' logits, which predicts.

    Args:
        **kwargs: Class weights and other settings of :class:`LongTailLoss`.

    Examples:
        >>> class SumOfExperts(MultiExpertLoss):
        ...     def per_sample(self, logits, labels):
        ...         losses = [F.cross_entropy(z, labels, reduction="none") for z in logits.unbind(dim=1)]
        ...         return torch.stack(losses).sum(dim=0)
    """

    def _check_logits(self, logits: Tensor) -> None:
        if logits.ndim != 3:
            raise UserInputError(
                f"{type(self).__name__} takes the logits of experts, shape (B, K, C), and got {tuple(logits.shape)}; "
                "stack those of your experts (torch.stack([z_1, z_2], dim=1)), or give the loss to a MultiExpertHead."
            )
        super()._check_logits(logits)
