"""Implicit semantic data augmentation: features perturbed along the covariance of their class."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor

from lt_plugins.distributed import sum_over_processes
from lt_plugins.models.covariance import group_sums, sums_to_moments, update_moments
from lt_plugins.models.covariance.semantic_augmentation import SemanticAugmentation
from lt_plugins.models.losses.long_tail_loss import LongTailLoss
from lt_plugins.models.structures import Labels, StatesCall, as_labels
from lt_plugins.registry import MODELS


@MODELS.register_module()
class ISDALoss(StatesCall, SemanticAugmentation, LongTailLoss):
    r"""Cross-entropy of infinitely many features, each class's own drawn from a Gaussian around them.

    The bound is :func:`.augmented_cross_entropy`. In training mode the
    features first enter the running covariance of their class (buffers ``class_count``, ``class_mean``,
    ``class_covariance``; of all processes together, without gradient), then the loss is computed with it, as in the
    released code. Gradient flows to the classifier through the quadratic form too. With accumulated gradients each
    batch enters as it comes: after an optimiser step the covariances are those of one large batch, while the loss of
    its first batches does not know those after them yet.

    The quadratic form is one ``(C, C)`` table an iteration; the released code evaluates it for each image. It also
    keeps the statistics of each GPU apart, and raises the strength once an epoch, the paper (and ``CovarianceHook``) in
    each iteration.

    Source: Wang et al., "Implicit Semantic Data Augmentation for Deep Networks" (NeurIPS 2019), Eq. 6 to 8.

    Args:
        num_classes (int): Number of classes ``C``.
        channels (int): Length of the features ``D``.
        lambda_0 (float): Strength at the end of training :math:`\lambda_0`; ``CovarianceHook`` raises it from 0.
            Defaults to 0.5.
        covariance (str, optional): ``"full"`` or ``"diagonal"``. Defaults to full up to 256 channels,
            else diagonal.
        **kwargs: Class weights and other settings of :class:`LongTailLoss`.

    Raises:
        UserInputError: If the strength is negative or the form of the covariances unknown.

    Examples:
        >>> loss = ISDALoss(num_classes=100, channels=64)
        >>> loss.set_progress(epoch / num_epochs)
        >>> value = loss(features, labels, fc.weight, fc.bias)
    """

    call = "loss(features, labels, fc.weight, fc.bias)"

    group = "class"
    class_count: Tensor
    class_mean: Tensor
    class_covariance: Tensor

    def __init__(
        self,
        num_classes: int,
        channels: int,
        lambda_0: float = 0.5,
        covariance: str | None = None,
        **kwargs: Any,
    ) -> None:
        super().__init__(num_classes, channels, lambda_0, covariance, **kwargs)

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
        r"""Compute the mean loss of a batch, in training mode after it has entered the covariances.

        Args:
            features (Tensor): Pooled features, shape ``(B, D)``.
            labels (Labels): True classes, whole numbers ``(B,)``, or the shares of the at most two classes of mixed
                images, shape ``(B, C)``; a tensor, array or list. The features of mixed images enter the covariances of
                both classes, by share.
            weight (Tensor): Weight of the linear classifier, shape ``(C, D)``.
            bias (Tensor, optional): Its bias, shape ``(C,)``.
            strength (Tensor | float, optional): :math:`\lambda` of this call. Defaults to what ``CovarianceHook`` set.
            class_weight (Tensor, optional): Weight of each class in this call, shape ``(C,)``. Defaults to those in
                force.
            covariance (Tensor, optional): Covariances of this call, as the form stores them; the running ones are then
                neither used nor updated. Gradient flows to them, also through a gradient of the loss (as MetaSAug
                learns them; full and diagonal ones only). Defaults to the running ones.

        Returns:
            Tensor: Scalar loss in float32 (or float64, if the features are).

        Raises:
            UserInputError: As in :class:`LongTailLoss`.
        """
        labels = as_labels(labels, features.device)
        if self.training and covariance is None and not self.repeats_batch:
            self.update(features, labels)

        def per_sample(of_class: Tensor) -> Tensor:
            return self.augmented_losses(features, of_class, weight, bias, strength=strength, covariance=covariance)

        return self.mean_loss(per_sample, labels, class_weight=class_weight)

    @torch.no_grad()
    def update(self, features: Tensor, labels: Tensor) -> None:
        """Let the features of all processes enter the covariances.

        Args:
            features (Tensor): Features of this process, shape ``(B, D)``.
            labels (Tensor): Their classes, int64 ``(B,)``, or shares of classes, shape ``(B, C)``.
        """
        known = self.moments
        reference = known.mean.mean(dim=0)
        sums = group_sums(features.detach(), labels, len(known.count), reference, self.form)
        for total in sums:
            sum_over_processes(total)
        update_moments(known, sums_to_moments(sums, reference, self.form), self.form)
