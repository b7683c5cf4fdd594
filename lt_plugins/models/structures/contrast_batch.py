"""Input of the contrastive losses: anchors and the candidates that each is compared with."""

from __future__ import annotations

from dataclasses import dataclass, replace
from functools import cached_property
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor

from lt_plugins.distributed import gather_rows, rank_and_world_size
from lt_plugins.errors import UserInputError
from lt_plugins.models.structures.labelled_queue import LabelledQueue
from lt_plugins.models.structures.plain_labels import Labels, as_labels


@dataclass(frozen=True)
class ContrastBatch:
    """Anchors, the candidates that each is compared with, and their class labels.

    A plain training loop builds it by :meth:`from_views` or, with keys of a momentum encoder, by :meth:`from_queries`.

    Args:
        anchors (Tensor): l2-normalised features that the loss is averaged over, shape ``(M, D)``.
        anchor_labels (Tensor): Class of each anchor, int64 ``(M,)``.
        candidates (Tensor): l2-normalised features to compare with (both views of the batch of all ranks, then the
            queue), shape ``(A, D)``.
        candidate_labels (Tensor): Class of each candidate, int64 ``(A,)``; -1 marks an unused slot of the queue.
        anchor_positions (Tensor | None): Where each anchor itself sits among the candidates, int64 ``(M,)``; None if it
            is not among them.
        other_view_positions (Tensor | None): Where the other view of the anchor's image sits among the candidates,
            int64 ``(M,)``. Only the losses that treat it apart need it.
        anchor_samples (Tensor | None): Index of each anchor's image in the training set, int64 ``(M,)``.
        candidate_samples (Tensor | None): Index of each candidate's image in the training set, int64 ``(A,)``.
        num_private (int): The first so many candidates are compared only with the anchor whose other view they are, as
            the keys of a batch in MoCo. Defaults to 0.
    """

    anchors: Tensor
    anchor_labels: Tensor
    candidates: Tensor
    candidate_labels: Tensor
    anchor_positions: Tensor | None
    other_view_positions: Tensor | None = None
    anchor_samples: Tensor | None = None
    candidate_samples: Tensor | None = None
    num_private: int = 0

    @classmethod
    def from_views(
        cls,
        view_1: Tensor,
        view_2: Tensor,
        labels: Labels,
        sample_idx: Tensor | None = None,
        queue: LabelledQueue | None = None,
    ) -> ContrastBatch:
        """Compare both views of each image with both views of all images, as SupCon and GPaCo do.

        Args:
            view_1 (Tensor): Projections of the first views, of any length, shape ``(B, D)``.
            view_2 (Tensor): Projections of the second views, shape ``(B, D)``.
            labels (Labels): Classes of the images, whole numbers ``(B,)``: a tensor, array or list.
            sample_idx (Tensor, optional): Indices of the images in the training set, int64 ``(B,)``; ``SBCLLoss`` needs
                them.
            queue (LabelledQueue, optional): Features of earlier batches, which are candidates too.

        Returns:
            ContrastBatch: ``2B`` anchors, first the ``B`` first views; the candidates are the first views of all
            processes, the second views, then the queue.

        Raises:
            UserInputError: If the shapes do not fit.

        Examples:
            >>> contrast = ContrastBatch.from_views(projector(net(view_1)), projector(net(view_2)), labels)
            >>> loss = SupConLoss()(contrast)
        """
        labels = as_labels(labels, view_1.device)
        views = _unit_rows(view_1, view_2, labels, sample_idx)
        return compare_views(views, labels, sample_idx, queue, num_anchor_views=2)

    @classmethod
    def from_queries(
        cls,
        queries: Tensor,
        keys: Tensor,
        labels: Labels,
        sample_idx: Tensor | None = None,
        queue: LabelledQueue | None = None,
        compare_batch: bool = True,
    ) -> ContrastBatch:
        """Compare the query of each image with keys of a momentum encoder and a queue, as MoCo and PaCo do.

        Args:
            queries (Tensor): Projections of the first views, of any length, shape ``(B, D)``.
            keys (Tensor): Projections of the second views by the momentum encoder, without gradient, shape ``(B, D)``.
            labels (Labels): Classes of the images, whole numbers ``(B,)``: a tensor, array or list.
            sample_idx (Tensor, optional): Indices of the images in the training set, int64 ``(B,)``; ``SBCLLoss`` needs
                them.
            queue (LabelledQueue, optional): Earlier keys, which are candidates too.
            compare_batch (bool): Whether a query is also compared with the other images of the batch, as in PaCo; if
                False, as in MoCo, with its own key and the queue only. Defaults to True.

        Returns:
            ContrastBatch: ``B`` anchors; the candidates are the queries (with ``compare_batch``) and keys, then the
            queue.

        Raises:
            UserInputError: If the shapes do not fit.
        """
        labels = as_labels(labels, queries.device)
        views = _unit_rows(queries, keys, labels, sample_idx)
        if compare_batch:
            return compare_views(views, labels, sample_idx, queue, num_anchor_views=1)
        return compare_with_queue(*views, labels, sample_idx, queue)

    def with_prototypes(self, prototypes: Tensor) -> ContrastBatch:
        """Compare each anchor with a prototype of each class too, which is a positive of the anchors of its class.

        Args:
            prototypes (Tensor): Unit rows, the same ones in each process, shape ``(C, D)``.

        Returns:
            ContrastBatch: The candidates are followed by the ``C`` prototypes, which have no image (index -1).
        """
        labels = torch.arange(len(prototypes), device=self.candidate_labels.device)
        samples = self.candidate_samples
        return replace(
            self,
            candidates=torch.cat([self.candidates, prototypes.to(self.candidates.dtype)]),
            candidate_labels=torch.cat([self.candidate_labels, labels]),
            candidate_samples=None if samples is None else torch.cat([samples, torch.full_like(labels, -1)]),
        )

    @cached_property
    def cosine(self) -> Tensor:
        """Cosine of each anchor with each candidate, shape ``(M, A)``; in float32 even under autocast."""
        with torch.autocast(self.anchors.device.type, enabled=False):
            dtype = torch.promote_types(self.anchors.dtype, torch.float32)
            return self.anchors.to(dtype) @ self.candidates.to(dtype).T

    @cached_property
    def valid(self) -> Tensor:
        """Which candidates an anchor is compared with: used slots other than itself; bool ``(M, A)``."""
        used = self.candidate_labels >= 0
        valid = torch.cat([torch.zeros_like(used[: self.num_private]), used[self.num_private :]])
        valid = valid.repeat(len(self.anchors), 1)
        rows = torch.arange(len(self.anchors), device=valid.device)
        if self.anchor_positions is not None:
            valid[rows, self.anchor_positions] = False
        if self.num_private:
            valid[rows, self._other_views()] = True
        return valid

    @cached_property
    def other_view(self) -> Tensor:
        """Which candidate is the other view of the anchor's image, bool ``(M, A)``."""
        return torch.zeros_like(self.valid).scatter_(1, self._other_views()[:, None], True)

    @cached_property
    def same_class(self) -> Tensor:
        """Valid candidates of the anchor's class (the positives), bool ``(M, A)``."""
        return self.valid & (self.anchor_labels[:, None] == self.candidate_labels[None, :])

    def _other_views(self) -> Tensor:
        if self.other_view_positions is None:
            raise ValueError(
                "this contrast does not say where the other view of each anchor is: set other_view_positions"
            )
        return self.other_view_positions


