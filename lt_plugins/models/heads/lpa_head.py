"""PaCo with local pseudo-attributes."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from mmpretrain.structures import DataSample
from torch import Tensor

from lt_plugins.errors import UserInputError
from lt_plugins.models.heads.paco_head import PaCoHead
from lt_plugins.models.losses.pseudo_attributes import PseudoAttributes
from lt_plugins.models.structures import ContrastBatch
from lt_plugins.registry import MODELS


@MODELS.register_module()
class LPAHead(PaCoHead, PseudoAttributes):
    r"""PaCo's head plus a supervised contrastive loss on shared local pseudo-attributes (LPA).

    The pseudo-attributes are ``K`` prototypes of local features (found by ``ReclusterHook``); each class is described
    by its strongest ones, and two images attract each other by how many attributes their classes share:

    .. math::
        L = L_{PaCo} + \alpha L_{SupCon}(z, a(y)), \qquad
        A_{yy'} = \frac{|a(y) \cap a(y')|}{|a(y) \cup a(y')|}, \quad A_{yy} = 1

    Since attributes belong to classes, the queue needs labels only and never holds stale attributes. Before the first
    clustering the attribute loss is zero and the head is exactly :class:`PaCoHead`.

    Source: Kim, Ke and Yu, "Local Pseudo-Attributes for Long-Tailed Recognition", Eq. 1. The paper leaves open how
    scores become labels and how multi-hot labels enter the contrast; see ``docs/lpa.md`` for what is decided here and
    why.

    Args:
        num_classes (int): Number of classes ``C``.
        in_channels (int): Length of the pooled and of the local features ``D``.
        num_attributes (int): Number of pseudo-attributes ``K``. Defaults to 128.
        attributes_per_class (int): How many of its strongest attributes describe a class. Defaults to 5.
        assignment_temperature (float): Temperature of the softmax over prototypes that turns the cosine of a local
            feature into scores. Defaults to 0.1.
        alpha (float): Weight of the attribute loss. Defaults to 0.1.
        loss (dict, optional): Config of the PaCo loss. Defaults to ``dict(type='PaCoLoss')``.
        attribute_loss (dict, optional): Config of the attribute loss. Defaults to :class:`SupConLoss` with the PaCo
            loss's temperature.
        init_cfg (dict, optional): Initialisation, as in :class:`PaCoHead`.

    Raises:
        UserInputError: If ``num_attributes`` or ``attributes_per_class`` does not fit the other, or a temperature or
            weight has the wrong sign.

    Examples:
        >>> head = dict(type='LPAHead', num_classes=100, in_channels=64, num_attributes=128,
        ...             loss=dict(type='PaCoLoss', alpha=0.01, temperature=0.05))
    """

    sized_by_data = ()  # it is told the sizes
    loss_module: Any

    def __init__(
        self,
        num_classes: int,
        in_channels: int,
        num_attributes: int = 128,
        attributes_per_class: int = 5,
        assignment_temperature: float = 0.1,
        alpha: float = 0.1,
        loss: dict | None = None,
        attribute_loss: dict | None = None,
        init_cfg: dict | None = None,
    ) -> None:
        if alpha < 0:
            raise UserInputError(f"alpha={alpha} of the attribute loss must be 0 or more, like 0.1.")
        super().__init__(num_classes, in_channels, loss=loss, init_cfg=init_cfg)
        self.alpha = alpha
        self.begin_attributes(
            num_attributes,
            attributes_per_class,
            assignment_temperature,
            MODELS.build({"type": "SupConLoss", "temperature": self.loss_module.temperature, **(attribute_loss or {})}),
            num_classes,
            in_channels,
        )

    def loss(
        self, feats: tuple[Tensor, ...], data_samples: Sequence[DataSample], contrast: ContrastBatch
    ) -> dict[str, Tensor]:
        """Compute PaCo's loss and the weighted attribute loss.

        Args:
            feats (tuple[Tensor, ...]): Pooled features of the anchors, the last of shape ``(M, in_channels)``.
            data_samples (Sequence[DataSample]): Unused, part of mmpretrain's signature: the contrast has the labels.
            contrast (ContrastBatch): Anchors and candidates.

        Returns:
            dict[str, Tensor]: ``loss_paco`` and ``loss_attribute``.
        """
        losses = super().loss(feats, data_samples, contrast=contrast)
        losses["loss_attribute"] = self.alpha * self.attribute_loss(contrast)
        return losses
