"""Test-time aggregation of experts: their weights from unlabelled images with unknown class frequencies."""

from __future__ import annotations

from typing import NamedTuple

import torch
import torch.nn.functional as F
from torch import Tensor

from lt_plugins.errors import UserInputError
from lt_plugins.posthoc.affine_classifier import AffineClassifier

EPSILON = 1e-6
"""Length at which a distribution counts as zero in a cosine, as in the released code."""


class ExpertViews(NamedTuple):
    """Two views of unlabelled images by the experts of a model, and how :func:`fit_expert_weights` learns from them.

    Args:
        first (Tensor): Logits of the experts for a view of each image, shape ``(M, K, C)``.
        second (Tensor): Those for another view, shape ``(M, K, C)``.
        biases (Tensor): Biases of the experts' classifiers, shape ``(K, C)``.
        lr (float): Learning rate. Defaults to 0.1.
        weight_decay (float): Weight decay. Defaults to 5e-4.
    """

    first: Tensor
    second: Tensor
    biases: Tensor
    lr: float = 0.1
    weight_decay: float = 5e-4


class ExpertWeights(NamedTuple):
    """Outcome of :func:`fit_expert_weights`.

    Args:
        weights (Tensor): Weight of each expert, shape ``(K,)``, sum 1, float64.
        similarities (list[float]): What is maximised, before the first epoch and after each: mean cosine of the
            predictions for the two views of an image.
    """

    weights: Tensor
    similarities: list[float]


def weigh_experts(classifier: AffineClassifier, biases: Tensor, weights: Tensor) -> AffineClassifier:
    r"""Put a weighted mean of experts in place of their mean: :math:`W = [a_1 W_1 | \dots | a_K W_K]`.

    Args:
        classifier (AffineClassifier): The mean of the experts, affine in their features one behind the other.
        biases (Tensor): Biases of each expert, shape ``(K, C)``.
        weights (Tensor): :math:`a`, shape ``(K,)``, sum 1.

    Raises:
        UserInputError: If the features are not of ``K`` experts.
    """
    num_experts, length = len(weights), classifier.weight.shape[1]
    if length % num_experts or biases.shape != (num_experts, len(classifier.weight)):
        raise UserInputError(
            f"{num_experts} weights and biases of shape {tuple(biases.shape)} do not fit weights of shape "
            f"{tuple(classifier.weight.shape)}: give one weight an expert, biases (K, C) and weights (C, K * D)."
        )
    shares = num_experts * weights.to(classifier.weight)
    weight = classifier.weight * shares.repeat_interleave(length // num_experts)
    return AffineClassifier(weight, weights.to(biases) @ biases)


def view_similarity(first: Tensor, second: Tensor, weights: Tensor) -> Tensor:
    r"""Cosine of the weighted experts' predictions for two views of each image.

    .. math::
        \cos\Big(\mathrm{softmax}\big(\sum_k a_k z^{(k)}_{i,1}\big), \mathrm{softmax}\big(\sum_k a_k
        z^{(k)}_{i,2}\big)\Big)

    Args:
        first (Tensor): Logits of the experts for the first view, shape ``(B, K, C)``.
        second (Tensor): Those for the second view, shape ``(B, K, C)``.
        weights (Tensor): :math:`a`, shape ``(K,)``.

    Returns:
        Tensor: Shape ``(B,)``.
    """
    one, other = (torch.einsum("k,bkc->bc", weights, logits).softmax(dim=1) for logits in (first, second))
    return F.cosine_similarity(one, other, dim=1, eps=EPSILON)


def fit_expert_weights(
    first: Tensor,
    second: Tensor,
    lr: float = 0.1,
    weight_decay: float = 5e-4,
    batch_size: int = 128,
    max_epochs: int = 5,
    min_weight: float = 0.05,
    seed: int = 0,
) -> ExpertWeights:
    r"""Weigh experts so that their prediction is stable under augmentation of the images to predict.

    An expert is sure, and therefore stable, on the classes that it favours. The weights :math:`a = \mathrm{softmax}(u)`
    maximise the mean of :func:`view_similarity` from :math:`u_k = 1/K` on, by SGD with Nesterov momentum 0.9. The epoch
    after which a weight, rounded to two decimals, is below ``min_weight`` is the last one. The logits are computed
    once; the released code runs the network, with new views, in every epoch.

    Source: Zhang et al., "Self-Supervised Aggregation of Diverse Experts for Test-Agnostic Long-Tailed Recognition"
    (NeurIPS 2022), prediction stability maximisation, and its released code.

    Args:
        first (Tensor): Logits of the experts for a view of each image, shape ``(M, K, C)``.
        second (Tensor): Those for another view, shape ``(M, K, C)``.
        lr (float): Learning rate; that of the training: 0.1 on CIFAR-100-LT, 0.025 on ImageNet-LT, 0.2 on iNaturalist,
            0.01 on Places-LT. Defaults to 0.1.
        weight_decay (float): Pull of :math:`u` to 0, which is to equal weights. Defaults to 5e-4.
        batch_size (int): Images a step. Defaults to 128.
        max_epochs (int): Epochs at most. Defaults to 5.
        min_weight (float): Weight of an expert that ends the training. Defaults to 0.05.
        seed (int): Order of the images. Defaults to 0.

    Raises:
        UserInputError: If the views are of other shapes, there are no images, or a setting is out of range.
    """
    if first.shape != second.shape or first.ndim != 3 or not first.numel():
        raise UserInputError(
            f"logits of two views of shapes {tuple(first.shape)} and {tuple(second.shape)} must be (M, K, C), the "
            "same for both, with at least one image."
        )
    if lr <= 0 or weight_decay < 0 or batch_size < 1 or max_epochs < 1:
        raise UserInputError(
            f"lr={lr}, weight_decay={weight_decay}, batch_size={batch_size} and max_epochs={max_epochs} must be "
            "positive (weight_decay may be 0), like 0.1, 5e-4, 128 and 5."
        )
    num_images, num_experts = first.shape[:2]
    dtype = torch.promote_types(first.dtype, torch.float32)
    logits_of_weights = torch.full((num_experts,), 1 / num_experts, dtype=dtype, device=first.device)
    logits_of_weights.requires_grad_()
    optimizer = torch.optim.SGD([logits_of_weights], lr, momentum=0.9, nesterov=True, weight_decay=weight_decay)
    generator = torch.Generator().manual_seed(seed)

    def similarity(rows: Tensor) -> Tensor:
        return view_similarity(first[rows].to(dtype), second[rows].to(dtype), logits_of_weights.softmax(dim=0))

    def mean_similarity() -> float:
        with torch.no_grad():
            chunks = torch.arange(num_images, device=first.device).split(batch_size)
            return float(torch.cat([similarity(rows) for rows in chunks]).double().mean())

    similarities = [mean_similarity()]
    for _ in range(max_epochs):
        for rows in torch.randperm(num_images, generator=generator).to(first.device).split(batch_size):
            optimizer.zero_grad()
            (-similarity(rows).mean()).backward()
            optimizer.step()
        similarities.append(mean_similarity())
        if min(round(weight, 2) for weight in logits_of_weights.softmax(dim=0).tolist()) < min_weight:
            break
    return ExpertWeights(logits_of_weights.detach().double().softmax(dim=0).cpu(), similarities)
