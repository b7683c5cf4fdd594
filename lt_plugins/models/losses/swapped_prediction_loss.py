"""Swapped prediction of cluster assignments: the loss of SwAV."""

from __future__ import annotations

from typing import cast

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from lt_plugins.clustering.sinkhorn import check_sinkhorn_options, sinkhorn_assignment
from lt_plugins.distributed import gather_rows, rank_and_world_size
from lt_plugins.errors import UserInputError
from lt_plugins.models.structures import FollowsSteps, LabelledQueue, StatesCall
from lt_plugins.registry import MODELS

NUM_ASSIGNED = 2
"""Views whose assignments the others predict: the first two."""


@MODELS.register_module()
class SwappedPredictionLoss(StatesCall, FollowsSteps):
    r"""Swapped-prediction loss (SwAV): each view predicts the prototypes that another view of its image is assigned to.

    .. math::
        L = \frac{1}{2} \sum_{s \in \{1, 2\}} \frac{1}{V - 1} \sum_{t \ne s} \frac{1}{B} \sum_i
            - q_i^{s \top} \log \mathrm{softmax}(C^\top z_i^t / T)

    where the assignments :math:`q` of the first two views come from
    :func:`~lt_plugins.clustering.sinkhorn.sinkhorn_assignment` over the batch of all processes and a queue of earlier
    embeddings of the same view. It takes the place of mmpretrain's ``SwAVLoss`` and its ``SwAVHook``, from which it
    differs in this:

    * The queue is a buffer, the same in all processes and part of the checkpoint. There each process writes its own
      file beside the checkpoints, and a new run in an old folder starts with the queue of the last one.
    * Prototypes share the samples of all processes. There the sum over the samples of a prototype is that of one
      process unless a prototype has none (the released code adds up all processes).
    * Nothing asks the device; assignments are computed as logarithms, in float32 also under autocast.

    As there and as released, prototypes are unit vectors at each step, they stay as they are at first, and the queue
    serves from an epoch on, as soon as it is full.

    Source: Caron et al., "Unsupervised Learning of Visual Features by Contrasting Cluster Assignments" (NeurIPS 2020),
    Eq. 1-5, and its released code.

    Args:
        feat_dim (int): Length of an embedding ``D``. Defaults to 128.
        num_views (int): Views of each image ``V``, small ones included. Defaults to 8.
        num_prototypes (int): Prototypes ``K``. Defaults to 3000.
        temperature (float): Temperature ``T`` of the predictions. Defaults to 0.1.
        epsilon (float): Temperature of the assignments. Defaults to 0.05.
        iterations (int): Sinkhorn-Knopp iterations. Defaults to 3.
        queue_size (int): Embeddings of each of the first two views that are remembered, of all processes together; 0
            for none. Defaults to 0.
        queue_from (int): Epoch, from 0, from which the queue is filled. Defaults to 15.
        prototypes_from (int): Epoch, from 0, from which the prototypes learn. Defaults to 1.

    Raises:
        UserInputError: If a number is out of range.

    Examples:
        >>> head = dict(type='SwAVHead', loss=dict(type='SwappedPredictionLoss', num_views=8, queue_size=3840))
    """

    call = "loss(embeddings_of_all_views)"

    def __init__(
        self,
        feat_dim: int = 128,
        num_views: int = 8,
        num_prototypes: int = 3000,
        temperature: float = 0.1,
        epsilon: float = 0.05,
        iterations: int = 3,
        queue_size: int = 0,
        queue_from: int = 15,
        prototypes_from: int = 1,
    ) -> None:
        super().__init__()
        if num_views < NUM_ASSIGNED:
            raise UserInputError(f"num_views={num_views} must be 2 or more: views predict the assignments of others.")
        if num_prototypes < 2:
            raise UserInputError(f"num_prototypes={num_prototypes} must be 2 or more, like 3000.")
        if not temperature > 0:
            raise UserInputError(f"temperature={temperature} must be positive, like 0.1.")
        if min(queue_from, prototypes_from) < 0:
            raise UserInputError(
                f"queue_from={queue_from} and prototypes_from={prototypes_from} are epochs, counted from 0."
            )
        check_sinkhorn_options(epsilon, iterations)
        self.num_views = num_views
        self.temperature = temperature
        self.epsilon = epsilon
        self.iterations = iterations
        self.queue_from = queue_from
        self.prototypes_from = prototypes_from
        self.prototypes = nn.Linear(feat_dim, num_prototypes, bias=False)
        self.queues = nn.ModuleList(LabelledQueue(queue_size, feat_dim) for _ in range(NUM_ASSIGNED))
        self._remembered: list[Tensor] = []  # of the step under way
        self.set_epoch(0, 1)

    def set_epoch(self, epoch: int, max_epochs: int) -> str:  # noqa: ARG002 (the epochs are absolute)
        """Begin to fill the queue, or to train the prototypes, when it is time.

        Args:
            epoch (int): The epoch about to start, from 0.
            max_epochs (int): Number of epochs of the training. Unused.

        Returns:
            str: What the log says.
        """
        self._has_queue = epoch >= self.queue_from and self.queue_size > 0
        self._learns_prototypes = epoch >= self.prototypes_from
        learn = "learn" if self._learns_prototypes else "stay as they are"
        return f"prototypes {learn}, {'with a' if self._has_queue else 'no'} queue"

    @property
    def queue_size(self) -> int:
        """Embeddings of a view that are remembered."""
        return self.queue_of(0).size

    def queue_of(self, view: int) -> LabelledQueue:
        """Queue of one of the first two views.

        Args:
            view (int): 0 or 1.
        """
        return cast("LabelledQueue", self.queues[view])

    def forward(self, embeddings: Tensor) -> Tensor:
        """Compute the loss of a batch.

        Args:
            embeddings (Tensor): Unit rows of all views, one view after the other, shape ``(V * B, D)``.

        Returns:
            Tensor: Scalar loss in float32 (or float64, if the input is).

        Raises:
            UserInputError: If the rows are not those of ``num_views`` views.
        """
        if len(embeddings) % self.num_views:
            raise UserInputError(
                f"{len(embeddings)} embeddings are not those of num_views={self.num_views} views of each image; set it "
                "to the number of views of MultiView."
            )
        with torch.autocast(embeddings.device.type, enabled=False):
            views = embeddings.to(torch.promote_types(embeddings.dtype, torch.float32)).chunk(self.num_views)
            prototypes = self._unit_prototypes().to(views[0].dtype)
            scores = [F.linear(view, prototypes) for view in views]
            with torch.no_grad():
                # (2, B of all processes, D)
                assigned = torch.stack([gather_rows(view.detach()) for view in views[:NUM_ASSIGNED]])
                targets = [self._assign(place, view, prototypes) for place, view in enumerate(assigned)]
                self._remember(assigned)
            losses = [
                -(target * (score / self.temperature).log_softmax(dim=1)).sum(dim=1).mean()
                for place, target in enumerate(targets)
                for other, score in enumerate(scores)
                if other != place
            ]
            return torch.stack(losses).mean()

    def _unit_prototypes(self) -> Tensor:
        """The prototypes, ``(K, D)``: unit vectors, as the parameter itself is from here on."""
        weight = self.prototypes.weight
        if not self.repeats_batch:
            with torch.no_grad():
                weight.copy_(F.normalize(weight, dim=1))
        if not self._learns_prototypes:
            return weight * 0 + weight.detach()  # a gradient of 0, for which DistributedDataParallel waits
        return weight

    def _assign(self, place: int, view: Tensor, prototypes: Tensor) -> Tensor:
        """Assignments of this process's images, ``(B, K)``, by the embeddings of all, ``(B of all, D)``."""
        counted = None
        rows = view
        if self._has_queue:
            queue = self.queue_of(place)
            is_full = (queue.labels >= 0).all()
            rows = torch.cat([view, queue.features.to(view.dtype)])
            counted = torch.cat([is_full.new_ones(len(view)), is_full.expand(queue.size)])
        rank, world_size = rank_and_world_size()
        shares = sinkhorn_assignment(F.linear(rows, prototypes), self.epsilon, self.iterations, counted)[: len(view)]
        return shares.chunk(world_size)[rank]

    def _remember(self, assigned: Tensor) -> None:
        """Enqueue the embeddings of all processes, ``(2, B, D)``, once the optimiser step has all its batches."""
        if not self._has_queue:
            return
        if self.starts_step:
            self._remembered.clear()
        if not self.repeats_batch:
            self._remembered.append(assigned)
        if self.ends_step:
            for place, view in enumerate(torch.cat(self._remembered, dim=1)):
                self.queue_of(place).enqueue(
                    view, torch.zeros(len(view), dtype=torch.int64, device=view.device)
                )  # 0: in use
            self._remembered.clear()
