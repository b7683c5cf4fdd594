"""Classifier with a momentum (key) encoder and a labelled queue."""

from __future__ import annotations

import copy
from collections.abc import Sequence
from typing import Any

import torch
import torch.nn.functional as F
from mmengine.dist import get_world_size
from mmpretrain.models.utils import batch_shuffle_ddp, batch_unshuffle_ddp
from mmpretrain.structures import DataSample
from torch import Tensor, nn

from lt_plugins.errors import UserInputError
from lt_plugins.models.classifiers.two_view_classifier import TwoViewClassifier
from lt_plugins.models.structures import LabelBatch
from lt_plugins.models.structures.contrast_batch import compare_views, compare_with_queue
from lt_plugins.registry import MODELS


@MODELS.register_module()
class MomentumClassifier(TwoViewClassifier):
    """An image classifier in the manner of MoCo: queries with gradient, keys from a slowly following encoder.

    The query view is classified and is the anchor; it is compared with the queries and keys of all ranks and with a
    queue of earlier keys, or, as in MoCo, with its own key and the queue only. Key encoder, queue and its labels are
    part of the checkpoint. The key encoder's batch norm keeps its own running statistics. A checkpoint without a key
    encoder (plain classifier, stage 1 of another method) initialises it with the query encoder's weights. With
    accumulated gradients the key encoder moves once an optimiser step, before the first of its batches.

    Source: He et al., "Momentum Contrast" (CVPR 2020), as used by PaCo (ICCV 2021)
    and, with ``compare_batch=False``, by KCL, PCL (ICLR 2021) and SBCL (ICCV 2023).

    Args:
        backbone (dict): Config of the backbone.
        projector (dict): Config of the projector, see :class:`TwoViewClassifier`.
        head (dict): Config of a head whose ``loss`` takes ``contrast``.
        neck (dict | list, optional): Config of the neck; ``[]`` for none. Defaults to global average pooling.
        projection_dim (int): Length ``D`` of the projections. Defaults to 128.
        queue_size (int): Slots of the queue. Defaults to 8192.
        momentum (float): Share of the old key weights that stays in each step, ``m``. Defaults to 0.999.
        compare_batch (bool): Whether a query is also compared with the other images of the batch. Defaults to True.
        aux_losses (dict, optional): As in :class:`TwoViewClassifier`. Defaults to none.
        data_preprocessor (dict, optional): As in :class:`TwoViewClassifier`.
        init_cfg (dict, optional): Initialisation.

    Raises:
        UserInputError: If ``momentum`` is not in ``[0, 1]``.

    Examples:
        >>> model = dict(type='MomentumClassifier', backbone=dict(type='CIFARResNet'),
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
        queue_size: int = 8192,
        momentum: float = 0.999,
        compare_batch: bool = True,
        aux_losses: dict | None = None,
        data_preprocessor: dict | None = None,
        init_cfg: dict | None = None,
    ) -> None:
        super().__init__(
            backbone=backbone,
            projector=projector,
            head=head,
            neck=neck,
            projection_dim=projection_dim,
            queue_size=queue_size,
            aux_losses=aux_losses,
            data_preprocessor=data_preprocessor,
            init_cfg=init_cfg,
        )
        if not 0 <= momentum <= 1:
            raise UserInputError(f"momentum={momentum} must be in [0, 1]; it is the share of the old key weights.")
        self.momentum = momentum
        self.compare_batch = compare_batch
        # A ModuleDict has no init_weights, so mmengine leaves it alone and the copy below stays a copy.
        self.key_encoder = nn.ModuleDict(
            {name: copy.deepcopy(getattr(self, name)) for name in ("backbone", "neck", "projector")}
        ).requires_grad_(False)
        self._register_load_state_dict_pre_hook(self._fill_key_encoder)

    def init_weights(self) -> None:
        """Initialise the query encoder and copy it to the key encoder."""
        super().init_weights()
        for name, key_module in self.key_encoder.items():
            key_module.load_state_dict(getattr(self, name).state_dict())

    def loss(self, inputs: Sequence[Tensor], data_samples: Sequence[DataSample]) -> dict[str, Tensor]:
        """Compute the losses of a batch, let the key encoder follow, and enqueue the keys.

        Args:
            inputs (Sequence[Tensor]): Query and key view, each of shape ``(B, 3, H, W)``.
            data_samples (Sequence[DataSample]): Annotations of the ``B`` images.

        Returns:
            dict[str, Tensor]: The head's losses, and ``loss_NAME`` of each auxiliary one.

        Raises:
            UserInputError: If there are not exactly two views.
        """
        query_view, key_view = self._split_views(inputs)
        feats = self.extract_feat(query_view)
        queries = self.project(feats)
        keys = self._encode_keys(key_view)
        batch = LabelBatch.from_samples(data_samples)
        labels, samples = batch.one_label_each, batch.sample_idx
        if self.compare_batch:
            contrast = compare_views((queries, keys), labels, samples, self.queue, num_anchor_views=1)
        else:
            contrast = compare_with_queue(queries, keys, labels, samples, self.queue)
        losses = self.contrast_losses(feats, data_samples, contrast)
        self._remember(keys, labels, samples)
        return losses

    def extract_projections(self, images: Tensor) -> Tensor:
        """Compute the features that the contrast compares, by the key encoder.

        Args:
            images (Tensor): Preprocessed images, shape ``(B, 3, H, W)``.

        Returns:
            Tensor: Unit rows, shape ``(B, D)``.
        """
        feats = self.key_encoder["neck"](self.key_encoder["backbone"](images))
        return F.normalize(self.key_encoder["projector"](feats[-1:])[-1], dim=1)

    @torch.no_grad()
    def update_key_encoder(self) -> None:
        """Move the key encoder's parameters towards the query encoder's by ``1 - momentum``."""
        for name, key_module in self.key_encoder.items():
            keys: list[Tensor] = list(key_module.parameters())
            queries: list[Tensor] = list(getattr(self, name).parameters())
            if keys:
                torch._foreach_lerp_(keys, queries, 1 - self.momentum)

    @torch.no_grad()
    def _encode_keys(self, images: Tensor) -> Tensor:
        if self.starts_step:
            self.update_key_encoder()
        # Batch norm must not tell which images share a process (MoCo, section 3.3).
        unshuffle = None
        if get_world_size() > 1:
            images, unshuffle = batch_shuffle_ddp(images)
        keys = self.extract_projections(images)
        return keys if unshuffle is None else batch_unshuffle_ddp(keys, unshuffle)

    def _local_map(self, images: Tensor) -> Tensor:
        return self.key_encoder["backbone"](images)[-1]

    def _fill_key_encoder(self, state_dict: dict[str, Tensor], prefix: str, *_: Any) -> None:
        """Complete a state dict that has no key encoder with the query encoder's weights."""
        key_prefix = f"{prefix}key_encoder."
        if any(key.startswith(key_prefix) for key in state_dict):
            return
        for name in self.key_encoder:
            part = f"{prefix}{name}."
            for key in [key for key in state_dict if key.startswith(part)]:
                state_dict[key_prefix + key.removeprefix(prefix)] = state_dict[key].clone()
