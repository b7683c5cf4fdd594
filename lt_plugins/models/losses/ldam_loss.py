"""Label-distribution-aware margin loss."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from lt_plugins.errors import UserInputError
from lt_plugins.models.structures import ClassDistribution
from lt_plugins.registry import MODELS


def ldam_loss(logits: Tensor, labels: Tensor, margins: Tensor, scale: float, class_weight: Tensor) -> Tensor:
    r"""Weighted mean of the cross-entropy of scaled cosines, with a margin at the true class.

    .. math::
        L = \frac{\sum_i w_{y_i} \ell_i}{\sum_i w_{y_i}}, \qquad
        \ell_i = -\log \frac{e^{s (\cos\theta_{iy_i} - m_{y_i})}}
                            {e^{s (\cos\theta_{iy_i} - m_{y_i})} + \sum_{c \ne y_i} e^{s \cos\theta_{ic}}}

    Args:
        logits (Tensor): Scaled cosines :math:`s \cos\theta`, shape ``(B, C)``.
        labels (Tensor): True classes, int64 ``(B,)``.
        margins (Tensor): Margin of each class ``m``, in units of the cosine, shape ``(C,)``.
        scale (float): Scale ``s`` that the cosines were multiplied by.
        class_weight (Tensor): Weight of each class ``w``, shape ``(C,)``.

    Returns:
        Tensor: Scalar loss.
    """
    shift = F.one_hot(labels, logits.shape[1]) * (scale * margins).to(logits.dtype)
    return F.cross_entropy(logits - shift, labels, weight=class_weight.to(logits.dtype))


@MODELS.register_module()
class LDAMLoss(nn.Module):
    r"""Cross-entropy with larger margins for rarer classes, on the scaled cosines of a normalised classifier.

    The margin of class ``c`` is :math:`m_c = m_{max} (n_{min} / n_c)^{1/4}`. It needs the counts of the classes
    (``ClassDistributionHook`` sets them, else ``loss.class_distribution.set_counts()``) and logits that are cosines
    times ``scale``, as :class:`~lt_plugins.models.heads.CosineClsHead` gives them. Classes are weighted by the
    buffer ``class_weight``, ones until ``DeferredReweightHook`` sets it; the weighted mean is PyTorch's, divided by the
    sum of the weights in the batch.

    Source: Cao et al., "Learning Imbalanced Datasets with Label-Distribution-Aware Margin Loss" (NeurIPS 2019),
    Eq. 10 and 12.

    Args:
        num_classes (int): Number of classes ``C``.
        max_margin (float): Margin of the rarest class. Defaults to 0.5.
        scale (float): Scale ``s`` of the cosines in the logits. Defaults to 30.0.

    Raises:
        UserInputError: If the margin is negative or the scale not positive.

    Examples:
        >>> loss = LDAMLoss(num_classes=3)
        >>> loss.class_distribution.set_counts([100, 10, 1])
        >>> value = loss(30 * cosines, labels)
    """

    needs_one_label = True
    class_weight: Tensor

    def __init__(self, num_classes: int, max_margin: float = 0.5, scale: float = 30.0) -> None:
        super().__init__()
        if max_margin < 0 or scale <= 0:
            raise UserInputError(f"max_margin={max_margin} must be 0 or more and scale={scale} positive.")
        self.max_margin = max_margin
        self.scale = scale
        self.class_distribution = ClassDistribution(num_classes)
        self.register_buffer("class_weight", torch.ones(num_classes, dtype=torch.float64))

    def margins(self) -> Tensor:
        """Margin of each class, shape ``(C,)``, float64; an empty class has that of the rarest."""
        counts = self.class_distribution.filled_counts()
        return self.max_margin * (counts.min() / counts) ** 0.25

    def forward(
        self,
        cls_score: Tensor,
        label: Tensor,
        avg_factor: float | None = None,  # noqa: ARG002
        class_weight: Tensor | None = None,
    ) -> Tensor:
        """Compute the weighted mean loss of a batch.

        Args:
            cls_score (Tensor): Cosines times ``scale``, shape ``(B, C)``.
            label (Tensor): True classes, int64 ``(B,)``.
            avg_factor (float, optional): Unused, part of mmpretrain's signature: the sum of the weights divides.
            class_weight (Tensor, optional): Weight of each class in this call, shape ``(C,)``. Defaults to the buffer.

        Returns:
            Tensor: Scalar loss in float32 (or float64, if the input is).

        Raises:
            UserInputError: If the labels are scores of mixed images, or the class counts are unknown.
        """
        if label.ndim != 1:
            raise UserInputError(
                "LDAMLoss has a margin for one true class of each image; remove Mixup and CutMix "
                "(model.train_cfg.augments) or use another loss."
            )
        logits = cls_score.to(torch.promote_types(cls_score.dtype, torch.float32))
        class_weight = self.class_weight if class_weight is None else class_weight.to(logits.device)
        return ldam_loss(logits, label, self.margins(), self.scale, class_weight)

    def extra_repr(self) -> str:
        """Show the settings."""
        return f"max_margin={self.max_margin}, scale={self.scale}"
