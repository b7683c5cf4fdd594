"""Self-supervised pre-training by mmpretrain's algorithms, seen as a classifier."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch.nn.functional as F
from mmpretrain.models import ImageClassifier
from mmpretrain.models.selfsup import BaseSelfSupervisor, SwAV
from mmpretrain.structures import DataSample
from torch import Tensor, nn

from lt_plugins.errors import UserInputError
from lt_plugins.models.classifiers.step_byol import StepBYOL
from lt_plugins.models.losses import SwappedPredictionLoss
from lt_plugins.registry import MODELS


@MODELS.register_module()
class SelfSupervisedClassifier(ImageClassifier):
    """SwAV or BYOL of mmpretrain as an image classifier: the algorithm trains the backbone, a probe beside it the head.

    The algorithm sees no labels. The head is trained on the pooled features of the first view, without gradient to the
    backbone, and its predictions are what evaluation during pre-training reports. A second stage, such as
    :class:`.FrozenBackboneClassifier`, takes the backbone over.

    Of mmpretrain's parts those are refused that would lose state or wait for the device: ``SwAVLoss`` with its hook in
    favour of :class:`.SwappedPredictionLoss`, and ``BYOL`` in favour of :class:`.StepBYOL`.

    Source: Caron et al., "Unsupervised Learning of Visual Features by Contrasting Cluster Assignments" (NeurIPS 2020);
    Grill et al., "Bootstrap Your Own Latent" (NeurIPS 2020).

    Args:
        backbone (dict): Config of the backbone.
        algorithm (dict): Config of ``SwAV`` or ``StepBYOL``, without its backbone. Its neck is the projector, which
            pools maps itself.
        head (dict): Config of the head on pooled features, such as :class:`.ProbeHead`.
        neck (dict | list, optional): Config of the neck; ``[]`` for none. Defaults to global average pooling.
        data_preprocessor (dict, optional): Arguments of :class:`ImageBatchPreprocessor`, without ``batch_augments``.
        init_cfg (dict, optional): Initialisation.

    Raises:
        UserInputError: If the algorithm is another one, or the data preprocessor mixes images; in training, if an image
            comes in another number of views than the algorithm takes.

    Examples:
        >>> model = dict(
        ...     type='SelfSupervisedClassifier', backbone=dict(type='CIFARResNet'),
        ...     algorithm=dict(
        ...         type='SwAV',
        ...         neck=dict(type='SwAVNeck', in_channels=64, hid_channels=64, out_channels=128,
        ...                   norm_cfg=dict(type='BN1d')),
        ...         head=dict(type='SwAVHead', loss=dict(type='SwappedPredictionLoss', num_views=6))),
        ...     head=dict(type='ProbeHead', num_classes=100, in_channels=64))
    """

    def __init__(
        self,
        backbone: dict,
        algorithm: dict,
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
        if self.data_preprocessor.batch_augments is not None:
            raise UserInputError(
                f"{type(self).__name__} compares views of single images; remove Mixup and CutMix "
                "(data_preprocessor.batch_augments)."
            )
        self.algorithm: BaseSelfSupervisor = MODELS.build({**algorithm, "backbone": self.backbone})
        # It uses the backbone, which is this classifier's: one module, saved and initialised once.
        del self.algorithm.backbone
        object.__setattr__(self.algorithm, "backbone", _NotedBackbone(self.backbone))
        self.num_views = _num_views(self.algorithm)
        # Of how many views at least a batch norm of the algorithm sees the images at once.
        self.views_together = self.num_views if isinstance(self.algorithm, SwAV) else 1

    def loss(self, inputs: Sequence[Tensor], data_samples: Sequence[DataSample]) -> dict[str, Tensor]:
        """Compute the loss of the algorithm, and that of the head.

        Args:
            inputs (Sequence[Tensor]): The views of ``B`` images, each of shape ``(B, 3, H, W)``; sizes may differ.
            data_samples (Sequence[DataSample]): Annotations of the ``B`` images, which the head alone reads.

        Returns:
            dict[str, Tensor]: ``loss_selfsup`` and ``loss_probe``.

        Raises:
            UserInputError: If there are not as many views as the algorithm takes.
        """
        self.check_views(1 if isinstance(inputs, Tensor) else len(inputs))
        noted: _NotedBackbone = self.algorithm.backbone
        noted.forget()  # what a step left that did not come to its end
        losses = self.algorithm.loss(list(inputs), data_samples)
        # Both algorithms pass the first view first, SwAV together with others of its size.
        first_view = tuple(map_[: len(inputs[0])].detach() for map_ in noted.take_first())
        probe = self.head.loss(self.neck(first_view) if self.with_neck else first_view, data_samples)
        return {"loss_selfsup": losses["loss"], "loss_probe": probe["loss"]}

    def compare(self, maps: tuple[Tensor, ...]) -> Tensor:
        """Compute what the algorithm compares of one view.

        Args:
            maps (tuple[Tensor, ...]): Output of the backbone, the last of shape ``(B, C, H, W)``.

        Returns:
            Tensor: Of SwAV similarities to the prototypes, ``(B, K)``; of BYOL predicted projections, ``(B, D)``.
        """
        head, projections = self.algorithm.head, self._project(maps)
        if isinstance(self.algorithm, SwAV):
            return head.loss_module.prototypes(projections)
        return head.predictor((projections,))[0]

    def extract_projections(self, images: Tensor) -> Tensor:
        """Compute the projections that the algorithm compares, of BYOL those of the online network.

        Args:
            images (Tensor): Preprocessed images, shape ``(B, 3, H, W)``.

        Returns:
            Tensor: Unit rows, shape ``(B, D)``.
        """
        return F.normalize(self._project(self.backbone(images)), dim=1)

    def _project(self, maps: tuple[Tensor, ...]) -> Tensor:
        neck = self.algorithm.neck
        return neck([maps]) if isinstance(self.algorithm, SwAV) else neck(maps)[0]

    def check_views(self, given: int) -> None:
        """Refuse another number of views of an image than the algorithm takes.

        Args:
            given (int): Number of views.

        Raises:
            UserInputError: If it is another one.
        """
        if given != self.num_views:
            found = "a single view" if given == 1 else f"{given} views"
            raise UserInputError(
                f"{type(self.algorithm).__name__} trains on {self.num_views} views of each image and got {found}; "
                f"put a MultiView transform with {self.num_views} views into the train pipeline."
            )


def _num_views(algorithm: Any) -> int:
    """Views of an image that an algorithm takes."""
    if isinstance(algorithm, StepBYOL):
        return 2
    if isinstance(algorithm, SwAV):
        loss = algorithm.head.loss_module
        if isinstance(loss, SwappedPredictionLoss):
            return loss.num_views
        raise UserInputError(
            f"model.algorithm.head.loss.type={type(loss).__name__!r} loses its queue when a run is resumed; use "
            "'SwappedPredictionLoss', without SwAVHook."
        )
    raise UserInputError(
        f"model.algorithm.type={type(algorithm).__name__!r} is not one that SelfSupervisedClassifier trains by; use "
        "'SwAV' or 'StepBYOL'."
    )


class _NotedBackbone(nn.Module):
    """A backbone, and what it returned since somebody took it.

    Args:
        module (nn.Module): The backbone.
    """

    def __init__(self, module: nn.Module) -> None:
        super().__init__()
        self.module = module
        self._outputs: list[tuple[Tensor, ...]] = []

    def forward(self, images: Tensor) -> tuple[Tensor, ...]:
        """Compute maps.

        Args:
            images (Tensor): Preprocessed images, shape ``(B, 3, H, W)``.
        """
        maps = self.module(images)
        self._outputs.append(maps)
        return maps

    def take_first(self) -> tuple[Tensor, ...]:
        """Give the maps of the first call, and forget all."""
        first, *_ = self._outputs
        self.forget()
        return first

    def forget(self) -> None:
        """Forget what was returned."""
        self._outputs.clear()
