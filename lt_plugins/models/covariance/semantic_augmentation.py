"""What the losses share that augment features implicitly, along the covariance of their group."""

from __future__ import annotations

from typing import Any, ClassVar

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from lt_plugins.errors import UserInputError
from lt_plugins.models.covariance.covariance_form import build_covariance_form
from lt_plugins.models.covariance.moments import Moments
from lt_plugins.models.structures import FollowsSteps


def augmented_cross_entropy(
    logits: Tensor,
    labels: Tensor,
    quadratic: Tensor,
    strength: Tensor | float,
) -> Tensor:
    r"""Upper bound of the expected cross-entropy under Gaussian perturbations of the features (ISDA).

    .. math::
        L_i = -\log \frac{e^{z_{iy_i}}}{\sum_j e^{z_{ij} + \frac{\lambda}{2} q_{ij}}} \ge
              \mathbb{E}_{\epsilon \sim \mathcal{N}(0, \lambda \Sigma_{y_i})} \mathrm{CE}(W (x_i + \epsilon) + b, y_i)

    Args:
        logits (Tensor): Logits of the features as they are, shape ``(N, C)``.
        labels (Tensor): True groups, int64 ``(N,)``.
        quadratic (Tensor): :math:`q_{ij} = (w_j - w_{y_i})^\top \Sigma_{y_i} (w_j - w_{y_i})`, shape ``(N, C)``.
        strength (Tensor | float): :math:`\lambda`.

    Returns:
        Tensor: Losses, shape ``(N,)``.
    """
    return F.cross_entropy(logits + strength / 2 * quadratic, labels, reduction="none")


class SemanticAugmentation(nn.Module, FollowsSteps):
    r"""Base of the losses that augment features implicitly: covariances of the groups, and the strength.

    Buffers: ``<group>_count (G,)``, ``<group>_mean (G, D)``, ``<group>_covariance (G, ...)``, and ``strength``, the
    :math:`\lambda` of the current iteration, which ``CovarianceHook`` sets. With a strength of 0, before the first
    iteration and without the hook, the loss is plain cross-entropy.

    Source: Wang et al., "Implicit Semantic Data Augmentation for Deep Networks" (NeurIPS 2019), Eq. 6 to 8.

    Args:
        num_groups (int): Number of groups ``G``, which are the classes of the classifier too.
        channels (int): Length of the features ``D``.
        lambda_0 (float): Strength at the end of training.
        covariance (str | None): How covariances are stored, see
            :func:`~lt_plugins.models.covariance.build_covariance_form`.
        **kwargs: Settings of the other base class of a loss.

    Raises:
        UserInputError: If the strength is negative or the form of the covariances unknown.
    """

    group: ClassVar[str]
    needs_hook: ClassVar[dict[str, str]] = {"type": "CovarianceHook"}
    strength: Tensor

    def __init__(self, num_groups: int, channels: int, lambda_0: float, covariance: str | None, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        if lambda_0 < 0:
            raise UserInputError(f"lambda_0={lambda_0} must be 0 or more; 0.5 is usual on CIFAR.")
        self.lambda_0 = lambda_0
        self.form = build_covariance_form(covariance, channels)
        for name, shape in (("count", ()), ("mean", (channels,)), ("covariance", self.form.shape)):
            self.register_buffer(f"{self.group}_{name}", torch.zeros(num_groups, *shape))
        # In float64, so that a loss in float64 is not multiplied by a rounded number; a scalar decides no other type.
        self.register_buffer("strength", torch.zeros((), dtype=torch.float64))

    @property
    def moments(self) -> Moments:
        """The buffers with what is known of the groups."""
        return Moments(*(getattr(self, f"{self.group}_{name}") for name in ("count", "mean", "covariance")))

    def set_progress(self, progress: float) -> None:
        r"""Set the strength :math:`\lambda = \lambda_0 t / T`.

        Args:
            progress (float): Share of the training that is done, ``t / T``, from 0 to 1.
        """
        self.strength.fill_(self.lambda_0 * progress)

    def augmented_losses(
        self,
        features: Tensor,
        labels: Tensor,
        weight: Tensor,
        bias: Tensor | None,
        *,
        strength: Tensor | float | None = None,
        covariance: Tensor | None = None,
    ) -> Tensor:
        """Losses of features that are augmented along the covariances of their groups.

        Args:
            features (Tensor): Shape ``(N, D)``.
            labels (Tensor): Their groups, int64 ``(N,)``.
            weight (Tensor): Weight of the classifier, shape ``(G, D)``.
            bias (Tensor, optional): Its bias, shape ``(G,)``.
            strength (Tensor | float, optional): In place of the buffer.
            covariance (Tensor, optional): In place of the buffer, as the form stores them; gradient flows to it.

        Returns:
            Tensor: Shape ``(N,)``, in float32 (or float64, if the features are).
        """
        dtype = torch.promote_types(features.dtype, torch.float32)
        covariance = self.moments.covariance if covariance is None else covariance
        strength = self.strength if strength is None else strength
        wide = torch.promote_types(dtype, covariance.dtype)
        with torch.autocast(features.device.type, enabled=False):
            logits = F.linear(features.to(dtype), weight.to(dtype), None if bias is None else bias.to(dtype))
            # A row of the table depends on the group alone: one a group, unless there are fewer features.
            by_feature = len(features) < len(weight)
            rows = labels if by_feature else None
            table = self.form.quadratic(weight.to(wide), covariance.to(wide), rows).to(dtype)
            table = table if by_feature else table[labels]
            return augmented_cross_entropy(logits, labels, table, strength)

    def extra_repr(self) -> str:
        """Show the settings."""
        return f"lambda_0={self.lambda_0}"
