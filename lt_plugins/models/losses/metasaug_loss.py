"""MetaSAug: implicit semantic augmentation with class weights, whose covariances are learned on a meta set."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor

from lt_plugins.errors import UserInputError
from lt_plugins.models.losses.isda_loss import ISDALoss
from lt_plugins.models.structures import Labels, as_labels
from lt_plugins.models.structures.look_ahead import Parameters, meta_gradient
from lt_plugins.registry import MODELS

Network = Callable[[Parameters, Tensor], tuple[Tensor, Tensor, Tensor | None]]
Images = tuple[Tensor, Tensor]


@MODELS.register_module()
class MetaSAugLoss(ISDALoss):
    r"""MetaSAug: ISDA with class weights, along covariances that a step of the network has been tried with.

    .. math::
        \theta' = \theta - \eta \nabla_\theta L_s(\theta, \Sigma), \qquad
        \hat\Sigma = \Sigma - \gamma \nabla_\Sigma \, \mathrm{CE}_{meta}(\theta'(\Sigma)), \qquad
        L = L_s(\theta, \hat\Sigma)

    :math:`L_s` is the loss of :class:`ISDALoss` with class weights, :math:`\Sigma` the running covariances of the
    training images, and the cross-entropy is of the images of a balanced meta set. The covariances
    :math:`\hat\Sigma` serve one step: as in the released code they do not replace the running ones, which take the
    images of a step in after its loss. Until epoch ``switch_from`` the loss is plain cross-entropy.

    :class:`.MetaSAugClassifier` looks ahead with the whole network, :class:`.MetaSAugHead` with the classifier alone.
    Memory: covariances of ``C`` classes as they are stored (``C D D`` numbers, of a diagonal ``C D``), a few times, and
    tables of ``min(B, C) C``; never a ``B x C x D`` tensor, which the released code has.

    Source: Li et al., "MetaSAug: Meta Semantic Augmentation for Long-Tailed Visual Recognition" (CVPR 2021), Algorithm
    1, and its released code. Eq. 5 divides by the number of images (``normalize_by="batch"``), the code by the sum of
    their weights.

    Args:
        num_classes (int): Number of classes ``C``.
        channels (int): Length of the features ``D``.
        lambda_0 (float): Strength at the end of training :math:`\lambda_0`; ``CovarianceHook`` raises it from 0. 0.25,
            0.5, 0.75 or 1 on CIFAR. Defaults to 0.5.
        gamma (float): Step of the covariances :math:`\gamma`; with 0 the loss is ISDA with class weights. Defaults to
            0.1.
        switch_from (int): First epoch with augmentation, class weights and meta set, from 0. Defaults to 0.
        covariance (str, optional): ``"full"`` or ``"diagonal"``. Defaults to full up to 256 channels, else diagonal.
        class_weight (Sequence[float] | str, optional): As of :class:`LongTailLoss`. Defaults to ``"effective_number"``.
        **kwargs: Other settings of :class:`LongTailLoss`, but for ``reweight_from``.

    Raises:
        UserInputError: If a number is negative, or the form of the covariances unknown.

    Examples:
        >>> model = dict(type='MetaSAugClassifier', backbone=dict(type='CIFARResNet'),
        ...              head=dict(type='MetaSAugHead', num_classes=100, in_channels=64, loss=dict(switch_from=160)))
    """

    def __init__(
        self,
        num_classes: int,
        channels: int,
        lambda_0: float = 0.5,
        gamma: float = 0.1,
        switch_from: int = 0,
        covariance: str | None = None,
        class_weight: Any = "effective_number",
        **kwargs: Any,
    ) -> None:
        if gamma < 0 or switch_from < 0:
            raise UserInputError(
                f"gamma={gamma} and switch_from={switch_from} of MetaSAugLoss must be 0 or more, like 0.1 and 160."
            )
        reweight_from = 0 if class_weight is None else switch_from
        kwargs |= {"class_weight": class_weight, "reweight_from": reweight_from}
        super().__init__(num_classes, channels, lambda_0, covariance, **kwargs)
        self.gamma = gamma
        self.switch_from = switch_from
        self.is_learning = switch_from == 0

    def set_epoch(self, epoch: int, max_epochs: int) -> str:
        """Begin to augment, to weigh classes and to learn covariances at ``switch_from``.

        Args:
            epoch (int): The epoch about to start, from 0.
            max_epochs (int): Number of epochs of the training.

        Returns:
            str: The phase, for the log.
        """
        weights = super().set_epoch(epoch, max_epochs)
        self.is_learning = epoch >= self.switch_from
        if not self.is_learning:
            return "plain cross-entropy"
        return ", ".join(["augmentation along learned covariances", *([] if weights is None else [weights])])

    def forward(  # type: ignore[override] # besides logits it needs what they are made of
        self,
        features: Tensor,
        labels: Labels,
        weight: Tensor,
        bias: Tensor | None = None,
        *,
        strength: Tensor | float | None = None,
        class_weight: Tensor | None = None,
        covariance: Tensor | None = None,
    ) -> Tensor:
        """Compute the mean loss of a batch; it moves nothing, see :meth:`~.ISDALoss.update`.

        Args:
            features (Tensor): As of :class:`ISDALoss`.
            labels (Labels): As of :class:`ISDALoss`.
            weight (Tensor): As of :class:`ISDALoss`.
            bias (Tensor, optional): As of :class:`ISDALoss`.
            strength (Tensor | float, optional): As of :class:`ISDALoss`.
            class_weight (Tensor, optional): As of :class:`ISDALoss`.
            covariance (Tensor, optional): Covariances of this call. Defaults to the running ones as they are.

        Returns:
            Tensor: Scalar loss in float32 (or float64, if the features are).
        """
        labels = as_labels(labels, features.device)
        if not self.is_learning:
            dtype = torch.promote_types(features.dtype, torch.float32)
            with torch.autocast(features.device.type, enabled=False):
                logits = F.linear(features.to(dtype), weight.to(dtype), None if bias is None else bias.to(dtype))
            return self.mean_loss(
                lambda of_class: F.cross_entropy(logits, of_class, reduction="none"), as_labels(labels, features.device)
            )
        # A copy: update() moves the running ones before the backward pass reads them.
        wide = torch.promote_types(features.dtype, self.class_covariance.dtype)
        running = self.class_covariance.to(wide, copy=True) if covariance is None else None
        return super().forward(
            features,
            labels,
            weight,
            bias,
            strength=strength,
            class_weight=class_weight,
            covariance=running if covariance is None else covariance,
        )

    def learn_covariance(
        self,
        network: Network,
        parameters: Parameters,
        step: Callable[[Parameters], Parameters],
        images: Images,
        meta_images: Images,
        gradients: Parameters | None = None,
    ) -> Tensor:
        r"""Covariances of this step, learned on the meta set.

        Args:
            network (Callable): From parameters and images (or features) to features ``(B, D)``, and weight ``(C, D)``
                and bias ``(C,)`` or None of the classifier; without side effects.
            parameters (dict[str, Tensor]): :math:`\theta`, without gradient.
            step (Callable): From gradients to :math:`\theta'`, see :meth:`.LooksAhead.sgd_step`.
            images (tuple[Tensor, Tensor]): Training images, or their features, and their classes ``(B,)``.
            meta_images (tuple[Tensor, Tensor]): Those of the meta set.
            gradients (dict[str, Tensor], optional): Of the loss of the training images along the running covariances,
                in the parameters, if they are known. Defaults to None.

        Returns:
            Tensor: :math:`\hat\Sigma`, as the covariances are stored; without gradient, the same on every process.
        """
        running = self.class_covariance.detach().clone()
        if self.gamma == 0:
            return running
        training, meta = (given[0].detach() for given in (images, meta_images))

        def inner(values: Parameters, covariance: Tensor) -> Tensor:
            features, weight, bias = network(values, training)
            return self(features, images[1], weight, bias, covariance=covariance)

        def outer(values: Parameters) -> Tensor:
            return F.cross_entropy(F.linear(*network(values, meta)), meta_images[1])

        return running - self.gamma * meta_gradient(inner, outer, parameters, running, step, gradients)

    def extra_repr(self) -> str:
        """Show the settings."""
        return f"lambda_0={self.lambda_0}, gamma={self.gamma}, switch_from={self.switch_from}"
