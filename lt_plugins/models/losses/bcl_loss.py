"""Balanced contrastive loss."""

from __future__ import annotations

import torch
from torch import Tensor

from lt_plugins.errors import UserInputError
from lt_plugins.models.losses.supcon_loss import supcon_loss
from lt_plugins.models.structures import ContrastBatch, StatesCall
from lt_plugins.registry import MODELS


def class_sizes(contrast: ContrastBatch) -> Tensor:
    """Number of candidates of each candidate's class that an anchor is compared with.

    Args:
        contrast (ContrastBatch): The ``M`` anchors and ``A`` candidates.

    Returns:
        Tensor: int64 ``(M, A)``; at least 1, also where the candidate is not compared.
    """
    # Looked up among the sorted labels, so that neither a table of classes nor one of pairs of candidates is made.
    shared = contrast.candidate_labels[contrast.num_private :].sort().values
    upper, lower = (torch.searchsorted(shared, contrast.candidate_labels, right=right) for right in (True, False))
    # Of the anchor's own class it is not compared with itself.
    own = contrast.same_class
    return torch.where(own, own.sum(dim=1, keepdim=True), upper - lower).clamp(min=1)


@MODELS.register_module()
class BCLLoss(StatesCall):
    r"""Balanced contrastive loss: a supervised contrastive loss with a class-averaged denominator.

    Each class has the same share of the denominator, however many images of it a batch has:

    .. math::
        L_i = -\frac{1}{|P_i|} \sum_{p \in P_i} \log \frac{e^{v_i^\top v_p / T}}
              {\sum_c \frac{1}{|A_{ic}|} \sum_{a \in A_{ic}} e^{v_i^\top v_a / T}}

    with the candidates :math:`A_{ic}` of class :math:`c` without the anchor, and the positives :math:`P_i =
    A_{iy_i}`. The other half of the method, a prototype of each class among the candidates, so that each class is in
    each batch, comes with the contrast: ``prototype_projector`` of
    :class:`~lt_plugins.models.heads.ContrastHead`, or :meth:`.ContrastBatch.with_prototypes`. Without it a class that
    is not in the batch is not in the denominator either. With as many candidates of each class, the anchor left out,
    it is :class:`SupConLoss` less the logarithm of that number.

    Source: Zhu et al., "Balanced Contrastive Learning for Long-Tailed Visual Recognition" (CVPR 2022), class-averaging
    and class-complement, in the form of its released code, where the prototypes are positives as well.

    Args:
        temperature (float): Temperature ``T``; 0.07 on large sets. Defaults to 0.1.

    Raises:
        UserInputError: If the temperature is not positive.

    Examples:
        >>> head = dict(type='ContrastHead', num_classes=100, in_channels=64, contrast_loss=dict(type='BCLLoss'),
        ...             prototype_projector=dict(type='MLPProjector', in_channels=64, hidden_channels=512,
        ...                                      out_channels=128, num_layers=2))
        >>> contrast = ContrastBatch.from_views(view_1, view_2, labels).with_prototypes(prototypes)
        >>> value = BCLLoss(temperature=0.1)(contrast)
    """

    call = "loss(ContrastBatch.from_views(view_1, view_2, labels).with_prototypes(prototypes))"

    needs_one_label = True

    def __init__(self, temperature: float = 0.1) -> None:
        super().__init__()
        if not temperature > 0:
            raise UserInputError(f"temperature={temperature} must be positive, like 0.1.")
        self.temperature = temperature

    def forward(self, contrast: ContrastBatch) -> Tensor:
        """Compute the mean loss over the anchors.

        Args:
            contrast (ContrastBatch): Anchors and candidates, with prototypes of the classes for the whole method.

        Returns:
            Tensor: Scalar loss in float32 (or float64, if the input is).
        """
        shares = class_sizes(contrast).to(contrast.cosine.dtype).reciprocal()
        return supcon_loss(contrast, contrast.same_class, self.temperature, shares=shares).mean()