def compare_views(
    views: tuple[Tensor, Tensor],
    labels: Tensor,
    samples: Tensor | None,
    queue: LabelledQueue | None,
    num_anchor_views: int,
) -> ContrastBatch:
    """Gather two views of all processes, with gradient, and a queue into one contrast.

    Args:
        views (tuple[Tensor, Tensor]): Projections of this process, unit rows, each of shape ``(B, D)``.
        labels (Tensor): Classes of the images of this process, int64 ``(B,)``.
        samples (Tensor | None): Indices of these images in the training set, int64 ``(B,)``, if they are known.
        queue (LabelledQueue | None): Features of earlier batches.
        num_anchor_views (int): The first so many views are anchors.

    Returns:
        ContrastBatch: ``num_anchor_views * B`` anchors; the candidates are ordered view by view, then rank by rank,
        then the queue.
    """
    all_labels = gather_rows(labels)
    all_samples = None if samples is None else gather_rows(samples)
    first = torch.arange(len(labels), device=labels.device) + rank_and_world_size()[0] * len(labels)
    second = first + len(all_labels)
    return ContrastBatch(
        anchors=torch.cat(views[:num_anchor_views]),
        anchor_labels=labels.repeat(num_anchor_views),
        anchor_positions=torch.cat([first, second][:num_anchor_views]),
        other_view_positions=torch.cat([second, first][:num_anchor_views]),
        anchor_samples=None if samples is None else samples.repeat(num_anchor_views),
        **_candidates([gather_rows(view) for view in views], all_labels, all_samples, queue),
    )


