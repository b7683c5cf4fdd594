"""Remix: mixup whose labels favour the rarer class."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from lt_plugins.errors import UserInputError
from lt_plugins.models.structures import ClassDistribution, StepDraws
from lt_plugins.registry import BATCH_AUGMENTS


def remix_shares(share: float, counts: Tensor, partner_counts: Tensor, kappa: float, tau: float) -> Tensor:
    r"""Share of each mixed image that its label is of the first class, by the sizes of both classes.

    .. math::
        \lambda_y = \begin{cases}
            0 & n_i / n_j \ge \kappa \text{ and } \lambda < \tau \\
            1 & n_i / n_j \le 1 / \kappa \text{ and } 1 - \lambda < \tau \\
            \lambda & \text{else}
        \end{cases}

    Source: Chou et al., "Remix: Rebalanced Mixup" (ECCV 2020 workshops), Eq. 10.

    Args:
        share (float): Share :math:`\lambda` of the first images in the pixels, from 0 to 1.
        counts (Tensor): Sizes :math:`n_i` of the classes of the first images, shape ``(B,)``.
        partner_counts (Tensor): Sizes :math:`n_j` of those of the second ones, shape ``(B,)``, positive.
        kappa (float): By how much one class must be larger.
        tau (float): Up to which share of an image its label may be left out.

    Returns:
        Tensor: :math:`\lambda_y`, shape ``(B,)``, of the type of the counts.
    """
    shares = torch.full_like(counts, share)
    if 1 - share < tau:
        shares = shares.masked_fill(kappa * counts <= partner_counts, 1.0)
    if share < tau:
        shares = shares.masked_fill(counts >= kappa * partner_counts, 0.0)
    return shares


@BATCH_AUGMENTS.register_module()
class Remix(StepDraws, nn.Module):
    r"""Remix: mixes images as mixup does, and gives the whole label to the rarer class where that is much rarer.

    Images are mixed with a permutation of their batch, :math:`\lambda x_i + (1 - \lambda) x_j` with one
    :math:`\lambda \sim \mathrm{Beta}(\alpha, \alpha)` a step; labels by the :math:`\lambda_y` of each pair,
    :func:`remix_shares`. With ``kappa=float("inf")`` or ``tau=0`` it is mixup.

    Class sizes are those of ``class_distribution``, which ``ClassDistributionHook`` fills. Any
    :class:`~lt_plugins.models.losses.LongTailLoss` takes the mixed labels; Remix-DRW is Remix with deferred class
    weights.

    Source: Chou et al., "Remix: Rebalanced Mixup" (ECCV 2020 workshops), section 3.3.

    Args:
        alpha (float): Parameter of the Beta distribution, positive. Defaults to 1.0: uniform.
        kappa (float): How many times larger a class must be for its label to be left out, 1 or more. Defaults to 3.0.
        tau (float): Up to which share of an image its label may be left out, from 0 to 1. Defaults to 0.5.

    Raises:
        UserInputError: If an argument is out of its range; in a step, if the class counts are unknown.

    Examples:
        >>> model = dict(train_cfg=dict(augments=dict(type='Remix')))
        >>> remix = Remix()
        >>> remix.class_distribution.set_counts([100, 10, 1])
        >>> images, shares = remix(images, F.one_hot(labels, 3))
    """

    def __init__(self, alpha: float = 1.0, kappa: float = 3.0, tau: float = 0.5) -> None:
        super().__init__()
        if not 0 < alpha < float("inf"):
            raise UserInputError(f"alpha={alpha} of Remix must be positive, like 1.0.")
        if not kappa >= 1:
            raise UserInputError(f"kappa={kappa} of Remix must be 1 or more, like 3.0; it is a ratio of class sizes.")
        if not 0 <= tau <= 1:
            raise UserInputError(f"tau={tau} of Remix must be in [0, 1], like 0.5.")
        self.alpha = alpha
        self.kappa = kappa
        self.tau = tau
        self.class_distribution = ClassDistribution()

    def forward(self, images: Tensor, scores: Tensor) -> tuple[Tensor, Tensor]:
        """Mix a batch with a permutation of itself.

        Args:
            images (Tensor): Normalised images, shape ``(B, 3, H, W)``.
            scores (Tensor): Their classes, one-hot, shape ``(B, C)``.

        Returns:
            tuple[Tensor, Tensor]: Mixed images, shape ``(B, 3, H, W)``, and the shares of their classes, ``(B, C)``.

        Raises:
            UserInputError: If the class counts are unknown, or of another number of classes.
        """
        sizes = self.class_distribution.filled_counts()
        if len(sizes) != scores.shape[1]:
            raise UserInputError(
                f"Remix has class counts of {len(sizes)} classes, but labels of {scores.shape[1]}; set "
                "data_preprocessor.num_classes to the number of classes of the data."
            )
        share = self.draw(lambda generator: generator.beta(self.alpha, self.alpha))
        partner = torch.randperm(len(images)).to(images.device, non_blocking=True)
        counts = sizes[scores.argmax(dim=1)]
        shares = remix_shares(share, counts, counts[partner], self.kappa, self.tau).to(images.dtype)[:, None]
        mixed_images = share * images + (1 - share) * images[partner]
        return mixed_images, shares * scores + (1 - shares) * scores[partner]

    def extra_repr(self) -> str:
        """Show the settings."""
        return f"alpha={self.alpha}, kappa={self.kappa}, tau={self.tau}"
