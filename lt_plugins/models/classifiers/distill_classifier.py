"""Classifier that is trained with a distillation loss."""

from __future__ import annotations

from collections.abc import Sequence

from mmpretrain.structures import DataSample
from torch import Tensor

from lt_plugins.models.classifiers.aux_loss_classifier import AuxLossClassifier
from lt_plugins.models.classifiers.taught_classifier import TaughtClassifier
from lt_plugins.models.structures import LabelBatch, NetworkOutputs
from lt_plugins.registry import MODELS


@MODELS.register_module()
class DistillClassifier(TaughtClassifier, AuxLossClassifier):
    """Image classifier that learns from its labels and from frozen earlier networks.

    To the losses of the head it adds ``loss_distill``: a distillation of what the teachers say of the same images,
    augmented and mixed as the student sees them. A prediction needs no teacher.

    Source: Hinton et al., "Distilling the Knowledge in a Neural Network" (NIPS workshop 2014).

    Args:
        backbone (dict): Config of the backbone.
        head (dict): Config of the head.
        teachers (list[dict]): The teachers, see :class:`.TaughtClassifier`; ``[]`` for testing alone.
        distill (dict): Config of the distillation, such as ``dict(type='KDLoss')``: called with the outputs of the
            student, those of the teachers, and the labels.
        neck (dict, optional): Config of the neck; ``[]`` for none. Defaults to global average pooling.
        aux_losses (dict, optional): As for :class:`.AuxLossClassifier`. Defaults to none.
        num_environments (int): As for :class:`.AuxLossClassifier`. Defaults to 1.
        train_cfg (dict, optional): ``augments`` (Mixup, CutMix) and ``probs`` of whole batches, as of mmpretrain's
            ``ImageClassifier``. Defaults to None.
        data_preprocessor (dict, optional): Arguments of :class:`ImageBatchPreprocessor`.
        init_cfg (dict, optional): Initialisation.

    Examples:
        >>> stage2 = dict(from_scratch=True, model=dict(type='DistillClassifier', teachers=[dict(stage=1)],
        ...               distill=dict(type='KDLoss', temperature=1.5), head=dict(type='LinearHead')))
    """

    def __init__(
        self,
        backbone: dict,
        head: dict,
        teachers: list[dict],
        distill: dict,
        neck: dict | list | None = None,
        aux_losses: dict | None = None,
        num_environments: int = 1,
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
        self.distill = MODELS.build(distill)
        self.name_teachers(teachers)

    def head_losses(
        self, inputs: Tensor, data_samples: Sequence[DataSample]
    ) -> tuple[dict[str, Tensor], NetworkOutputs, LabelBatch]:
        """Compute the losses of the head and the distillation.

        Args:
            inputs (Tensor): Preprocessed images, shape ``(B, 3, H, W)``.
            data_samples (Sequence[DataSample]): Annotations of the ``B`` images.

        Returns:
            tuple: The losses of the head and ``loss_distill``; features and logits, and the labels.
        """
        losses, student, samples = super().head_losses(inputs, data_samples)
        losses["loss_distill"] = self.distill(student, self.ask_teachers(inputs), samples)
        return losses, student, samples
