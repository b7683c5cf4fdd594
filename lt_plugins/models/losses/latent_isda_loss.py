"""Latent categories that must be told apart, each augmented along its own covariance."""

from __future__ import annotations

from typing import Literal

import torch
from torch import Tensor

from lt_plugins.distributed import sum_over_processes
from lt_plugins.errors import UserInputError
from lt_plugins.models.covariance import GroupSums, Moments, group_sums, sums_to_moments, update_moments
from lt_plugins.models.covariance.semantic_augmentation import SemanticAugmentation
from lt_plugins.models.structures import StatesCall
from lt_plugins.registry import MODELS

SOURCES = ("trajectory", "assigned")


@MODELS.register_module()
class LatentISDALoss(StatesCall, SemanticAugmentation):
    r"""LCReg's latent augmentation loss: a linear classifier names each latent category, under perturbations.

    .. math::
        L = \frac{1}{M} \sum_m \log \sum_j e^{(w_j - w_m)^\top f'_m + b_j - b_m
            + \frac{\lambda}{2} (w_j - w_m)^\top \Sigma_m (w_j - w_m)}

    The printed Eq. 6 has an augmented feature in the exponent and a mean over images that the summand does not depend
    on; this is ISDA's bound, with the latent features as they are, and the mean over latent categories.

    The paper does not say what a latent category's covariance is taken of ("updating the latent features at each
    iteration"); ``source`` decides. ``CovarianceHook`` calls the update after each iteration. Buffers:
    ``latent_count (M,)``, ``latent_mean (M, D)``, ``latent_covariance (M, ...)``.

    Source: "Long-Tailed Recognition by Learning from Latent Categories" (LCReg), Eq. 5 and 6; the bound is that of Wang
    et al., "Implicit Semantic Data Augmentation for Deep Networks" (NeurIPS 2019).

    Args:
        num_latents (int): Number of latent categories ``M``.
        channels (int): Length of the latent features ``D``.
        lambda_0 (float): Strength at the end of training :math:`\lambda_0`, which the paper does not give. Defaults to
            0.5, ISDA's on CIFAR.
        covariance (str, optional): ``"full"`` or ``"diagonal"``. Defaults to full up to 256 channels,
            else diagonal: 200 latent categories of 2048 channels would take 3.4 GB in full.
        source (str): ``"trajectory"``, the values that a latent feature has taken in training so far (the paper's
            words), or ``"assigned"``, the image features, weighted by their similarity to the latent category (which
            gives covariances of what images look like there). Defaults to ``"trajectory"``.

    Raises:
        UserInputError: If an argument is out of range.

    Examples:
        >>> head = dict(type='LCRegHead', num_classes=100, in_channels=64, aug_loss=dict(source='assigned'))
    """

    call = "loss(latents, latent_fc.weight, latent_fc.bias)"

    group = "latent"
    latent_count: Tensor
    latent_mean: Tensor
    latent_covariance: Tensor

    def __init__(
        self,
        num_latents: int,
        channels: int,
        lambda_0: float = 0.5,
        covariance: str | None = None,
        source: Literal["trajectory", "assigned"] = "trajectory",
    ) -> None:
        super().__init__(num_latents, channels, lambda_0, covariance)
        if source not in SOURCES:
            raise UserInputError(f"source={source!r} of the covariances must be one of {SOURCES}.")
        self.source = source
        self._observed: GroupSums | None = None

    def forward(
        self, latents: Tensor, weight: Tensor, bias: Tensor | None = None, *, strength: Tensor | float | None = None
    ) -> Tensor:
        r"""Compute the mean loss over the latent categories.

        Args:
            latents (Tensor): Latent features, shape ``(M, D)``.
            weight (Tensor): Weight of the classifier of latent categories, shape ``(M, D)``.
            bias (Tensor, optional): Its bias, shape ``(M,)``.
            strength (Tensor | float, optional): :math:`\lambda` of this call. Defaults to what ``CovarianceHook`` set.

        Returns:
            Tensor: Scalar loss in float32 (or float64, if the input is).
        """
        labels = torch.arange(len(latents), device=latents.device)
        return self.augmented_losses(latents, labels, weight, bias, strength=strength).mean()

    @torch.no_grad()
    def observe(self, features: Tensor, assignment: Tensor) -> None:
        """Note the image features of an iteration for its update, if the covariances are taken of them.

        With accumulated gradients those of all batches of an optimiser step come together.

        Args:
            features (Tensor): Image features, shape ``(B, P, D)``.
            assignment (Tensor): Their normalised similarity to the latent categories, shape ``(B, P, M)``.
        """
        if self.source == "assigned" and not self.repeats_batch:
            features, assignment = features.detach().flatten(0, 1), assignment.detach().flatten(0, 1)
            sums = group_sums(features, assignment, len(self.latent_count), self._reference(), self.form)
            if self._observed is not None and not self.starts_step:
                sums = GroupSums(*(before + new for before, new in zip(self._observed, sums, strict=True)))
            self._observed = sums

    @torch.no_grad()
    def update(self, latents: Tensor) -> None:
        """Let what an optimiser step brought enter the covariances, the same on every process.

        Args:
            latents (Tensor): Latent features as they are now, shape ``(M, D)``.
        """
        if not self.ends_step:  # of accumulated batches, which come as one
            return
        known = self.moments
        if self.source == "trajectory":
            nothing = known.covariance.new_zeros(()).expand_as(known.covariance)  # of a single value, without memory
            new = Moments(torch.ones_like(known.count), latents.to(known.mean), nothing)
        elif self._observed is not None:
            for total in self._observed:
                sum_over_processes(total)
            new = sums_to_moments(self._observed, self._reference(), self.form)
            self._observed = None
        else:
            return
        update_moments(known, new, self.form)

    def _reference(self) -> Tensor:
        """A point near the image features, the same on every process."""
        return self.latent_mean.mean(dim=0)

    def extra_repr(self) -> str:
        """Show the settings."""
        return f"{super().extra_repr()}, source={self.source!r}"
