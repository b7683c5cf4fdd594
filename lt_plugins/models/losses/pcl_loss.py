"""Contrast of images with each other and with prototypes at several granularities."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, ClassVar

import numpy as np
import torch
from torch import Tensor, nn

from lt_plugins.clustering import Prototypes
from lt_plugins.errors import UserInputError
from lt_plugins.models.losses.supcon_loss import supcon_loss
from lt_plugins.models.structures import ContrastBatch, DataSizedModule, StatesCall, StepDraws
from lt_plugins.registry import MODELS


def proto_nce(
    anchors: Tensor, assignment: Tensor, centroids: Tensor, phi: Tensor, drawn: Tensor | None = None
) -> Tensor:
    r"""ProtoNCE of each anchor, of one granularity.

    .. math::
        L_i = -\log \frac{e^{v_i^\top c_s / \phi_s}}
                         {e^{v_i^\top c_s / \phi_s} + \sum_{j \in R \setminus s} e^{v_i^\top c_j / \phi_j}}

    Args:
        anchors (Tensor): Unit rows ``v``, shape ``(M, D)``.
        assignment (Tensor): Cluster ``s`` of each anchor, int64 ``(M,)``.
        centroids (Tensor): Unit rows ``c``, shape ``(K, D)``.
        phi (Tensor): Temperature of each cluster, shape ``(K,)``.
        drawn (Tensor, optional): Clusters ``R`` that are compared, each once, int64 ``(R,)``. Defaults to all.

    Returns:
        Tensor: Loss of each anchor, shape ``(M,)``; in float32 even under autocast.
    """
    with torch.autocast(anchors.device.type, enabled=False):
        dtype = torch.promote_types(anchors.dtype, torch.float32)
        anchors, centroids, phi = anchors.to(dtype), centroids.to(dtype), phi.to(dtype)
        own = (anchors * centroids[assignment]).sum(dim=1, keepdim=True) / phi[assignment][:, None]
        if drawn is None:
            drawn = torch.arange(len(centroids), device=centroids.device)
        else:
            centroids, phi = centroids[drawn], phi[drawn]
        others = (anchors @ centroids.T / phi).masked_fill(drawn == assignment[:, None], -torch.inf)
        return torch.cat([own, others], dim=1).logsumexp(dim=1) - own[:, 0]


class PrototypeSet(DataSizedModule):
    """Prototypes of one granularity, as buffers: clusters of the images, their centroids and temperatures."""

    assignment: Tensor
    centroids: Tensor
    phi: Tensor
    sized_by_data = ("assignment", "centroids", "phi")

    def __init__(self) -> None:
        super().__init__()
        self.register_buffer("assignment", torch.zeros(0, dtype=torch.int64))
        self.register_buffer("centroids", torch.zeros(0, 0))
        self.register_buffer("phi", torch.zeros(0, dtype=torch.float64))


@MODELS.register_module()
class PCLLoss(StatesCall, StepDraws):
    r"""Prototypical contrastive loss: InfoNCE, and beside it ProtoNCE averaged over several granularities.

    InfoNCE compares an image with its other view and all other candidates, ProtoNCE with the prototype of its cluster
    and other prototypes, each at the temperature ``phi`` of its cluster (:func:`proto_nce`). No label is read.
    ``ReclusterHook`` writes clusters, centroids and ``phi`` of each granularity into buffers, which are empty before
    that, and are saved in the checkpoint. Until then, in the warm-up, the loss is InfoNCE alone.

    The prototypes that are compared, without an image's own, are drawn anew in each step, the same ones for all images
    of it. The released code compares also with the prototypes of the other images of the batch, once for each image.

    Source: Li et al., "Prototypical Contrastive Learning of Unsupervised Representations" (ICLR 2021), Eq. 11; the
    defaults are those of the released code on ImageNet.

    Args:
        temperature (float): Temperature ``T`` of InfoNCE, and mean of the ``phi``. Defaults to 0.2.
        num_clusters (Sequence[int]): Number of clusters of each granularity. Defaults to (25000, 50000, 100000).
        num_negatives (int): Prototypes drawn in a step, of each granularity; all where there are fewer. Defaults to
            16384.
        per_images (int): The training set that these numbers are for, in images; on another one, of ``N`` images, they
            are ``N / per_images`` times as large. Defaults to 1281167, ImageNet.

    Raises:
        UserInputError: If a number is out of range or there is no granularity.

    Examples:
        >>> head = dict(type='SupConHead', num_classes=1000, in_channels=2048,
        ...             loss=dict(type='PCLLoss', num_clusters=(2500, 5000, 10000), num_negatives=1638,
        ...                       per_images=115846))
        >>> loss = PCLLoss(num_clusters=(4, 8), num_negatives=8, per_images=len(features))
        >>> loss.set_prototypes([prototypes(features, number) for number in loss.cluster_counts(len(features))])
        >>> value = loss(ContrastBatch.from_queries(queries, keys, labels, sample_idx, queue, compare_batch=False))
    """

    call = "loss(ContrastBatch.from_queries(queries, keys, labels, sample_idx, queue))"

    needs_hook: ClassVar[dict[str, Any]] = {"type": "ReclusterHook", "task": {"type": "PrototypeClustering"}}
    granularities: Sequence[PrototypeSet]

    def __init__(
        self,
        temperature: float = 0.2,
        num_clusters: Sequence[int] = (25000, 50000, 100000),
        num_negatives: int = 16384,
        per_images: int = 1281167,
    ) -> None:
        super().__init__()
        if temperature <= 0 or min(num_negatives, per_images) <= 0:
            raise UserInputError(
                f"temperature={temperature}, num_negatives={num_negatives} and per_images={per_images} must be "
                "positive."
            )
        if not num_clusters or min(num_clusters) < 2:
            raise UserInputError(
                f"num_clusters={num_clusters!r} must list a number of clusters from 2 on for each granularity, like "
                "(2500, 5000, 10000)."
            )
        self.temperature = temperature
        self.num_clusters = tuple(num_clusters)
        self.num_negatives = num_negatives
        self.per_images = per_images
        self.granularities = nn.ModuleList(PrototypeSet() for _ in num_clusters)  # type: ignore[assignment]

    @property
    def is_ready(self) -> bool:
        """Whether a clustering has set the prototypes."""
        return len(self.granularities[0].assignment) > 0

    def cluster_counts(self, num_images: int) -> list[int]:
        """Number of clusters of each granularity, from 2 to ``N``.

        Args:
            num_images (int): Size of the training set ``N``.
        """
        scaled = (round(number * num_images / self.per_images) for number in self.num_clusters)
        return [min(max(number, 2), num_images) for number in scaled]

    def set_prototypes(self, found: Sequence[Prototypes]) -> None:
        """Take over a clustering.

        Args:
            found (Sequence[Prototypes]): Those of each granularity, as :func:`lt_plugins.clustering.prototypes` finds
                them for all training images.
        """
        for granularity, one in zip(self.granularities, found, strict=True):
            for name in granularity.sized_by_data:
                granularity.resize_and_copy(name, getattr(one, name))

    def draw_prototypes(self) -> list[Tensor | None]:
        """Draw the prototypes that are compared in this step, uniformly and without replacement.

        Returns:
            list[Tensor | None]: Those of each granularity, int64 ``(R,)``; None for all of them.
        """
        sizes = [len(one.phi) for one in self.granularities]
        num_images = len(self.granularities[0].assignment)
        wanted = max(round(self.num_negatives * num_images / self.per_images), 1)

        def make(generator: np.random.Generator) -> list[Tensor | None]:
            return [
                torch.from_numpy(generator.choice(size, wanted, replace=False)) if wanted < size else None
                for size in sizes
            ]

        device = self.granularities[0].phi.device
        return [None if one is None else one.to(device, non_blocking=True) for one in self.draw(make)]

    def forward(self, contrast: ContrastBatch, drawn: Sequence[Tensor | None] | None = None) -> Tensor:
        """Compute the mean loss over the anchors.

        Args:
            contrast (ContrastBatch): Anchors and candidates, with ``other_view_positions`` and the indices of the
                images of the anchors.
            drawn (Sequence[Tensor | None], optional): The prototypes that are compared, as :meth:`draw_prototypes`
                gives them. Defaults to a new draw.

        Returns:
            Tensor: Scalar loss in float32 (or float64, if the input is).

        Raises:
            UserInputError: If the contrast does not know its images.
        """
        info_nce = supcon_loss(contrast, contrast.other_view, self.temperature).mean()
        if not self.is_ready:
            return info_nce
        if contrast.anchor_samples is None:
            raise UserInputError(
                "PCLLoss looks prototypes up by the index of an image, and the contrast lacks anchor_samples; keep "
                "'sample_idx' in the meta_keys of PackInputs, or give it to from_queries()."
            )
        drawn = self.draw_prototypes() if drawn is None else drawn
        terms = [
            proto_nce(contrast.anchors, one.assignment[contrast.anchor_samples], one.centroids, one.phi, drawn).mean()
            for one, drawn in zip(self.granularities, drawn, strict=True)
        ]
        return info_nce + torch.stack(terms).mean()
