"""Classifier that trains on two or three views of each image, all with gradient."""

from __future__ import annotations

from collections.abc import Sequence

import torch
import torch.nn.functional as F
from mmpretrain.models import ImageClassifier
from mmpretrain.structures import DataSample
from torch import Tensor

from lt_plugins.distributed import gather_rows
from lt_plugins.errors import UserInputError
from lt_plugins.models.classifiers.aux_losses import add_aux_losses, build_aux_losses
from lt_plugins.models.structures import ContrastBatch, FollowsSteps, LabelBatch, LabelledQueue
from lt_plugins.models.structures.contrast_batch import compare_views
from lt_plugins.registry import MODELS


@MODELS.register_module()
class TwoViewClassifier(ImageClassifier, FollowsSteps):
    """An image classifier with a projector, whose head is trained on two views of each image, or on three.

    Both views pass through the same encoder with gradient, so a batch of ``B`` images has ``2B`` anchors. They are
    compared with both views of all ranks and, if there is one, with a queue of earlier second views. GPaCo is this
    classifier with ``separate_passes``, a queue and :class:`~lt_plugins.models.heads.PaCoHead`.

    With ``num_views=3`` the first view is there to be classified: the head gets its pooled features alone, and the
    contrast is that of the second and third views, as BCL and ProCo train a
    :class:`~lt_plugins.models.heads.ContrastHead`. As in their released code all three pass encoder and projector
    together.

    The contrast is gathered over the ranks *with* gradient: with synchronised batch norm, two processes with batch
    ``B`` take the same step as one with ``2B``.

    With accumulated gradients all batches of an optimiser step read the queue as it was before the step; their second
    views enter it together, after the last of them.

    Args:
        backbone (dict): Config of the backbone.
        projector (dict): Config of the projector from the pooled feature to the contrast space, such as mmpretrain's
            ``NonLinearNeck(with_avg_pool=False)``.
        head (dict): Config of a head whose ``loss`` takes ``contrast``.
        neck (dict | list, optional): Config of the neck; ``[]`` for none. Defaults to global average pooling.
        projection_dim (int): Length ``D`` of the projections. Defaults to 128.
        queue_size (int): Slots of the queue; 0 for none. Defaults to 0.
        separate_passes (bool): Whether the views pass one after the other, so that batch norm takes the statistics of
            each view by itself, as in the released code of GPaCo. Defaults to False, one pass with the statistics of
            all views together, as in SupCon's.
        num_views (int): 2, or 3 with a first view that is classified and not compared. Defaults to 2.
        aux_losses (dict, optional): Configs of auxiliary losses by name, such as a :class:`.ContrastAuxLoss`: modules
            that are called with the contrast of the head's own loss, and return a scalar, which is added as
            ``loss_NAME``, or None. Defaults to none.
        data_preprocessor (dict, optional): Arguments of :class:`ImageBatchPreprocessor`, without ``batch_augments``.
        init_cfg (dict, optional): Initialisation.

    Raises:
        UserInputError: If the data preprocessor mixes images, whose labels the contrast cannot use, ``num_views`` is
            neither 2 nor 3, or an auxiliary loss reads features and logits.

    Examples:
        >>> model = dict(type='TwoViewClassifier', backbone=dict(type='CIFARResNet'),
        ...              projector=dict(type='NonLinearNeck', in_channels=64, hid_channels=64, out_channels=32,
        ...                             with_bias=True, with_last_bias=True, with_last_bn=False, with_avg_pool=False,
        ...                             norm_cfg=dict(type='BN1d')),
        ...              head=dict(type='PaCoHead', num_classes=100, in_channels=64), projection_dim=32,
        ...              queue_size=1024)
    """

    def __init__(
        self,
        backbone: dict,
        projector: dict,
        head: dict,
        neck: dict | list | None = None,
        projection_dim: int = 128,
        queue_size: int = 0,
        separate_passes: bool = False,
        num_views: int = 2,
        aux_losses: dict | None = None,
        data_preprocessor: dict | None = None,
        init_cfg: dict | None = None,
    ) -> None:
        if num_views not in (2, 3):
            raise UserInputError(f"num_views={num_views} must be 2, or 3 with a view that is classified alone.")
        super().__init__(
            backbone=backbone,
            neck={"type": "GlobalAveragePooling"} if neck is None else neck,
            head=head,
            data_preprocessor={"type": "ImageBatchPreprocessor", **(data_preprocessor or {})},
            init_cfg=init_cfg,
        )
        if self.data_preprocessor.batch_augments is not None:
            raise UserInputError(
                f"{type(self).__name__} compares images by their one label; remove Mixup and CutMix "
                "(data_preprocessor.batch_augments)."
            )
        self.projector = MODELS.build(projector)
        self.queue = LabelledQueue(queue_size, projection_dim)
        self.separate_passes = separate_passes
        self.num_views = num_views
        self.aux_losses = build_aux_losses(aux_losses or {}, self, has_contrast=True)
        self._remembered: list[tuple[Tensor, Tensor, Tensor]] = []  # of the step under way

    def loss(self, inputs: Sequence[Tensor], data_samples: Sequence[DataSample]) -> dict[str, Tensor]:
        """Compute the losses of a batch and remember the second of the views that are compared.

        Args:
            inputs (Sequence[Tensor]): The two or three views, each of shape ``(B, 3, H, W)``.
            data_samples (Sequence[DataSample]): Annotations of the ``B`` images.

        Returns:
            dict[str, Tensor]: The head's losses, and ``loss_NAME`` of each auxiliary one.

        Raises:
            UserInputError: If there are not exactly ``num_views`` views.
        """
        feats, projections = self._encode_views(self._split_views(inputs))
        if self.num_views == 3:
            feats = tuple(part.chunk(3)[0] for part in feats)
        views = (projections[-2], projections[-1])
        batch = LabelBatch.from_samples(data_samples)
        labels, samples = batch.one_label_each, batch.sample_idx
        contrast = compare_views(views, labels, samples, self.queue, num_anchor_views=2)
        losses = self.contrast_losses(feats, data_samples, contrast)
        self._remember(views[1], labels, samples)
        return losses

    def contrast_losses(
        self, feats: tuple[Tensor, ...], data_samples: Sequence[DataSample], contrast: ContrastBatch
    ) -> dict[str, Tensor]:
        """Compute the losses of the head and the auxiliary ones.

        Args:
            feats (tuple[Tensor, ...]): Pooled features that the head classifies.
            data_samples (Sequence[DataSample]): Annotations of the images.
            contrast (ContrastBatch): Anchors and candidates.
        """
        losses = self.head.loss(feats, data_samples, contrast=contrast)
        add_aux_losses(losses, self.aux_losses, contrast)
        return losses

    def _encode_views(self, views: Sequence[Tensor]) -> tuple[tuple[Tensor, ...], Sequence[Tensor]]:
        """Pooled features of all ``V`` views together, each ``(V * B, C)``, and projections ``(B, D)`` of each view."""
        if not self.separate_passes:
            feats = self.extract_feat(torch.cat(list(views)))
            return feats, self.project(feats).chunk(len(views))
        encoded = [self.extract_feat(view) for view in views]
        feats = tuple(map(torch.cat, zip(*encoded, strict=True)))
        return feats, [self.project(view) for view in encoded]

    def project(self, feats: tuple[Tensor, ...]) -> Tensor:
        """Project pooled features to the contrast space: ``(B, C)`` to unit rows ``(B, D)``.

        Args:
            feats (tuple[Tensor, ...]): Output of the neck; the last is used.
        """
        return F.normalize(self.projector(feats[-1:])[-1], dim=1)

    def extract_projections(self, images: Tensor) -> Tensor:
        """Compute the features that the contrast compares.

        Args:
            images (Tensor): Preprocessed images, shape ``(B, 3, H, W)``.

        Returns:
            Tensor: Unit rows, shape ``(B, D)``.
        """
        return self.project(self.extract_feat(images))

    def extract_local_features(self, images: Tensor) -> Tensor:
        """Compute the local features: the last map of the encoder, before pooling.

        Args:
            images (Tensor): Preprocessed images, shape ``(B, 3, H, W)``.

        Returns:
            Tensor: Shape ``(B, P, D)`` with the ``P = H' * W'`` locations in row-major order.
        """
        return self._local_map(images).flatten(2).transpose(1, 2)

    def local_grid(self, images: Tensor) -> tuple[int, int]:
        """Height and width of the map of local features that images of this size have.

        Args:
            images (Tensor): Preprocessed images, shape ``(B, 3, H, W)``.
        """
        height, width = self._local_map(images[:1]).shape[-2:]
        return height, width

    def _local_map(self, images: Tensor) -> Tensor:
        return self.backbone(images)[-1]

    def _split_views(self, inputs: Sequence[Tensor]) -> Sequence[Tensor]:
        if isinstance(inputs, Tensor) or len(inputs) != self.num_views:
            found = "a single view" if isinstance(inputs, Tensor) else f"{len(inputs)} views"
            count = "two" if self.num_views == 2 else "three"
            raise UserInputError(
                f"{type(self).__name__} trains on {count} views of each image and got {found}; "
                f"put a MultiView transform with {count} views into the train pipeline."
            )
        return inputs

    def _remember(self, features: Tensor, labels: Tensor, samples: Tensor | None) -> None:
        """Enqueue the second views of all ranks, in rank order, once the optimiser step has all its batches."""
        if self.queue.size == 0:
            return
        if self.starts_step:
            self._remembered.clear()
        if not self.repeats_batch:
            samples = torch.full_like(labels, -1) if samples is None else samples
            self._remembered.append((features.detach(), labels, samples))
        if self.ends_step:
            step = [torch.cat(parts) for parts in zip(*self._remembered, strict=True)]
            self._remembered.clear()
            self.queue.enqueue(*map(gather_rows, step))
