"""Targeted supervised contrastive loss: classes are pulled to targets that are spread uniformly over the sphere."""

from __future__ import annotations

import dataclasses
from typing import Literal

import torch
import torch.nn.functional as F
from torch import Tensor

from lt_plugins.clustering import class_sums, match_prototypes, uniform_targets
from lt_plugins.distributed import rank_and_world_size, sum_over_processes, take_from_first
from lt_plugins.errors import UserInputError
from lt_plugins.models.losses.kcl_loss import KCLLoss
from lt_plugins.models.losses.supcon_loss import supcon_loss
from lt_plugins.models.structures import ClassDistribution, ContrastBatch, DataSizedModule, FollowsSteps
from lt_plugins.registry import MODELS

MATCHES = ("epoch", "step")
MEANS = ("all", "images")


def tsc_loss(
    contrast: ContrastBatch,
    positives: Tensor,
    targets: Tensor,
    temperature: float,
    target_weight: float = 0.2,
    mean_over: Literal["all", "images"] = "all",
) -> Tensor:
    r"""Targeted supervised contrastive loss of each anchor.

    The targets :math:`U` of all classes are further candidates; that of the own class, :math:`t_{y_i}`, is a positive:

    .. math::
        L_i = -\frac{1}{k + 2} \Big[ \sum_{p \in \tilde P_i^k} \log P_{ip} + \omega \log P_{i t_{y_i}} \Big], \qquad
        P_{ij} = \frac{e^{v_i^\top v_j / T}}{\sum_{a \in \tilde V_i \cup U} e^{v_i^\top v_a / T}}

    Args:
        contrast (ContrastBatch): The ``M`` anchors and ``A`` candidates, with ``other_view_positions``.
        positives (Tensor): The candidates that are positives beside the other view, bool ``(M, A)``.
        targets (Tensor): The target of each class, unit rows, shape ``(C, D)``.
        temperature (float): ``T``.
        target_weight (float): :math:`\omega`. Defaults to 0.2.
        mean_over (str): What both terms are divided by: ``"all"`` positives, the target among them, as above; or the
            first by the ``k + 1`` ``"images"`` and the second not at all. Defaults to ``"all"``.

    Returns:
        Tensor: Loss of each anchor, shape ``(M,)``.
    """
    classes = torch.arange(len(targets), device=contrast.candidate_labels.device)
    with_targets = dataclasses.replace(
        contrast,
        candidates=torch.cat([contrast.candidates, targets.to(contrast.candidates.dtype)]),
        candidate_labels=torch.cat([contrast.candidate_labels, classes]),
        candidate_samples=None,
    )
    images = (contrast.other_view | positives).to(torch.promote_types(contrast.anchors.dtype, torch.float32))
    own_target = (contrast.anchor_labels[:, None] == classes).to(images.dtype)
    count = images.sum(dim=1, keepdim=True)
    if mean_over == "all":
        weights = torch.cat([images, target_weight * own_target], dim=1) / (count + 1)
    else:
        weights = torch.cat([images / count, target_weight * own_target], dim=1)
    return supcon_loss(with_targets, weights, temperature) * weights.sum(dim=1)


