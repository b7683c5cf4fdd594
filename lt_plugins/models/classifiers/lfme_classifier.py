"""Classifier that learns from experts on subsets of the classes."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch
from mmpretrain.models.heads import ClsHead
from mmpretrain.structures import DataSample
from torch import Tensor, nn

from lt_plugins.errors import UserInputError
from lt_plugins.models.classifiers.distill_classifier import DistillClassifier
from lt_plugins.models.losses import InstanceCurriculum, LFMELoss
from lt_plugins.models.structures import LabelBatch, NetworkOutputs
from lt_plugins.registry import MODELS


@MODELS.register_module()
class LFMEClassifier(DistillClassifier):
    r"""Learning from multiple experts (LFME): cross-entropy under a curriculum, and self-paced distillation.

    .. math::
        L = \frac{1}{B} \sum_i v_i(t)\, \ell(z_i, y_i) + \sum_e w_e \mathrm{KD}_e

    The experts are teachers that were trained on subsets of the classes (:class:`.ClassSubset`), which their
    :class:`.ClassSubsetHead` knows; one with another head teaches all classes. :class:`.LFMELoss` says how long each of
    them teaches, :class:`.InstanceCurriculum` what an image weighs, and ``LFMEHook`` measures for both.

    Source: Xiang et al., "Learning From Multiple Experts: Self-paced Knowledge Distillation for Long-tailed
    Classification" (ECCV 2020).

    Args:
        backbone (dict): Config of the backbone.
        head (dict): Config of the head.
        teachers (list[dict]): The experts, see :class:`.TaughtClassifier`; ``[]`` for testing alone.
        distill (dict, optional): Config of the :class:`.LFMELoss`. Defaults to its defaults.
        curriculum (dict, optional): Config of the :class:`.InstanceCurriculum`. Defaults to None: all images weigh 1.
        **kwargs: As for :class:`.DistillClassifier`.

    Raises:
        UserInputError: If a part is of another kind, or images cannot be weighed: mixed ones, and those of a head whose
            loss needs more than logits.

    Examples:
        >>> stage4 = dict(from_scratch=True, model=dict(type='LFMEClassifier', head=dict(type='LinearHead'),
        ...               teachers=[dict(stage=1), dict(stage=2), dict(stage=3)], curriculum=dict(
        ...               type='InstanceCurriculum')), custom_hooks=[dict(type='LFMEHook')])
    """

    def __init__(
        self,
        backbone: dict,
        head: dict,
        teachers: list[dict],
        distill: dict | None = None,
        curriculum: dict | None = None,
        **kwargs: Any,
    ) -> None:
        super().__init__(backbone, head, teachers, distill or {"type": "LFMELoss"}, **kwargs)
        self.curriculum: Any = None if curriculum is None else MODELS.build(curriculum)
        expected = ((self.distill, LFMELoss, "distill"), (self.curriculum, InstanceCurriculum, "curriculum"))
        for part, kind, name in expected:
            if part is not None and not isinstance(part, kind):
                raise UserInputError(f"{name}={type(part).__name__} of LFMEClassifier must be a {kind.__name__}.")
        if self.curriculum is None:
            return
        if self.data_preprocessor.batch_augments is not None:
            raise UserInputError(
                "the curriculum of LFMEClassifier weighs single images; remove Mixup and CutMix "
                "(data_preprocessor.batch_augments), or set curriculum=None."
            )
        if type(self.head).loss is not ClsHead.loss:
            raise UserInputError(
                f"the curriculum of LFMEClassifier weighs the loss of each image, and {type(self.head).__name__} "
                "computes its own; use a head whose loss takes logits alone, like LinearHead, or set curriculum=None."
            )

    def set_teachers(self, teachers: Sequence[nn.Module]) -> None:
        """Take the experts, and note their classes.

        Args:
            teachers (Sequence[nn.Module]): As of :class:`.TaughtClassifier`.
        """
        super().set_teachers(teachers)
        self.distill.set_experts([expert_classes(teacher) for teacher in self.teachers])

    def head_losses(
        self, inputs: Tensor, data_samples: Sequence[DataSample]
    ) -> tuple[dict[str, Tensor], NetworkOutputs, LabelBatch]:
        """Compute the losses of the head and the distillation.

        Args:
            inputs (Tensor): Preprocessed images, shape ``(B, 3, H, W)``.
            data_samples (Sequence[DataSample]): Annotations of the ``B`` images.

        Returns:
            tuple: The losses of the head, ``loss_distill`` and, with a curriculum, ``mean_weight`` of the images;
            features and logits, and the labels.
        """
        if self.curriculum is None:
            return super().head_losses(inputs, data_samples)
        feats = self.extract_feat(inputs)
        samples = LabelBatch.from_samples(data_samples, inputs.device)
        weights, logits = self.curriculum(samples.sample_idx), self.head(feats)
        if self.curriculum.scales == "logits":
            logits = logits * weights.to(logits).view(-1, *[1] * (logits.ndim - 1))
            losses: dict[str, Tensor] = self.head._get_loss(logits, samples)
        else:
            losses = self.head._get_loss(logits, samples, weight=weights)
        student = NetworkOutputs(self.head.pre_logits(feats), logits)
        losses["loss_distill"] = self.distill(student, self.ask_teachers(inputs), samples)
        losses["mean_weight"] = weights.mean()
        return losses, student, samples


def expert_classes(teacher: Any) -> Tensor:
    """Classes that a network was trained on.

    Args:
        teacher (nn.Module): A classifier.

    Returns:
        Tensor: Labels, ascending, int64 ``(K,)``: those of a :class:`.ClassSubsetHead`, all classes of another head.
    """
    own = getattr(teacher.head, "own_classes", None)
    return torch.arange(teacher.head.num_classes) if own is None else own()
