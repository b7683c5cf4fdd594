"""Heads that classify one view of each image and contrast the projections of the others."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch.nn.functional as F
from mmpretrain.structures import DataSample
from torch import Tensor, nn

from lt_plugins.errors import UserInputError
from lt_plugins.models.heads.cosine_cls_head import CosineClsHead
from lt_plugins.models.heads.linear_head import LinearHead
from lt_plugins.models.structures import ContrastBatch, LabelBatch
from lt_plugins.registry import MODELS


@MODELS.register_module()
class ContrastHead(LinearHead):
    r"""Linear classifier that is trained together with a contrastive loss, :math:`L = L_{cls} + \beta L_{con}`.

    The classifier learns from the features that :class:`~lt_plugins.models.classifiers.TwoViewClassifier` hands over,
    with ``num_views=3`` those of the first view, and predicts alone, with its logits as they are. Any loss of a
    :class:`.ContrastBatch` fits ``contrast_loss``; the projections of the two other views are its anchors, first all of
    the one, then all of the other, and the candidates are those of all processes. What it keeps over the epochs it
    holds itself (``set_epoch``, buffers).

    With ``prototype_projector`` the contrast has a prototype of each class besides: the projections :math:`p_c = g(w_c)
    / \lVert g(w_c) \rVert` of the rows of the classifier's weight, through which gradients reach the classifier.

    Source: Zhu et al., "Balanced Contrastive Learning for Long-Tailed Visual Recognition" (CVPR 2022),
    class-complement.

    Args:
        num_classes (int): Number of classes ``C``.
        in_channels (int): Length of the pooled feature.
        contrast_loss (dict): Config of the loss of a :class:`.ContrastBatch`, such as ``BCLLoss`` or ``SupConLoss``.
        contrast_weight (float): Its weight :math:`\beta`. Defaults to 1.0.
        prototype_projector (dict, optional): Config of the projector :math:`g` from the rows of the weight ``(C,
            in_channels)`` to the contrast space, initialised as by PyTorch unless it says otherwise. Defaults to None:
            no prototypes.
        loss (dict, optional): Config of the loss of the logits, whose weight :math:`\alpha` is its ``loss_weight``.
            Defaults to ``dict(type='LogitAdjustmentLoss')``.
        **kwargs: Bias and other settings of :class:`LinearHead`, of :class:`ContrastCosineHead` those of
            :class:`CosineClsHead`.

    Raises:
        UserInputError: If ``contrast_weight`` is negative.

    Examples:
        >>> projector = dict(type='MLPProjector', in_channels=64, hidden_channels=512, out_channels=128, num_layers=2)
        >>> model = dict(type='TwoViewClassifier', num_views=3, backbone=dict(type='CIFARResNet'), projector=projector,
        ...              head=dict(type='ContrastHead', num_classes=100, in_channels=64,
        ...                        prototype_projector=projector, contrast_loss=dict(type='SupConLoss')))
    """

    def __init__(
        self,
        num_classes: int,
        in_channels: int,
        contrast_loss: dict,
        contrast_weight: float = 1.0,
        prototype_projector: dict | None = None,
        loss: dict | None = None,
        **kwargs: Any,
    ) -> None:
        if not contrast_weight >= 0:
            raise UserInputError(f"contrast_weight={contrast_weight} must be 0 or more, like 1.")
        super().__init__(
            num_classes=num_classes, in_channels=in_channels, loss=loss or {"type": "LogitAdjustmentLoss"}, **kwargs
        )
        self.contrast_loss_module: nn.Module = MODELS.build(contrast_loss)
        self.contrast_weight = contrast_weight
        self.prototype_projector: nn.Module | None = None
        if prototype_projector is not None:
            torch_default = {"type": "TorchDefaultInit", "layer": "Linear"}
            self.prototype_projector = MODELS.build({"init_cfg": torch_default, **prototype_projector})

    def prototypes(self) -> Tensor:
        """Project the classifier's weight of each class to the contrast space.

        Returns:
            Tensor: Unit rows with gradient, shape ``(C, D)``.

        Raises:
            UserInputError: If the head has no ``prototype_projector``.
        """
        if self.prototype_projector is None:
            raise UserInputError("this head has no prototypes; give it a prototype_projector.")
        return F.normalize(self.prototype_projector((self.fc.weight,))[-1], dim=1)

    def loss(
        self, feats: tuple[Tensor, ...], data_samples: Sequence[DataSample], contrast: ContrastBatch
    ) -> dict[str, Tensor]:
        """Compute the loss of the logits and the weighted contrastive loss.

        Args:
            feats (tuple[Tensor, ...]): Pooled features to classify, the last of shape ``(V * B, in_channels)``: those
                of one view, or of several, view by view.
            data_samples (Sequence[DataSample]): Annotations of the ``B`` images, with one label each.
            contrast (ContrastBatch): Anchors and candidates.

        Returns:
            dict[str, Tensor]: ``loss_classifier`` and ``loss_contrast``.
        """
        features = self.pre_logits(feats)
        labels = LabelBatch.from_samples(data_samples, features.device).one_label_each
        labels = labels.repeat(len(features) // len(labels))
        if self.prototype_projector is not None:
            contrast = contrast.with_prototypes(self.prototypes())
        return {
            "loss_classifier": self.loss_module(self.classify(features), labels),
            "loss_contrast": self.contrast_weight * self.contrast_loss_module(contrast),
        }


@MODELS.register_module()
class ContrastCosineHead(ContrastHead, CosineClsHead):
    """Cosine classifier that is trained together with a contrastive loss, as :class:`ContrastHead` a linear one.

    Prototypes are projections of the rows of its weight as they are, not of their directions.

    Examples:
        >>> head = dict(type='ContrastCosineHead', num_classes=1000, in_channels=2048, scale=30.0,
        ...             contrast_loss=dict(type='SupConLoss', temperature=0.07), contrast_weight=0.35)
    """
