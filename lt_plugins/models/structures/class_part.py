"""Part of a loss by class, beside the loss itself."""

from __future__ import annotations

from dataclasses import dataclass

from torch import Tensor


@dataclass
class ClassPart:
    r"""The part of a mean loss in which the terms of each class count by a share of their own.

    .. math::
        T = \frac{1}{D} \sum_i a_{y_i} w_{y_i} \ell_i \qquad \text{of} \qquad L = \frac{1}{D} \sum_i w_{y_i} \ell_i

    with the divisor ``D`` of the loss. A :class:`~lt_plugins.models.losses.LongTailLoss` that has one in its
    ``class_part`` computes both in one pass; mixed images count by the shares of both of their classes.

    Args:
        shares (Tensor): Share of each class :math:`a`, shape ``(C,)``.
        whole (Tensor, optional): ``L`` of the last batch. Defaults to None, before the first.
        part (Tensor, optional): ``T`` of the last batch. Defaults to None, before the first.
    """

    shares: Tensor
    whole: Tensor | None = None
    part: Tensor | None = None
