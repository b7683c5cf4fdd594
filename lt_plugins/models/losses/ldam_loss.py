"""Label-distribution-aware margin loss."""

from __future__ import annotations

from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor

from lt_plugins.errors import UserInputError
from lt_plugins.models.losses.long_tail_loss import LongTailLoss
from lt_plugins.registry import MODELS


def ldam_loss(logits: Tensor, labels: Tensor, margins: Tensor, scale: float) -> Tensor:
    r"""Cross-entropy of scaled cosines of each image, with a margin at the true class.

    .. math::
        \ell_i = -\log \frac{e^{s (\cos\theta_{iy_i} - m_{y_i})}}
                            {e^{s (\cos\theta_{iy_i} - m_{y_i})} + \sum_{c \ne y_i} e^{s \cos\theta_{ic}}}

    Args:
        logits (Tensor): Scaled cosines :math:`s \cos\theta`, shape ``(B, C)``.
        labels (Tensor): True classes, int64 ``(B,)``.
        margins (Tensor): Margin of each class ``m``, in units of the cosine, shape ``(C,)``.
        scale (float): Scale ``s`` that the cosines were multiplied by.

    Returns:
        Tensor: Losses, shape ``(B,)``.
    """
    is_true = torch.arange(logits.shape[1], device=labels.device) == labels[:, None]  # F.one_hot asks for values
    shift = is_true * (scale * margins).to(logits.dtype)
    return F.cross_entropy(logits - shift, labels, reduction="none")


@MODELS.register_module()
class LDAMLoss(LongTailLoss):
    r"""Cross-entropy with larger margins for rarer classes, on the scaled cosines of a normalised classifier.

    The margin of class ``c`` is :math:`m_c = m_{max} (n_{min} / n_c)^{1/4}`. It needs the counts of the classes and
    logits that are cosines times ``scale``, as :class:`~lt_plugins.models.heads.CosineClsHead` gives them. LDAM-DRW on
    CIFAR is ``class_weight="effective_number", reweight_from=160``.

    Source: Cao et al., "Learning Imbalanced Datasets with Label-Distribution-Aware Margin Loss" (NeurIPS 2019),
    Eq. 10 and 12.

    Args:
        max_margin (float): Margin of the rarest class. Defaults to 0.5.
        scale (float): Scale ``s`` of the cosines in the logits. Defaults to 30.0.
        **kwargs: Class weights and other settings of :class:`LongTailLoss`.

    Raises:
        UserInputError: If the margin is negative or the scale not positive.

    Examples:
        >>> loss = LDAMLoss(class_counts=[100, 10, 1])
        >>> value = loss(30 * cosines, labels)
    """

    def __init__(self, max_margin: float = 0.5, scale: float = 30.0, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        if max_margin < 0 or scale <= 0:
            raise UserInputError(f"max_margin={max_margin} must be 0 or more and scale={scale} positive.")
        self.max_margin = max_margin
        self.scale = scale

    def margins(self) -> Tensor:
        """Margin of each class, shape ``(C,)``, float64; an empty class has that of the rarest."""
        counts = self.class_distribution.filled_counts()
        return self.max_margin * (counts.min() / counts) ** 0.25

    def per_sample(self, logits: Tensor, labels: Tensor) -> Tensor:
        """Cross-entropy with margins, see :func:`ldam_loss`."""
        return ldam_loss(logits, labels, self.margins(), self.scale)

    def extra_repr(self) -> str:
        """Show the settings."""
        return f"max_margin={self.max_margin}, scale={self.scale}"
