"""Running von Mises-Fisher distributions of the classes, estimated from the features of the training."""

from __future__ import annotations

from collections.abc import Sequence

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from lt_plugins.clustering import class_sums
from lt_plugins.errors import UserInputError
from lt_plugins.models.structures import FollowsSteps

MAX_KAPPA = 1e5
FIRST_LENGTH = 0.9


class ClassDirections(nn.Module, FollowsSteps):
    r"""A von Mises-Fisher distribution for each class, by running means of unit features.

    With the mean :math:`m_c` of the features of class :math:`c` so far, and its length :math:`R_c = \|m_c\|`,

    .. math::
        \mu_c = \frac{m_c}{R_c}, \qquad \kappa_c = \min\Big(\frac{p R_c}{1 - R_c^2},\ 10^5\Big)

    Two means run side by side. The active one is read and goes on over two epochs; the fresh one begins with each epoch
    and becomes the active one with the next, so that features of an earlier network are forgotten. A class without a
    feature in an epoch keeps the active mean. Before its first feature a class has a random direction and
    :math:`R = 0.9`. Call :meth:`set_epoch` before each epoch, as ``EpochHook`` does; which epoch the fresh mean belongs
    to is a buffer, so that a resumed run changes over once.

    A batch with a number that is not finite (half precision overflowed, and its step is skipped) and the second pass of
    a step of ``SAMOptimWrapper`` move no mean. Nothing of this asks the device.

    Source: Du et al., "Probabilistic Contrastive Learning for Long-Tailed Visual Recognition" (TPAMI 2024), with the
    epochs of its released code. The estimate :math:`R (p - R^2) / (1 - R^2)` of Banerjee et al., "Clustering on the
    Unit Hypersphere using von Mises-Fisher Distributions" (JMLR 2005), has a small term more.

    Args:
        dim (int): Length of the features :math:`p`, 2 or more.
        num_classes (int): Number of classes :math:`C`.

    Raises:
        UserInputError: If a number is too small.
    """

    mean: Tensor
    count: Tensor
    fresh_mean: Tensor
    fresh_count: Tensor
    epoch: Tensor

    def __init__(self, dim: int, num_classes: int) -> None:
        super().__init__()
        if dim < 2 or num_classes < 1:
            raise UserInputError(f"dim={dim} of the projections must be 2 or more, and num_classes={num_classes} 1.")
        self.register_buffer("mean", FIRST_LENGTH * F.normalize(torch.randn(num_classes, dim), dim=1))
        self.register_buffer("count", torch.zeros(num_classes))
        self.register_buffer("fresh_mean", torch.zeros(num_classes, dim))
        self.register_buffer("fresh_count", torch.zeros(num_classes))
        self.register_buffer("epoch", torch.tensor(-1))
        self._met: list[tuple[Tensor, Tensor]] = []  # of the batch that a second pass repeats

    @torch.no_grad()
    def set_epoch(self, epoch: int, max_epochs: int) -> None:  # noqa: ARG002 (every epoch is alike)
        """Let the fresh means become the active ones, once for each epoch.

        Args:
            epoch (int): The epoch about to start, from 0.
            max_epochs (int): Number of epochs of the training. Unused.
        """
        if epoch == int(self.epoch):
            return
        came = self.fresh_count > 0
        self.mean.copy_(torch.where(came[:, None], self.fresh_mean, self.mean))
        self.count.copy_(torch.where(came, self.fresh_count, self.count))
        self.fresh_mean.zero_()
        self.fresh_count.zero_()
        self.epoch.fill_(epoch)

    @torch.no_grad()
    def update(self, views: Sequence[Tensor], labels: Tensor) -> list[tuple[Tensor, Tensor]]:
        """Add the features of a batch view by view, and give the distributions that each view meets.

        Args:
            views (Sequence[Tensor]): Unit rows of each view, of all processes, shape ``(M, p)``.
            labels (Tensor): Classes of the images, int64 ``(M,)``.

        Returns:
            list[tuple[Tensor, Tensor]]: :meth:`directions_and_kappa` after each view, which it has entered; in the
            second pass of a step those of the first.
        """
        if self.repeats_batch:
            return self._met
        finite = torch.stack([view.isfinite().all() for view in views]).all()
        met = []
        for view in views:
            sums = class_sums(view.to(self.mean), labels, len(self.mean))
            self._add(torch.where(finite, sums, torch.zeros_like(sums)))
            met.append(self.directions_and_kappa())
        self._met = [] if self.ends_step else met
        return met

    def _add(self, sums: Tensor) -> None:
        new = sums[:, -1]
        for mean, count in ((self.mean, self.count), (self.fresh_mean, self.fresh_count)):
            count += new
            mean += (sums[:, :-1] - new[:, None] * mean) / count.clamp(min=1)[:, None]

    @torch.no_grad()
    def directions_and_kappa(self) -> tuple[Tensor, Tensor]:
        r"""Mean directions and concentrations of the active distributions, in float64.

        Returns:
            tuple[Tensor, Tensor]: :math:`\mu` as unit rows, shape ``(C, p)``, and :math:`\kappa`, shape ``(C,)``.
        """
        mean = self.mean.double()
        length = mean.norm(dim=1)
        # A mean of length 1, of a single feature, may come out longer by its rounding.
        spread = (1 - length.square()).clamp(min=0)
        kappa = (mean.shape[1] * length / spread).clamp(max=MAX_KAPPA)
        return F.normalize(mean, dim=1), kappa
