"""Cross-entropy with labels that are smoothed more for frequent classes."""

from __future__ import annotations

import math
from typing import Any, Literal

import torch
import torch.nn.functional as F
from torch import Tensor

from lt_plugins.errors import UserInputError
from lt_plugins.models.losses.long_tail_loss import LongTailLoss
from lt_plugins.registry import MODELS

# From the place of a class between the rarest (0) and the most frequent (1) to that of its smoothing.
SHAPES = {
    "concave": lambda place, power: torch.sin(math.pi / 2 * place),  # noqa: ARG005
    "linear": lambda place, power: place,  # noqa: ARG005
    "convex": lambda place, power: 1 + torch.sin(1.5 * math.pi + math.pi / 2 * place),  # noqa: ARG005
    "exp": lambda place, power: place**power,
}


def smoothed_cross_entropy(logits: Tensor, labels: Tensor, smooth: Tensor) -> Tensor:
    r"""Cross-entropy of each image with a smoothing of its own.

    .. math::
        \ell_i = -(1 - \epsilon_{y_i}) \log p_{iy_i} - \frac{\epsilon_{y_i}}{C} \sum_c \log p_{ic}

    Args:
        logits (Tensor): Logits, shape ``(B, C)``.
        labels (Tensor): True classes, int64 ``(B,)``.
        smooth (Tensor): Smoothing of each class :math:`\epsilon`, from 0 to 1, shape ``(C,)``.

    Returns:
        Tensor: Losses, shape ``(B,)``.
    """
    log_probs = F.log_softmax(logits, dim=1)
    eps = smooth.to(logits.dtype)[labels]
    return (1 - eps) * F.nll_loss(log_probs, labels, reduction="none") - eps * log_probs.mean(dim=1)


@MODELS.register_module()
class LabelAwareSmoothLoss(LongTailLoss):
    r"""Label-aware smoothing: the more images a class has, the less confident its predictions should be.

    With :math:`t = (n_y - n_K) / (n_1 - n_K)`, from 0 for the rarest class to 1 for the most frequent, the smoothing
    of class ``y`` is :math:`\epsilon_y = \epsilon_K + (\epsilon_1 - \epsilon_K) f(t)`, where :math:`f` is
    :math:`\sin(\pi t / 2)` (``"concave"``), :math:`t` (``"linear"``), :math:`1 + \sin(3 \pi / 2 + \pi t / 2)`
    (``"convex"``) or :math:`t^p` (``"exp"``). It needs the counts of the classes (``ClassDistributionHook`` sets them,
    else ``loss.class_distribution.set_counts()``). Where all are equal, every class counts as the rarest.

    The uniform part includes the true class, as in the released code; that is the form in the paper, which gives each
    other class :math:`\epsilon / (C - 1)`, with :math:`\epsilon (C - 1) / C`. Published settings are those of the code.

    Source: Zhong et al., "Improving Calibration for Long-Tailed Recognition" (CVPR 2021).

    Args:
        smooth_head (float): Smoothing of the most frequent class :math:`\epsilon_1`. Defaults to 0.3.
        smooth_tail (float): Smoothing of the rarest class :math:`\epsilon_K`. Defaults to 0.0.
        shape (str): ``"concave"``, ``"linear"``, ``"convex"`` or ``"exp"``. Defaults to ``"concave"``.
        power (float): Exponent ``p`` of the shape ``"exp"``; the others have none. Defaults to 2.0.
        **kwargs: Class weights and other settings of :class:`LongTailLoss`.

    Raises:
        UserInputError: If not ``0 <= smooth_tail <= smooth_head <= 1``, the shape is unknown or the power not positive.

    Examples:
        >>> loss = LabelAwareSmoothLoss(class_counts=[100, 10, 1])
        >>> value = loss(logits, labels)
    """

    def __init__(
        self,
        smooth_head: float = 0.3,
        smooth_tail: float = 0.0,
        shape: Literal["concave", "linear", "convex", "exp"] = "concave",
        power: float = 2.0,
        **kwargs: Any,
    ) -> None:
        super().__init__(**kwargs)
        if not 0 <= smooth_tail <= smooth_head <= 1:
            raise UserInputError(
                f"smooth_head={smooth_head} and smooth_tail={smooth_tail} must satisfy "
                "0 <= smooth_tail <= smooth_head <= 1, like 0.3 and 0."
            )
        if shape not in SHAPES:
            raise UserInputError(f"shape={shape!r} of the smoothing is unknown; choose one of {', '.join(SHAPES)}.")
        if power <= 0:
            raise UserInputError(f"power={power} of the shape 'exp' must be positive, like 2.")
        self.smooth_head = smooth_head
        self.smooth_tail = smooth_tail
        self.shape = shape
        self.power = power

    def smoothing(self) -> Tensor:
        """Smoothing of each class, shape ``(C,)``, float64; an empty class has that of the rarest."""
        counts = self.class_distribution.filled_counts()
        above_rarest = counts - counts.min()
        place = above_rarest / above_rarest.max().clamp(min=1)
        return self.smooth_tail + (self.smooth_head - self.smooth_tail) * SHAPES[self.shape](place, self.power)

    def per_sample(self, logits: Tensor, labels: Tensor) -> Tensor:
        """Cross-entropy with the smoothing of the true class, see :func:`smoothed_cross_entropy`."""
        return smoothed_cross_entropy(logits, labels, self.smoothing())

    def extra_repr(self) -> str:
        """Show the settings."""
        power = f", power={self.power}" if self.shape == "exp" else ""
        return f"smooth_head={self.smooth_head}, smooth_tail={self.smooth_tail}, shape={self.shape!r}{power}"
