"""Classifier with losses beside that of its head."""

from __future__ import annotations

from collections.abc import Sequence

from mmpretrain.models import ImageClassifier
from mmpretrain.structures import DataSample
from torch import Tensor

from lt_plugins.errors import UserInputError
from lt_plugins.models.classifiers.aux_losses import add_aux_losses, build_aux_losses
from lt_plugins.models.classifiers.environments import check_environments
from lt_plugins.models.classifiers.taught_classifier import loss_with_outputs
from lt_plugins.models.structures import LabelBatch, NetworkOutputs
from lt_plugins.registry import MODELS


@MODELS.register_module()
class AuxLossClassifier(ImageClassifier):
    """An image classifier with auxiliary losses on its features and logits, of any head.

    Backbone, neck and head are those of an ``ImageClassifier``, with the same names in a checkpoint. An auxiliary loss
    is called with ``(features, logits, samples, num_environments)``: what the head classifies, ``head.pre_logits``,
    shape ``(B, D)`` (of several experts all features in a row); the logits ``(B, C)`` that the head's own loss reads,
    of experts ``(B, K, C)``; the :class:`LabelBatch`; and the number of environments. It returns a scalar, which is
    added as ``loss_NAME``, or None. A stage on frozen features after this one leaves the auxiliary losses behind.

    Args:
        backbone (dict): Config of the backbone.
        head (dict): Config of the head.
        aux_losses (dict): Configs of the auxiliary losses by name, such as an :class:`.AuxLoss`.
        neck (dict | list, optional): Config of the neck. Defaults to None: none.
        num_environments (int): In how many chunks of one size a batch comes: 1 and the number of companions of
            ``CompanionBatchSampler``. Defaults to 1.
        pretrained (str, optional): As of ``ImageClassifier``. Defaults to None.
        train_cfg (dict, optional): ``augments`` (Mixup, CutMix) and ``probs`` of whole batches. Defaults to None.
        data_preprocessor (dict, optional): Arguments of :class:`ImageBatchPreprocessor`.
        init_cfg (dict, optional): Initialisation.

    Raises:
        UserInputError: If ``num_environments`` is not positive, or an auxiliary loss reads a contrast; in training, if
            a batch does not split into the environments.

    Examples:
        >>> model = dict(type='AuxLossClassifier', aux_losses=dict(center=dict(type='CenterLoss')),
        ...              backbone=dict(type='CIFARResNet'), neck=dict(type='GlobalAveragePooling'),
        ...              head=dict(type='LinearHead', num_classes=100, in_channels=64))
    """

    def __init__(
        self,
        backbone: dict,
        head: dict,
        aux_losses: dict,
        neck: dict | list | None = None,
        num_environments: int = 1,
        pretrained: str | None = None,
        train_cfg: dict | None = None,
        data_preprocessor: dict | None = None,
        init_cfg: dict | None = None,
    ) -> None:
        super().__init__(
            backbone=backbone,
            neck=neck,
            head=head,
            pretrained=pretrained,
            train_cfg=train_cfg,
            data_preprocessor={"type": "ImageBatchPreprocessor", **(data_preprocessor or {})},
            init_cfg=init_cfg,
        )
        if num_environments < 1:
            raise UserInputError(f"num_environments={num_environments} must be 1 or more.")
        self.num_environments = num_environments
        self.aux_losses = build_aux_losses(aux_losses, self, has_contrast=False)

    def loss(self, inputs: Tensor, data_samples: Sequence[DataSample]) -> dict[str, Tensor]:
        """Compute the losses of a batch.

        Args:
            inputs (Tensor): Preprocessed images, shape ``(B, 3, H, W)``.
            data_samples (Sequence[DataSample]): Annotations of the ``B`` images.

        Returns:
            dict[str, Tensor]: Those of the head, and ``loss_NAME`` of each auxiliary one.

        Raises:
            UserInputError: If the batch does not split into the environments.
        """
        check_environments(data_samples, self.num_environments)
        losses, outputs, samples = self.head_losses(inputs, data_samples)
        add_aux_losses(losses, self.aux_losses, outputs.features, outputs.logits, samples, self.aux_environments)
        return losses

    @property
    def aux_environments(self) -> int:
        """In how many chunks the images come that the auxiliary losses see."""
        return self.num_environments

    def head_losses(
        self, inputs: Tensor, data_samples: Sequence[DataSample]
    ) -> tuple[dict[str, Tensor], NetworkOutputs, LabelBatch]:
        """Compute the losses of a batch that are not auxiliary.

        Args:
            inputs (Tensor): Preprocessed images, shape ``(B, 3, H, W)``.
            data_samples (Sequence[DataSample]): Annotations of the ``B`` images.

        Returns:
            tuple: The losses, and what the auxiliary ones see: features and logits, and the labels.
        """
        losses, outputs = loss_with_outputs(self.head, self.extract_feat(inputs), data_samples)
        return losses, outputs, LabelBatch.from_samples(data_samples, outputs.features.device)
