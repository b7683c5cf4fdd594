"""Linear classifier."""

from __future__ import annotations

from mmpretrain.models.heads import LinearClsHead

from lt_plugins.models.heads.label_batch_head import LabelBatchHead
from lt_plugins.registry import MODELS


@MODELS.register_module()
class LinearHead(LabelBatchHead, LinearClsHead):
    """mmpretrain's ``LinearClsHead``, whose labels and predictions are one tensor each; the weights are ``fc`` too.

    Args:
        num_classes (int): Number of classes ``C``.
        in_channels (int): Length of the pooled feature.
        loss (dict, optional): Config of the loss on the logits. Defaults to cross-entropy.
        topk (int | tuple[int, ...]): The ``k`` of the training accuracies. Defaults to ``(1,)``.
        cal_acc (bool): Whether the log shows training accuracies; they need one label an image. Defaults to False.
        init_cfg (dict | list, optional): Initialisation. Defaults to normal with a deviation of 0.01.

    Examples:
        >>> head = dict(type='LinearHead', num_classes=100, in_channels=64)
    """

    def __init__(
        self,
        num_classes: int,
        in_channels: int,
        loss: dict | None = None,
        topk: int | tuple[int, ...] = (1,),
        cal_acc: bool = False,
        init_cfg: dict | list | None = None,
    ) -> None:
        super().__init__(
            num_classes=num_classes,
            in_channels=in_channels,
            loss=loss or {"type": "CrossEntropyLoss"},
            topk=(topk,) if isinstance(topk, int) else topk,
            cal_acc=cal_acc,
            init_cfg=init_cfg or {"type": "Normal", "layer": "Linear", "std": 0.01},
        )
