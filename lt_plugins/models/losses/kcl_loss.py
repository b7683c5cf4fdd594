"""Contrastive loss with the same number of positives for every class."""

from __future__ import annotations

import torch
from torch import Tensor

from lt_plugins.errors import UserInputError
from lt_plugins.models.losses.supcon_loss import supcon_loss
from lt_plugins.models.structures import ContrastBatch, StatesCall
from lt_plugins.registry import MODELS


def draw_positives(contrast: ContrastBatch, num_positives: int, generator: torch.Generator | None = None) -> Tensor:
    """Draw positives of each anchor from its class, uniformly and without replacement, its own other view apart.

    Args:
        contrast (ContrastBatch): The ``M`` anchors and ``A`` candidates, with ``other_view_positions``.
        num_positives (int): How many; all if there are fewer.
        generator (torch.Generator, optional): Makes the draw repeatable; on any device. Defaults to torch's own.

    Returns:
        Tensor: Which candidates were drawn, bool ``(M, A)``.
    """
    eligible = contrast.same_class & ~contrast.other_view
    # The largest of independent uniform numbers are a uniform draw without replacement.
    device = eligible.device if generator is None else generator.device
    numbers = torch.rand(eligible.shape, device=device, generator=generator).to(eligible.device)
    order = numbers.masked_fill_(~eligible, -1.0)
    chosen = order.topk(min(num_positives, order.shape[1]), dim=1).indices
    return torch.zeros_like(eligible).scatter_(1, chosen, True) & eligible


@MODELS.register_module()
class KCLLoss(StatesCall):
    r"""K-positive contrastive loss, averaged over the anchors.

    The positives of an anchor are the other view of its image and ``k`` candidates drawn from its class, so that head
    classes do not pull more than tail classes; all candidates stay in the denominator:

    .. math::
        L_i = -\frac{1}{k + 1} \sum_{p \in \tilde P_i^k}
              \log \frac{e^{v_i^\top v_p / T}}{\sum_{a \in \tilde V_i} e^{v_i^\top v_a / T}}

    An anchor whose class has fewer candidates takes all of them and is divided by their number. The draw is uniform and
    without replacement (the authors' code takes the first ones of the queue). Released codes multiply a contrastive
    loss by ``T / base_T`` (with ``base_T = 0.07``); this one, as the paper's, has no such factor.

    Source: Kang et al., "Exploring Balanced Feature Spaces for Representation Learning" (ICLR 2021), Eq. 3.

    Args:
        num_positives (int): Number of drawn positives ``k``. 0 leaves the other view of the image alone, which is
            InfoNCE; in released codes 0 means that all candidates of the class are positives, which is
            :class:`SupConLoss` here. Defaults to 6.
        temperature (float): Temperature ``T``. Defaults to 0.07.

    Raises:
        UserInputError: If ``k`` is negative or the temperature not positive.

    Examples:
        >>> head = dict(type='SupConHead', num_classes=100, in_channels=64,
        ...             loss=dict(type='KCLLoss', num_positives=6, temperature=0.1))
        >>> value = KCLLoss(num_positives=6)(ContrastBatch.from_queries(queries, keys, labels, queue=queue))
    """

    call = "loss(ContrastBatch.from_queries(queries, keys, labels, queue=queue))"

    needs_one_label = True

    def __init__(self, num_positives: int = 6, temperature: float = 0.07) -> None:
        super().__init__()
        if num_positives < 0 or temperature <= 0:
            raise UserInputError(
                f"num_positives={num_positives} must be 0 or more and temperature={temperature} positive."
            )
        self.num_positives = num_positives
        self.temperature = temperature

    def forward(
        self,
        contrast: ContrastBatch,
        positives: Tensor | None = None,
        generator: torch.Generator | None = None,
    ) -> Tensor:
        """Compute the mean loss over the anchors.

        Args:
            contrast (ContrastBatch): Anchors and candidates, with ``other_view_positions``.
            positives (Tensor, optional): The candidates that are positives beside the other view, bool ``(M, A)``, as
                :func:`draw_positives` gives them. Defaults to a new draw.
            generator (torch.Generator, optional): For the draw. Defaults to torch's own.

        Returns:
            Tensor: Scalar loss in float32 (or float64, if the input is).

        Raises:
            UserInputError: If the positives have another shape or type.
        """
        positives = self.checked_positives(contrast, positives, generator)
        return supcon_loss(contrast, contrast.other_view | positives, self.temperature).mean()

    def checked_positives(
        self, contrast: ContrastBatch, positives: Tensor | None, generator: torch.Generator | None
    ) -> Tensor:
        """Check the given positives of each anchor beside its other view, or draw them.

        Args:
            contrast (ContrastBatch): As in :meth:`forward`.
            positives (Tensor | None): As in :meth:`forward`.
            generator (torch.Generator | None): As in :meth:`forward`.

        Returns:
            Tensor: bool ``(M, A)``.

        Raises:
            UserInputError: If the given ones have another shape or type.
        """
        if positives is None:
            return draw_positives(contrast, self.num_positives, generator)
        if positives.shape != contrast.valid.shape or positives.dtype != torch.bool:
            raise UserInputError(
                f"positives are {positives.dtype} of shape {tuple(positives.shape)}, expected bool "
                f"{tuple(contrast.valid.shape)}: one row an anchor, one column a candidate."
            )
        return positives
