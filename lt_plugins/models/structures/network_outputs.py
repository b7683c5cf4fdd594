"""What a network gives for a batch, as one network passes it to another."""

from __future__ import annotations

from typing import NamedTuple

from torch import Tensor


class NetworkOutputs(NamedTuple):
    """Outputs of a classifier for ``B`` images.

    Args:
        features (Tensor): What its classifier reads, shape ``(B, D)``; of ``K`` experts side by side, ``(B, K * D)``.
        logits (Tensor): Shape ``(B, C)``; of ``K`` experts ``(B, K, C)``.
    """

    features: Tensor
    logits: Tensor

    @property
    def mean_logits(self) -> Tensor:
        """Logits of the prediction, shape ``(B, C)``: the mean over the experts, if there are several."""
        return self.logits.mean(dim=1) if self.logits.ndim == 3 else self.logits
