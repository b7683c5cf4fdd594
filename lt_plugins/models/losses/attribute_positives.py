"""Attribute positives: the attribute loss of LPA beside any contrastive loss."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor

from lt_plugins.models.losses.aux_loss import ContrastAuxLoss
from lt_plugins.models.losses.pseudo_attributes import PseudoAttributes
from lt_plugins.models.losses.supcon_loss import SupConLoss
from lt_plugins.models.structures import ContrastBatch
from lt_plugins.registry import MODELS


@MODELS.register_module()
class AttributePositives(ContrastAuxLoss, PseudoAttributes):
    r"""Attribute positives (LPA), an auxiliary contrastive loss: images attract by the attributes their classes share.

    .. math::
        L = \alpha_t \frac{1}{M} \sum_i \frac{- \sum_j A_{y_i y_j} \log P_{ij}}{\sum_j A_{y_i y_j}}, \qquad
        A_{yy'} = \frac{|a(y) \cap a(y')|}{|a(y) \cup a(y')|}, \quad A_{yy} = 1

    with the softmax :math:`P_{ij}` of the cosine over the candidates of an anchor. It reads the contrast that the
    classifier makes for its own loss, so it costs no pass. Beside PaCo this is LPA (:class:`.LPAHead`); beside another
    loss it is the same term. Until ``ReclusterHook`` has found attributes it is zero. Its tables take their sizes from
    the data and are part of the checkpoint.

    Source: Kim, Ke and Yu, "Local Pseudo-Attributes for Long-Tailed Recognition", Eq. 1; ``docs/lpa.md`` says what is
    decided here and why.

    Args:
        num_attributes (int): Number of pseudo-attributes ``K``. Defaults to 128.
        attributes_per_class (int): How many of its strongest attributes describe a class. Defaults to 5.
        assignment_temperature (float): Temperature of the softmax over prototypes that turns the cosine of a local
            feature into scores. Defaults to 0.1.
        temperature (float): Temperature of the contrast, as a rule that of the loss beside it. Defaults to 0.1.
        weights (float | Sequence[Sequence[float]]): Weight :math:`\alpha_t`, or pairs of an epoch and the weight from
            it on. Defaults to 0.1.

    Raises:
        UserInputError: If ``num_attributes`` or ``attributes_per_class`` does not fit the other, or a temperature or
            weight has the wrong sign.

    Examples:
        >>> model = dict(type='TwoViewClassifier', aux_losses=dict(attribute=dict(type='AttributePositives')))
        >>> custom_hooks = [dict(type='ReclusterHook', task=dict(type='AttributeClustering'), start=40, interval=10)]
    """

    def __init__(
        self,
        num_attributes: int = 128,
        attributes_per_class: int = 5,
        assignment_temperature: float = 0.1,
        temperature: float = 0.1,
        weights: float | Sequence[Sequence[float]] = 0.1,
    ) -> None:
        super().__init__(weights)
        self.begin_attributes(num_attributes, attributes_per_class, assignment_temperature, SupConLoss(temperature))

    def forward(self, contrast: ContrastBatch) -> Tensor:
        """Compute the loss of a batch.

        Args:
            contrast (ContrastBatch): Anchors and candidates.

        Returns:
            Tensor: Scalar loss in float32 (or float64, if the input is).
        """
        if not self.weight or not len(self.attribute_labels):
            return contrast.anchors.new_zeros((), dtype=torch.promote_types(contrast.anchors.dtype, torch.float32))
        return self.weight * self.attribute_loss(contrast)
