"""Center loss: pulls the features of a class towards a centre that follows them."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Literal

import torch
import torch.nn.functional as F
from torch import Tensor

from lt_plugins.clustering import class_sums
from lt_plugins.distributed import sum_over_processes
from lt_plugins.errors import UserInputError
from lt_plugins.models.losses.aux_loss import AuxLoss
from lt_plugins.models.structures import DataSizedModule, FollowsSteps, LabelBatch, TakesMixtures
from lt_plugins.registry import MODELS

DISTANCES = ("squared", "cosine")
UPDATES = ("class", "batch")


@MODELS.register_module()
class CenterLoss(FollowsSteps, TakesMixtures, AuxLoss, DataSizedModule):
    r"""Center loss, an auxiliary loss: the mean distance of features to the centres of their classes.

    .. math::
        L = \omega_t \frac{1}{B} \sum_i d(x_i, \mu_{y_i})

    with the squared distance :math:`d = \|x - \mu\|^2`, or :math:`d = 1 - \cos(x, \mu)`. A mixed image has the
    distances to both centres, by their shares. The centres are buffers with an update of their own, once an optimiser
    step, after the loss and from the features of all processes. With the negative gradient :math:`g_c` of
    :math:`\tfrac{1}{2} \sum_i \|x_i - \mu_{y_i}\|^2` (cosine: of :math:`\sum_i (1 - \cos(x_i, \mu_{y_i}))`), for
    :math:`n_c` of the :math:`B` images,

    * ``update="class"``: :math:`\mu_c \leftarrow \mu_c + \eta \, g_c / (1 + n_c)`, the original rule
    * ``update="batch"``: :math:`\mu_c \leftarrow \mu_c + 2 \eta \, g_c / B` (cosine: :math:`\eta \, g_c / B`), a step
      of gradient descent on the unweighted loss, as in IFL

    so neither depends on :math:`\omega_t`. A step with a feature that is not finite (half precision overflowed) moves
    no centre. Centres start as standard normal numbers, which follow from the seed of the run. They move from the first
    step on, also while the weight is 0, so that they are those of the classes when it is not any more. In the released
    code of IFL they stand still for so long: 60 epochs of 100, and then the first weight pulls features towards random
    points, which ``moves_at_zero=False`` repeats.

    Source: Wen et al., "A Discriminative Feature Learning Approach for Deep Face Recognition" (ECCV 2016), Eq. 2 to 4,
    where the weight is :math:`\lambda / 2`; Tang et al., "Invariant Feature Learning for Generalized Long-Tailed
    Classification" (ECCV 2022), its loss of invariance, with the squared distance of its code (the cosine with LDAM and
    RIDE).

    Args:
        distance (str): ``"squared"`` or ``"cosine"``. Defaults to ``"squared"``.
        update (str): The rule of the centres, ``"class"`` or ``"batch"``. Defaults to ``"class"``.
        lr (float): Learning rate :math:`\eta` of the centres. Defaults to 0.5.
        moves_at_zero (bool): Whether the centres move while the weight is 0. Defaults to True.
        weights (float | Sequence[Sequence[float]]): Weight :math:`\omega_t`, or pairs of an epoch and the weight from
            it on; in IFL ``[(60, 0.001), (80, 0.005)]`` of 100 epochs. Defaults to 0.001.

    Raises:
        UserInputError: If an argument is unknown or out of range.

    Examples:
        >>> model = dict(type='AuxLossClassifier', aux_losses=dict(center=dict(type='CenterLoss', weights=0.001)))
    """

    sized_by_data = ("centres",)
    centres: Tensor

    def __init__(
        self,
        distance: Literal["squared", "cosine"] = "squared",
        update: Literal["class", "batch"] = "class",
        lr: float = 0.5,
        moves_at_zero: bool = True,
        weights: float | Sequence[Sequence[float]] = 0.001,
    ) -> None:
        super().__init__(weights)
        if distance not in DISTANCES:
            raise UserInputError(f"distance={distance!r} must be one of {DISTANCES}.")
        if update not in UPDATES:
            raise UserInputError(f"update={update!r} must be one of {UPDATES}.")
        if not 0 <= lr < float("inf"):
            raise UserInputError(f"lr={lr} of the centres must be 0 or more, like 0.5.")
        self.distance = distance
        self.update = update
        self.lr = lr
        self.moves_at_zero = moves_at_zero
        self.register_buffer("centres", torch.zeros(0, 0))
        self._seed = 0
        self._sums: Tensor | None = None  # of the features of each class in this step, and how many they are

    def set_seed(self, seed: int) -> None:
        """Set what the first centres follow from (``EpochSeedHook`` does).

        Args:
            seed (int): The seed of the run, the same on all processes.
        """
        self._seed = seed

    def forward(
        self,
        features: Tensor,
        logits: Tensor,
        samples: LabelBatch,
        num_environments: int = 1,  # noqa: ARG002 (centres are those of all environments)
    ) -> Tensor:
        """Compute the loss of a batch; in training its features move the centres.

        Args:
            features (Tensor): What the head classifies, shape ``(B, D)``.
            logits (Tensor): Its logits, whose last dimension is the number of classes.
            samples (LabelBatch): Labels of the images, or shares of two classes.
            num_environments (int): Unused. Defaults to 1.

        Returns:
            Tensor: Scalar loss in float32 (or float64, if the features are).
        """
        size = logits.shape[-1], features.shape[1]
        if self.centres.shape != size:
            self._begin(*size)
        features = features.to(torch.promote_types(features.dtype, torch.float32))
        parts = list(self.split_label(samples.target))
        # Without a weight there is no gradient, also of features that are not finite.
        loss = self.weight * self.mean_distance(features, parts) if self.weight else features.new_zeros(())
        if self.training and (self.weight or self.moves_at_zero):
            if not self.repeats_batch:
                self._collect(features.detach(), parts)
            if self.ends_step:
                self._move()
        return loss

    def mean_distance(self, features: Tensor, parts: Sequence[tuple[Tensor, Tensor | None]]) -> Tensor:
        """Mean distance of features to the centres of their classes.

        Args:
            features (Tensor): Features ``(B, D)``.
            parts (Sequence): Classes ``(B,)`` and shares ``(B,)`` or None, as of :meth:`split_label`.

        Returns:
            Tensor: Scalar.
        """
        total = features.new_zeros(())
        for labels, share in parts:
            centres = self.centres.to(features)[labels]
            if self.distance == "squared":
                distances = (features - centres).square().sum(dim=1)
            else:
                distances = 1 - F.cosine_similarity(features, centres, dim=1)
            total = total + (distances if share is None else share.to(distances) * distances).mean()
        return total

    @torch.no_grad()
    def _begin(self, num_classes: int, channels: int) -> None:
        """Draw the first centres, the same on every process."""
        draws = torch.randn(num_classes, channels, generator=torch.Generator().manual_seed(self._seed))
        self.resize_and_copy("centres", draws.to(self.centres.dtype))
        self._sums = None

    @torch.no_grad()
    def _collect(self, features: Tensor, parts: Sequence[tuple[Tensor, Tensor | None]]) -> None:
        """Add the features of a batch to the sums of this step, one column of which counts them."""
        if self.starts_step or self._sums is None:
            self._sums = self.centres.new_zeros(len(self.centres), self.centres.shape[1] + 1)
        rows = F.normalize(features, dim=1) if self.distance == "cosine" else features
        for labels, share in parts:
            self._sums += class_sums(rows.to(self._sums), labels, len(self.centres), share)

    @torch.no_grad()
    def _move(self) -> None:
        """Move the centres by the sums of this step, of all processes."""
        if self._sums is None:
            return
        sum_over_processes(self._sums)
        first, count = self._sums[:, :-1], self._sums[:, -1:]
        self._sums = None
        if self.distance == "squared":
            gradient, factor = first - count * self.centres, 2.0
        else:
            norm = self.centres.norm(dim=1, keepdim=True).clamp(min=torch.finfo(self.centres.dtype).tiny)
            unit = self.centres / norm
            gradient, factor = (first - (first * unit).sum(dim=1, keepdim=True) * unit) / norm, 1.0
        step = gradient / (1 + count) if self.update == "class" else factor * gradient / count.sum()
        # Not asked on the host, which would wait for the device.
        self.centres.add_(torch.where(first.isfinite().all(), self.lr * step, torch.zeros_like(step)))