@MODELS.register_module()
class TSCLoss(FollowsSteps, KCLLoss, DataSizedModule):
    r"""Targeted supervised contrastive loss (TSC), averaged over the anchors: KCL in which each class has a target.

    The targets, one a class, are spread uniformly over the sphere (:func:`.uniform_targets`), so that rare classes get
    as much room as frequent ones. Which class has which follows the features: running means of the projections of each
    class, :math:`\mu_c \leftarrow 0.9 \mu_c + 0.1 \bar v_c`, normalised and over all processes, are matched to the
    targets so that the sum of cosines :math:`\sum_c \mu_c^\top t_{\sigma(c)}` is highest (Hungarian method). See
    :func:`tsc_loss` for the formula. Until the first matching, the loss is that of :class:`KCLLoss`.

    Targets (in the order of the classes) and running means are buffers; they take their sizes from the class counts
    and the projections. The targets are made at the first matching, from the seed of the run on the main process, and
    stay the same points. A running mean is the mean of the first batch that has the class; the released code starts
    from random ones. A batch with a value that is not finite (half precision overflowed) moves none.

    Source: Li et al., "Targeted Supervised Contrastive Learning for Long-Tailed Recognition" (CVPR 2022), and the
    released code, which divides both terms by the number of positives; the paper's equation does so by ``mean_over=
    "images"``, where the same weight counts ``k + 2`` times more.

    Args:
        num_positives (int): Number ``k`` of positives that are drawn from the class. Defaults to 6.
        temperature (float): Temperature ``T``. Defaults to 0.07.
        target_weight (float): Weight :math:`\omega` of the target. Defaults to 0.2.
        mean_over (str): ``"all"``: both terms are divided by the number of all positives, ``k + 2``; ``"images"``: the
            first by ``k + 1``, the second not. Defaults to ``"all"``.
        match (str): When classes and targets are matched: before each ``"epoch"`` but the first, or after each
            ``"step"``, as in the released code, which waits for the device and takes seconds for thousands of classes.
            Defaults to ``"epoch"``.
        momentum (float): Share of a running mean that stays in each step. Defaults to 0.9.

    Raises:
        UserInputError: If an argument is unknown or out of range.

    Examples:
        >>> head = dict(type='SupConHead', num_classes=1000, in_channels=2048, loss=dict(type='TSCLoss'))
        >>> loss = TSCLoss()
        >>> loss.class_distribution.set_counts(counts)
        >>> loss.set_epoch(epoch, max_epochs=200)  # before each epoch
        >>> value = loss(ContrastBatch.from_queries(queries, keys, labels, queue=queue, compare_batch=False))
    """

    sized_by_data = ("targets", "class_means")
    targets: Tensor
    class_means: Tensor

    def __init__(
        self,
        num_positives: int = 6,
        temperature: float = 0.07,
        target_weight: float = 0.2,
        mean_over: Literal["all", "images"] = "all",
        match: Literal["epoch", "step"] = "epoch",
        momentum: float = 0.9,
    ) -> None:
        super().__init__(num_positives, temperature)
        if not 0 <= target_weight < float("inf"):
            raise UserInputError(f"target_weight={target_weight} must be 0 or more, like 0.2.")
        if not 0 <= momentum < 1:
            raise UserInputError(f"momentum={momentum} of the class means must be in [0, 1), like 0.9.")
        if mean_over not in MEANS or match not in MATCHES:
            raise UserInputError(f"mean_over={mean_over!r} must be one of {MEANS}, match={match!r} one of {MATCHES}.")
        self.target_weight = target_weight
        self.mean_over = mean_over
        self.match = match
        self.momentum = momentum
        self.class_distribution = ClassDistribution()
        self.register_buffer("targets", torch.zeros(0, 0))
        self.register_buffer("class_means", torch.zeros(0, 0))
        self._seed = 0
        self._sums: Tensor | None = None  # of the projections of each class in this step, and how many they are

    def set_seed(self, seed: int) -> None:
        """Set what the targets follow from (``EpochSeedHook`` does).

        Args:
            seed (int): The seed of the run, the same on all processes.
        """
        self._seed = seed

    def set_epoch(self, epoch: int, max_epochs: int) -> str | None:  # noqa: ARG002 (matching needs no share)
        """Match classes and targets, once there are class means (``EpochHook`` calls it before each epoch).

        Args:
            epoch (int): The epoch about to start, from 0. Unused: the class means say whether one came before.
            max_epochs (int): Number of epochs of the training. Unused.

        Returns:
            str | None: What to log, None if there is nothing to match.
        """
        if self.match == "step" or not len(self.class_means):
            return None
        is_first = not len(self.targets)
        order = self._match().tolist()
        if is_first:
            return f"{len(order)} uniform targets in {self.targets.shape[1]} dimensions"
        return f"{sum(place != label for label, place in enumerate(order))} of {len(order)} classes have another target"

    def forward(
        self, contrast: ContrastBatch, positives: Tensor | None = None, generator: torch.Generator | None = None
    ) -> Tensor:
        """Compute the mean loss over the anchors; in training their projections move the class means.

        Args:
            contrast (ContrastBatch): As for :class:`KCLLoss`.
            positives (Tensor, optional): As for :class:`KCLLoss`. Defaults to a new draw.
            generator (torch.Generator, optional): As for :class:`KCLLoss`. Defaults to torch's own.

        Returns:
            Tensor: Scalar loss in float32 (or float64, if the input is).

        Raises:
            UserInputError: As :class:`KCLLoss`, or if the class counts are unknown.
        """
        positives = self.checked_positives(contrast, positives, generator)
        if len(self.targets):
            loss = tsc_loss(
                contrast, positives, self.targets, self.temperature, self.target_weight, self.mean_over
            ).mean()
        else:
            loss = super().forward(contrast, positives)
        if self.training:
            self._follow(contrast.anchors.detach(), contrast.anchor_labels)
        return loss

    @torch.no_grad()
    def _follow(self, anchors: Tensor, labels: Tensor) -> None:
        """Collect the projections of a step; at its end move the class means, after the loss of all its batches."""
        size = len(self.class_distribution.known_counts()), anchors.shape[1]
        if self.class_means.shape != size:
            self.resize_and_copy("class_means", self.class_means.new_zeros(size))
        if self.starts_step or self._sums is None:
            self._sums = self.class_means.new_zeros(size[0], size[1] + 1)
        if not self.repeats_batch:
            self._sums += class_sums(anchors.to(self._sums), labels, size[0])
        if self.ends_step:
            self._move()
            if self.match == "step":
                self._match()

    def _move(self) -> None:
        """Move the class means by the sums of this step, of all processes."""
        assert self._sums is not None
        sum_over_processes(self._sums)
        sums, counts = self._sums[:, :-1], self._sums[:, -1:]
        self._sums = None
        moved = F.normalize(self.momentum * self.class_means + (1 - self.momentum) * F.normalize(sums, dim=1), dim=1)
        # Not asked on the host, which would wait for the device.
        self.class_means.copy_(torch.where((counts > 0) & sums.isfinite().all(), moved, self.class_means))

    @torch.no_grad()
    def _match(self) -> Tensor:
        """Order the targets by the classes that they are matched to; return where each was before, ``(C,)``."""
        if self.targets.shape != self.class_means.shape:
            self._make_targets()
        order = match_prototypes(self.targets, self.class_means)
        self.targets.copy_(self.targets[order])
        return order

    def _make_targets(self) -> None:
        """Make the targets on the main process, for all."""
        made = torch.zeros_like(self.class_means)
        if rank_and_world_size()[0] == 0:
            num_classes, dim = made.shape
            made.copy_(uniform_targets(num_classes, dim, seed=self._seed, device=made.device))
        take_from_first(made)
        self.resize_and_copy("targets", made)
