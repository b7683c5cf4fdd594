"""Supervised contrastive loss with graded positives."""

from __future__ import annotations

import torch
from torch import Tensor

from lt_plugins.errors import UserInputError
from lt_plugins.models.structures import ContrastBatch, StatesCall
from lt_plugins.registry import MODELS


def supcon_loss(
    contrast: ContrastBatch,
    weights: Tensor,
    temperature: float | Tensor,
    compared: Tensor | None = None,
    shares: Tensor | None = None,
) -> Tensor:
    r"""Supervised contrastive loss of each anchor, with a weight for each pair.

    .. math::
        L_i = -\frac{\sum_{j \in A_i} W_{ij} \log P_{ij}}{\sum_{j \in A_i} W_{ij}}, \qquad
        P_{ij} = \frac{e^{v_i^\top v_j / T_i}}{\sum_{a \in A_i} S_{ia}\, e^{v_i^\top v_a / T_i}}

    Args:
        contrast (ContrastBatch): The ``M`` anchors and ``A`` candidates.
        weights (Tensor): How much each candidate is a positive of each anchor, in ``[0, 1]``, shape ``(M, A)``. Entries
            of candidates that are not compared are ignored.
        temperature (float | Tensor): ``T``, or ``T_i`` of each anchor, shape ``(M,)``.
        compared (Tensor, optional): The candidates ``A_i`` of each anchor, bool ``(M, A)``. Defaults to all valid ones.
        shares (Tensor, optional): Positive weight :math:`S_{ia}` of each candidate in the denominator, shape
            ``(M, A)``. Defaults to 1.

    Returns:
        Tensor: Loss of each anchor, shape ``(M,)``; zero for an anchor without any positive.
    """
    compared = contrast.valid if compared is None else compared
    if isinstance(temperature, Tensor):
        temperature = temperature.to(contrast.cosine.dtype)[:, None]
    scores = (contrast.cosine / temperature).masked_fill(~compared, -torch.inf)
    summands = scores if shares is None else scores + shares.to(scores.dtype).log()
    log_probability = (scores - summands.logsumexp(dim=1, keepdim=True)).masked_fill(~compared, 0.0)
    weights = weights.to(log_probability.dtype).masked_fill(~compared, 0.0)
    total = weights.sum(dim=1)
    return -(weights * log_probability).sum(dim=1) / total.clamp(min=torch.finfo(total.dtype).tiny)


@MODELS.register_module()
class SupConLoss(StatesCall):
    """Supervised contrastive loss ("L_out"), averaged over the anchors.

    The released code multiplies the loss by ``T / base_T`` (with ``base_T = 0.07``), which scales the gradient; this
    one, as the paper's equation, has no such factor: multiply the learning rate by it to follow that code.

    Source: Khosla et al., "Supervised Contrastive Learning" (NeurIPS 2020), Eq. 2. With ``weights`` the positives are
    graded, as LPA needs for classes that share some of their pseudo-attributes.

    Args:
        temperature (float): Temperature ``T``. Defaults to 0.1.

    Raises:
        UserInputError: If the temperature is not positive.

    Examples:
        >>> head = dict(type='LPAHead', attribute_loss=dict(type='SupConLoss', temperature=0.05))
        >>> value = SupConLoss(temperature=0.05)(ContrastBatch.from_views(view_1, view_2, labels))
    """

    call = "loss(ContrastBatch.from_views(view_1, view_2, labels))"

    needs_one_label = True

    def __init__(self, temperature: float = 0.1) -> None:
        super().__init__()
        if temperature <= 0:
            raise UserInputError(f"temperature={temperature} must be positive.")
        self.temperature = temperature

    def forward(self, contrast: ContrastBatch, weights: Tensor | None = None) -> Tensor:
        """Compute the mean loss over the anchors.

        Args:
            contrast (ContrastBatch): Anchors and candidates.
            weights (Tensor, optional): How much each candidate is a positive of each anchor, shape ``(M, A)``. Defaults
                to 1 for candidates of the anchor's class and 0 for others.

        Returns:
            Tensor: Scalar loss in float32 (or float64, if the input is).
        """
        weights = contrast.same_class if weights is None else weights
        return supcon_loss(contrast, weights, self.temperature).mean()
