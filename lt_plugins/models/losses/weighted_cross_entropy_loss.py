"""Cross-entropy with the class weights of the re-balancing family."""

from __future__ import annotations

import torch.nn.functional as F
from torch import Tensor

from lt_plugins.models.losses.long_tail_loss import LongTailLoss
from lt_plugins.registry import MODELS


@MODELS.register_module()
class WeightedCrossEntropyLoss(LongTailLoss):
    r"""Cross-entropy whose class weights follow from the class counts, at once or deferred.

    .. math::
        \ell_i = -\log \frac{e^{z_{iy_i}}}{\sum_c e^{z_{ic}}}

    Without class weights it is cross-entropy. With ``class_weight="effective_number"`` it is class-balanced
    cross-entropy (CB-CE; Cui et al., "Class-Balanced Loss Based on Effective Number of Samples", CVPR 2019), and with
    ``reweight_from`` in addition CE-DRW (Cao et al., "Learning Imbalanced Datasets with Label-Distribution-Aware Margin
    Loss", NeurIPS 2019, Algorithm 1).

    Args:
        **kwargs: Class weights and other settings of :class:`LongTailLoss`.

    Examples:
        >>> loss = WeightedCrossEntropyLoss(  # CE-DRW
        ...     class_weight="effective_number", reweight_from=160, class_counts=[100, 10, 1])
        >>> loss.set_epoch(epoch, max_epochs=200)
        >>> value = loss(logits, labels)
    """

    def per_sample(self, logits: Tensor, labels: Tensor) -> Tensor:
        """Cross-entropy of each image, shape ``(B,)``."""
        return F.cross_entropy(logits, labels, reduction="none")
