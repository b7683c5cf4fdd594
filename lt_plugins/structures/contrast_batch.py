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
        anchor_positions (Tensor): Where each anchor itself sits among the candidates, int64 ``(M,)``.
    """

    anchors: Tensor
    anchor_labels: Tensor
    candidates: Tensor
    candidate_labels: Tensor
    anchor_positions: Tensor

    @cached_property
    def cosine(self) -> Tensor:
        """Cosine of each anchor with each candidate, shape ``(M, A)``; in float32 even under autocast."""
        with torch.autocast(self.anchors.device.type, enabled=False):
            dtype = torch.promote_types(self.anchors.dtype, torch.float32)
            return self.anchors.to(dtype) @ self.candidates.to(dtype).T

    @cached_property
    def valid(self) -> Tensor:
        """Which candidates an anchor is compared with: used places other than itself; bool ``(M, A)``."""
        valid = (self.candidate_labels >= 0).repeat(len(self.anchors), 1)
        valid[torch.arange(len(self.anchors), device=valid.device), self.anchor_positions] = False
        return valid

    @cached_property
    def same_class(self) -> Tensor:
        """Valid candidates of the anchor's class (the positives), bool ``(M, A)``."""
        return self.valid & (self.anchor_labels[:, None] == self.candidate_labels[None, :])