def compare_with_queue(
    queries: Tensor, keys: Tensor, labels: Tensor, samples: Tensor | None, queue: LabelledQueue | None
) -> ContrastBatch:
    """Compare each query with its own key and a queue; nothing need be gathered.

    Args:
        queries (Tensor): Projections of the first views, unit rows, shape ``(B, D)``.
        keys (Tensor): Projections of the second views, unit rows, shape ``(B, D)``.
        labels (Tensor): Classes of the images, int64 ``(B,)``.
        samples (Tensor | None): Indices of the images in the training set, int64 ``(B,)``, if they are known.
        queue (LabelledQueue | None): Earlier keys.

    Returns:
        ContrastBatch: ``B`` anchors; the candidates are the keys, then the queue.
    """
    return ContrastBatch(
        anchors=queries,
        anchor_labels=labels,
        anchor_positions=None,
        other_view_positions=torch.arange(len(labels), device=labels.device),
        anchor_samples=samples,
        num_private=len(labels),
        **_candidates([keys], labels, samples, queue),
    )


def _unit_rows(first: Tensor, second: Tensor, labels: Tensor, sample_idx: Tensor | None) -> tuple[Tensor, Tensor]:
    """Both views with rows of length 1, after a check of all shapes."""
    size = first.shape[:1]
    shapes_of_images = [labels.shape, size if sample_idx is None else sample_idx.shape]
    if first.ndim != 2 or second.shape != first.shape or any(shape != size for shape in shapes_of_images):
        raise UserInputError(
            f"views of shape {tuple(first.shape)} and {tuple(second.shape)} with labels {tuple(labels.shape)}"
            f"{'' if sample_idx is None else f' and sample_idx {tuple(sample_idx.shape)}'} must be (B, D) twice, with "
            "one label (and index) an image."
        )
    return F.normalize(first, dim=1), F.normalize(second, dim=1)


def _candidates(
    views: list[Tensor], labels: Tensor, samples: Tensor | None, queue: LabelledQueue | None
) -> dict[str, Any]:
    """Features, labels and samples of the views of the same images, then of the queue."""
    features, labels = torch.cat(views), labels.repeat(len(views))
    samples = None if samples is None else samples.repeat(len(views))
    if queue is not None:
        # The queue is read before this batch enters it, and cloned because enqueue writes in place before backward.
        features = torch.cat([features, queue.features.clone().to(features.dtype)])
        labels = torch.cat([labels, queue.labels])
        samples = None if samples is None else torch.cat([samples, queue.samples])
    return {"candidates": features, "candidate_labels": labels, "candidate_samples": samples}
