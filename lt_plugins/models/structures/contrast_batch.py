"""What a contrastive loss compares: anchors against candidates."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property

import torch
from torch import Tensor


@dataclass(frozen=True)
class ContrastBatch:
    """Anchors, the candidates that each is compared with, and their class labels.

    Args:
        anchors (Tensor): l2-normalised features that the loss is averaged over, shape ``(M, D)``.
        anchor_labels (Tensor): Class of each anchor, int64 ``(M,)``.
        candidates (Tensor): l2-normalised features to compare with (both views of the batch of all ranks, then the
            queue), shape ``(A, D)``.
        candidate_labels (Tensor): Class of each candidate, int64 ``(A,)``; -1 marks an unused place of the queue.
        anchor_positions (Tensor | None): Where each anchor itself sits among the candidates, int64 ``(M,)``; None if it
            is not among them.
        sibling_positions (Tensor | None): Where the other view of the anchor's image sits among the candidates, int64
            ``(M,)``. Only the losses that treat it apart need it.
        anchor_samples (Tensor | None): Index of each anchor's image in the training set, int64 ``(M,)``.
        candidate_samples (Tensor | None): Index of each candidate's image in the training set, int64 ``(A,)``.
        num_private (int): The first so many candidates are compared only with the anchor whose sibling they are, as the
            keys of a batch in MoCo. Defaults to 0.
    """

    anchors: Tensor
    anchor_labels: Tensor
    candidates: Tensor
    candidate_labels: Tensor
    anchor_positions: Tensor | None
    sibling_positions: Tensor | None = None
    anchor_samples: Tensor | None = None
    candidate_samples: Tensor | None = None
    num_private: int = 0

    @cached_property
    def cosine(self) -> Tensor:
        """Cosine of each anchor with each candidate, shape ``(M, A)``; in float32 even under autocast."""
        with torch.autocast(self.anchors.device.type, enabled=False):
            dtype = torch.promote_types(self.anchors.dtype, torch.float32)
            return self.anchors.to(dtype) @ self.candidates.to(dtype).T

    @cached_property
    def valid(self) -> Tensor:
        """Which candidates an anchor is compared with: used places other than itself; bool ``(M, A)``."""
        used = self.candidate_labels >= 0
        valid = torch.cat([torch.zeros_like(used[: self.num_private]), used[self.num_private :]])
        valid = valid.repeat(len(self.anchors), 1)
        rows = torch.arange(len(self.anchors), device=valid.device)
        if self.anchor_positions is not None:
            valid[rows, self.anchor_positions] = False
        if self.num_private:
            valid[rows, self._siblings()] = True
        return valid

    @cached_property
    def sibling(self) -> Tensor:
        """Which candidate is the other view of the anchor's image, bool ``(M, A)``."""
        return torch.zeros_like(self.valid).scatter_(1, self._siblings()[:, None], True)

    @cached_property
    def same_class(self) -> Tensor:
        """Valid candidates of the anchor's class (the positives), bool ``(M, A)``."""
        return self.valid & (self.anchor_labels[:, None] == self.candidate_labels[None, :])

    def _siblings(self) -> Tensor:
        if self.sibling_positions is None:
            raise ValueError("this contrast does not say where the other view of each anchor is: set sibling_positions")
        return self.sibling_positions
