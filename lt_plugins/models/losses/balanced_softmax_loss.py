"""Cross-entropy of the softmax that counts each class by its number of images."""

from __future__ import annotations

from torch import Tensor

from lt_plugins.models.losses.logit_adjustment_loss import logit_adjusted_cross_entropy
from lt_plugins.models.losses.long_tail_loss import LongTailLoss
from lt_plugins.registry import MODELS


@MODELS.register_module()
class BalancedSoftmaxLoss(LongTailLoss):
    r"""Balanced softmax: each class enters the softmax as often as it has images in the training set.

    .. math::
        \ell_i = -\log \frac{n_{y_i} e^{z_{iy_i}}}{\sum_c n_c e^{z_{ic}}}

    It is logit adjustment with :math:`\tau = 1`: counts and priors differ by a constant in all logits. At test time
    the logits are used as they are. It needs the counts of the classes (``ClassDistributionHook`` sets them, else
    ``loss.class_distribution.set_counts()``); a class without images is left out of the softmax.

    Source: Ren et al., "Balanced Meta-Softmax for Long-Tailed Visual Recognition" (NeurIPS 2020), Theorem 1.

    Args:
        **kwargs: Class weights and other settings of :class:`LongTailLoss`.

    Examples:
        >>> loss = BalancedSoftmaxLoss(class_counts=[100, 10, 1])
        >>> value = loss(logits, labels)
    """

    def per_sample(self, logits: Tensor, labels: Tensor) -> Tensor:
        """Cross-entropy of balanced softmax, see :func:`logit_adjusted_cross_entropy`."""
        return logit_adjusted_cross_entropy(logits, labels, self.class_distribution.log_priors())

    def trained_prior(self, sampled: Tensor) -> Tensor:
        """Class prior that the logits answer for, a uniform one, see :meth:`.LongTailLoss.trained_prior`."""
        return super().trained_prior(sampled) / self.class_distribution.filled_counts().to(sampled)
