"""Linear head of MetaSAug."""

from __future__ import annotations

from collections.abc import Sequence
from typing import ClassVar

import torch
from mmpretrain.structures import DataSample
from torch import Tensor, nn

from lt_plugins.models.heads.isda_head import ISDAHead
from lt_plugins.models.losses.metasaug_loss import Images, Network
from lt_plugins.models.structures import LabelBatch, LooksAhead
from lt_plugins.models.structures.look_ahead import Parameters, detached, trained_parameters
from lt_plugins.registry import MODELS


@MODELS.register_module()
class MetaSAugHead(LooksAhead, ISDAHead):
    """Linear head of MetaSAug: learns the covariances of a step by looking one step of the classifier ahead.

    A batch has two parts of one size, ``[training images | meta set]``, as ``CompanionBatchSampler`` makes them. In a
    :class:`.FrozenBackboneClassifier` this is MetaSAug's second stage on ImageNet-LT and iNaturalist: features are
    given, and the step that is looked ahead is that of the classifier alone. :class:`.MetaSAugClassifier` looks ahead
    with the whole network instead.

    The step ahead is plain gradient descent at the learning rate of the optimiser, in float32 also under autocast: its
    gradients have no loss scale. Several processes learn the same covariances, by the mean of their meta-gradients.

    Source: Li et al., "MetaSAug: Meta Semantic Augmentation for Long-Tailed Visual Recognition" (CVPR 2021).

    Args:
        num_classes (int): Number of classes ``C``.
        in_channels (int): Length of the pooled feature.
        loss (dict, optional): Settings of :class:`.MetaSAugLoss`; it gets this head's sizes. It needs
            ``CovarianceHook``.
        init_cfg (dict, optional): Initialisation. Defaults to that of ``LinearHead``.

    Examples:
        >>> model = dict(type='FrozenBackboneClassifier', reuse_head=True, backbone=dict(type='ResNet', depth=50),
        ...              head=dict(type='MetaSAugHead', num_classes=1000, in_channels=2048))
        >>> custom_hooks = [dict(type='CovarianceHook'), dict(type='MetaStepHook')]
    """

    num_parts: ClassVar[int] = 2
    _learned: Tensor | None = None  # for a second pass over the batch
    extra_labels: ClassVar[str] = "MetaSAug learns covariances"

    def __init__(
        self, num_classes: int, in_channels: int, loss: dict | None = None, init_cfg: dict | None = None
    ) -> None:
        super().__init__(num_classes, in_channels, {"type": "MetaSAugLoss", **(loss or {})}, init_cfg)

    def loss(self, feats: tuple[Tensor, ...], data_samples: Sequence[DataSample]) -> dict[str, Tensor]:
        """Compute the loss of a batch of training images, with covariances learned on its meta images.

        Args:
            feats (tuple[Tensor, ...]): Pooled features, the last of shape ``(2 B, in_channels)``.
            data_samples (Sequence[DataSample]): Annotations of the ``2 B`` images.

        Returns:
            dict[str, Tensor]: ``loss``, of the first ``B``.
        """
        features = self.pre_logits(feats)
        labels, size = LabelBatch.from_samples(data_samples).one_label_each, len(features) // self.num_parts

        def network(values: Parameters, given: Tensor) -> tuple[Tensor, Tensor, Tensor | None]:
            return given, values["weight"], values.get("bias")

        wide = features.detach().to(torch.promote_types(features.dtype, torch.float32))
        covariance = self.learn_covariance(
            network, trained_parameters(self.fc), (wide[:size], labels[:size]), (wide[size:], labels[size:])
        )
        return self.augmented_loss(features[:size], labels[:size], covariance)

    def learn_covariance(
        self,
        network: Network,
        parameters: dict[str, nn.Parameter],
        images: Images,
        meta_images: Images,
        features: Tensor | None = None,
    ) -> Tensor | None:
        """Covariances of this step, see :meth:`.MetaSAugLoss.learn_covariance`.

        Args:
            network (Callable): From parameters and images to features, weight and bias.
            parameters (dict[str, nn.Parameter]): Those that the step ahead moves, by name.
            images (tuple[Tensor, Tensor]): Training images and their classes.
            meta_images (tuple[Tensor, Tensor]): Those of the meta set.
            features (Tensor, optional): Features of the training images ``(B, D)`` with their graph, which then gives
                the gradients of the step ahead; under autocast it does not, as they would need a loss scale. Defaults
                to None.

        Returns:
            Tensor | None: The covariances; None before ``switch_from``.
        """
        if not self.loss_module.is_learning:
            return None
        if self.repeats_batch:
            return self._learned
        device, gradients = meta_images[0].device.type, None
        if features is not None and not torch.is_autocast_enabled(device):
            loss = self.loss_module(features, images[1], self.fc.weight, self.fc.bias)
            values = torch.autograd.grad(loss, list(parameters.values()), retain_graph=True)
            gradients = dict(zip(parameters, values, strict=True))
        with torch.autocast(device, enabled=False):
            step = self.sgd_step(parameters, momentum=False)
            learned: Tensor = self.loss_module.learn_covariance(
                network, detached(parameters), step, images, meta_images, gradients
            )
        self._learned = None if self.ends_step else learned
        return learned

    def augmented_loss(self, features: Tensor, labels: Tensor, covariance: Tensor | None) -> dict[str, Tensor]:
        """Compute the loss of training images, which then enter the running covariances.

        Args:
            features (Tensor): Pooled features, shape ``(B, in_channels)``.
            labels (Tensor): Classes, int64 ``(B,)``.
            covariance (Tensor, optional): What :meth:`learn_covariance` gave.

        Returns:
            dict[str, Tensor]: ``loss``.
        """
        loss = self.loss_module(features, labels, self.fc.weight, self.fc.bias, covariance=covariance)
        if covariance is not None and self.training and not self.repeats_batch:
            self.loss_module.update(features, labels)
        return {"loss": loss}
