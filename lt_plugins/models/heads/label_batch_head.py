"""Classification head that takes the labels of a batch, and gives its predictions, as one tensor."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch
from mmpretrain.evaluation.metrics import Accuracy
from mmpretrain.models.heads import ClsHead
from mmpretrain.structures import DataSample
from torch import Tensor

from lt_plugins.models.structures import LabelBatch


class LabelBatchHead(ClsHead):
    """mmpretrain's ``ClsHead`` on a :class:`~lt_plugins.models.structures.LabelBatch`, without Python for each image.

    A mixin: put it before a head of mmpretrain that has its own ``forward``. Lists of samples are taken as well.

    Examples:
        >>> class VisionTransformerHead(LabelBatchHead, mmpretrain.models.VisionTransformerClsHead): ...
    """

    def _get_loss(self, cls_score: Tensor, data_samples: Sequence[DataSample], **kwargs: Any) -> dict[str, Any]:
        """The loss of the logits ``(B, C)``, and accuracies if ``cal_acc`` asks for them."""
        target = LabelBatch.from_samples(data_samples).target
        losses = {"loss": self.loss_module(cls_score, target, avg_factor=len(cls_score), **kwargs)}
        if self.cal_acc:
            accuracies = Accuracy.calculate(cls_score, target, topk=self.topk)
            losses |= {f"accuracy_top-{k}": value for k, value in zip(self.topk, accuracies, strict=True)}
        return losses

    def _get_predictions(self, cls_score: Tensor, data_samples: Sequence[DataSample] | None) -> LabelBatch:
        """The probabilities of the logits ``(B, C)`` by the link of the loss, beside the labels if there are any."""
        link = getattr(self.loss_module, "link", "softmax")
        scores = torch.sigmoid(cls_score) if link == "sigmoid" else torch.softmax(cls_score, dim=1)
        if data_samples is None:
            return LabelBatch(pred_score=scores)
        return LabelBatch.from_samples(data_samples).with_predictions(scores)
