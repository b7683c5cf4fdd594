"""Bilateral-branch network: two branches that learn from differently sampled images."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from mmpretrain.structures import DataSample
from torch import Tensor

from lt_plugins.errors import UserInputError
from lt_plugins.models.classifiers.aux_loss_classifier import AuxLossClassifier
from lt_plugins.models.structures import LabelBatch, NetworkOutputs
from lt_plugins.registry import MODELS


@MODELS.register_module()
class BBNClassifier(AuxLossClassifier):
    """Bilateral-branch network (BBN): a conventional and a re-balancing branch on a shared trunk.

    A batch has several parts of one size, as ``CompanionBatchSampler`` makes them: the last is of the reversed sampler,
    and passes through the trunk and the second branch; all others pass through the trunk and the first branch. Both
    passes have batch statistics of their own. A :class:`.BBNHead` joins the branches. A prediction passes an image
    through the trunk once and through both branches.

    Auxiliary losses see the conventional images alone: their features and the logits of the pairs; with several
    environments, as of IFL, these are the parts before the last.

    Source: Zhou et al., "BBN: Bilateral-Branch Network with Cumulative Learning for Long-Tailed Visual Recognition"
    (CVPR 2020), section 4.

    Args:
        backbone (dict): Config of a multi-expert backbone with ``num_experts=2``; the branches of the paper differ in
            the last block of the last stage (``shared_blocks=-1``).
        head (dict): Config of a :class:`.BBNHead`.
        neck (dict | list, optional): Config of the neck; ``[]`` for none. Defaults to global average pooling.
        aux_losses (dict, optional): As for :class:`.AuxLossClassifier`. Defaults to none.
        num_environments (int): Number of parts of a batch, 1 and the number of companions. Defaults to 2.
        train_cfg (dict, optional): ``augments`` (Mixup, CutMix) and ``probs`` of whole batches. Defaults to None.
        data_preprocessor (dict, optional): Arguments of :class:`ImageBatchPreprocessor`.
        init_cfg (dict, optional): Initialisation.

    Raises:
        UserInputError: If the backbone has no two branches, or a batch less than two parts.

    Examples:
        >>> model = dict(type='BBNClassifier', head=dict(type='BBNHead', num_classes=100, in_channels=64),
        ...              backbone=dict(type='CIFARResNet', num_experts=2, shared_stages=2, shared_blocks=-1))
        >>> train_dataloader = dict(batch_sampler=dict(
        ...     type='CompanionBatchSampler', companions=[dict(type='ClassBalancedSampler', power=-1.0)]))
    """

    def __init__(
        self,
        backbone: dict,
        head: dict,
        neck: dict | list | None = None,
        aux_losses: dict | None = None,
        num_environments: int = 2,
        train_cfg: dict | None = None,
        data_preprocessor: dict | None = None,
        init_cfg: dict | None = None,
    ) -> None:
        super().__init__(
            backbone=backbone,
            aux_losses=aux_losses or {},
            neck={"type": "GlobalAveragePooling"} if neck is None else neck,
            head=head,
            num_environments=num_environments,
            train_cfg=train_cfg,
            data_preprocessor=data_preprocessor,
            init_cfg=init_cfg,
        )
        if getattr(self.backbone, "num_experts", 1) != 2:
            raise UserInputError(
                f"BBNClassifier has two branches, and {type(self.backbone).__name__} has "
                f"num_experts={getattr(self.backbone, 'num_experts', 1)}; set model.backbone.num_experts=2."
            )
        if num_environments < 2:
            raise UserInputError(
                f"num_environments={num_environments} of BBNClassifier must be 2 or more: conventional images, and "
                "those of the reversed sampler."
            )

    @property
    def aux_environments(self) -> int:
        """In how many parts the conventional images come."""
        return self.num_environments - 1

    def head_losses(
        self, inputs: Tensor, data_samples: Sequence[DataSample]
    ) -> tuple[dict[str, Tensor], NetworkOutputs, LabelBatch]:
        """Compute the loss of the head.

        Args:
            inputs (Tensor): Preprocessed images, shape ``(B, 3, H, W)``.
            data_samples (Sequence[DataSample]): Annotations of the ``B`` images.

        Returns:
            tuple: ``loss``; features and logits of the conventional images, and their labels.
        """
        first = len(inputs) - len(inputs) // self.num_environments
        conventional, balanced = self._pass_branch(inputs[:first], 0), self._pass_branch(inputs[first:], 1)
        logits = self.head.mix((conventional, balanced))
        samples = LabelBatch.from_samples(data_samples, logits.device)
        losses = self.head.loss_of_pairs(logits, samples)
        return losses, NetworkOutputs(conventional, logits), samples[:first]

    def _pass_branch(self, images: Tensor, branch: int) -> Tensor:
        """Pooled features ``(B, D)`` of images by one branch."""
        maps: Any = (self.backbone.branch(self.backbone.trunk(images), branch),)
        return (self.neck(maps) if self.with_neck else maps)[-1]
