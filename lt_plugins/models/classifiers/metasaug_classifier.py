"""MetaSAug: a network whose semantic augmentation is learned by looking one of its own steps ahead."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from mmpretrain.models import ImageClassifier
from mmpretrain.structures import DataSample
from torch import Tensor
from torch.func import functional_call

from lt_plugins.errors import UserInputError
from lt_plugins.models.heads.metasaug_head import MetaSAugHead
from lt_plugins.models.structures import LabelBatch
from lt_plugins.models.structures.look_ahead import Parameters, trained_parameters
from lt_plugins.registry import MODELS


@MODELS.register_module()
class MetaSAugClassifier(ImageClassifier):
    """MetaSAug of a whole network: learns the covariances of a step by looking one step of all parameters ahead.

    A batch has two parts of one size, ``[training images | meta set]``, as ``CompanionBatchSampler`` makes them; the
    meta set is a part of a ``ConcatDataset``. Until ``switch_from`` of the loss the second is left out and the loss is
    cross-entropy. After it a step passes the training images forward once and backward twice, for the step ahead and
    for its own loss; between the two it passes the meta images forward and backward with the weights after the step,
    and the training images forward with tangents, see :func:`.meta_gradient`. Under autocast the step ahead has a
    forward pass of its own, in float32.

    Batch norms normalise by the batch in each of these passes, the meta images by their own. Running statistics follow
    the ordinary pass alone: those that look ahead get copies, as the copy of the network in the released code does. So
    the statistics of the meta set never enter them.

    Source: Li et al., "MetaSAug: Meta Semantic Augmentation for Long-Tailed Visual Recognition" (CVPR 2021), Algorithm
    1.

    Args:
        backbone (dict): Config of the backbone.
        head (dict): Config of a :class:`.MetaSAugHead`.
        neck (dict | list, optional): Config of the neck; ``[]`` for none. Defaults to global average pooling.
        data_preprocessor (dict, optional): Arguments of :class:`ImageBatchPreprocessor`, without ``batch_augments``.
        init_cfg (dict, optional): Initialisation.

    Raises:
        UserInputError: If the head is another one, or images are mixed.

    Examples:
        >>> model = dict(type='MetaSAugClassifier', backbone=dict(type='CIFARResNet'),
        ...              head=dict(type='MetaSAugHead', num_classes=100, in_channels=64, loss=dict(switch_from=160)))
        >>> custom_hooks = [dict(type='CovarianceHook'), dict(type='MetaStepHook')]
    """

    head: MetaSAugHead

    def __init__(
        self,
        backbone: dict,
        head: dict,
        neck: dict | list | None = None,
        data_preprocessor: dict | None = None,
        init_cfg: dict | None = None,
    ) -> None:
        super().__init__(
            backbone=backbone,
            neck={"type": "GlobalAveragePooling"} if neck is None else neck,
            head=head,
            data_preprocessor={"type": "ImageBatchPreprocessor", **(data_preprocessor or {})},
            init_cfg=init_cfg,
        )
        if not isinstance(self.head, MetaSAugHead):
            raise UserInputError(
                f"MetaSAugClassifier learns the covariances of a MetaSAugHead, and model.head is "
                f"{type(self.head).__name__}; set model.head.type='MetaSAugHead'."
            )
        if self.data_preprocessor.batch_augments is not None:
            raise UserInputError(
                "MetaSAugClassifier has training and meta images in one batch, which Mixup and CutMix would mix; "
                "remove data_preprocessor.batch_augments."
            )

    def forward(self, inputs: Tensor, data_samples: Sequence[DataSample] | None = None, mode: str = "tensor") -> Any:
        """Compute what a mode asks for.

        Args:
            inputs (Tensor): Preprocessed images, shape ``(B, 3, H, W)``.
            data_samples (Sequence[DataSample], optional): Their annotations. Defaults to None.
            mode (str): ``"loss"``, ``"predict"`` or ``"tensor"``, as in mmpretrain, or ``"pre_logits"`` for the
                features ``(B, D)`` that the classifier takes. Defaults to ``"tensor"``.

        Returns:
            Any: As in mmpretrain.
        """
        if mode == "pre_logits":
            return self.head.pre_logits(self.extract_feat(inputs))
        return super().forward(inputs, data_samples, mode)

    def loss(self, inputs: Tensor, data_samples: Sequence[DataSample]) -> dict[str, Tensor]:
        """Compute the loss of a batch of training images, with covariances learned on its meta images.

        Args:
            inputs (Tensor): Preprocessed images, shape ``(2 B, 3, H, W)``.
            data_samples (Sequence[DataSample]): Annotations of the ``2 B`` images.

        Returns:
            dict[str, Tensor]: ``loss``, of the first ``B``.
        """
        labels, size = LabelBatch.from_samples(data_samples).one_label_each, len(inputs) // self.head.num_parts

        def network(values: Parameters, images: Tensor) -> tuple[Tensor, Tensor, Tensor | None]:
            copies = {name: value.clone() for name, value in self.named_buffers() if not name.startswith("head.")}
            features = functional_call(self, {**values, **copies}, (images,), {"mode": "pre_logits"})
            return features, values["head.fc.weight"], values.get("head.fc.bias")

        features = self.head.pre_logits(self.extract_feat(inputs[:size]))
        covariance = self.head.learn_covariance(
            network, trained_parameters(self), (inputs[:size], labels[:size]), (inputs[size:], labels[size:]), features
        )
        return self.head.augmented_loss(features, labels[:size], covariance)
