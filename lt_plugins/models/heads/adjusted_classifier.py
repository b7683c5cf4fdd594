"""Classifier that was put in place of a trained one."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor, nn


class AdjustedClassifier(nn.Module):
    r"""Affine classifier of a post-hoc method, as buffers: :math:`z = W \phi(x) + b`.

    :math:`\phi(x)` is the feature itself or, with a centre :math:`m`, its direction from there, :math:`(x - m) / \lVert
    x - m \rVert`, as NCM and cosine classifiers need it.

    Args:
        weight (Tensor): :math:`W`, shape ``(C, D)``.
        bias (Tensor): :math:`b`, shape ``(C,)``.
        centre (Tensor, optional): :math:`m`, shape ``(D,)``, zeros for directions from the origin. Defaults to None:
            features are taken as they are.
    """

    weight: Tensor
    bias: Tensor
    centre: Tensor | None

    def __init__(self, weight: Tensor, bias: Tensor, centre: Tensor | None = None) -> None:
        super().__init__()
        self.register_buffer("weight", weight)
        self.register_buffer("bias", bias)
        self.register_buffer("centre", centre)

    def forward(self, features: Tensor) -> Tensor:
        """Compute the logits, in float32 also under autocast: priors of thousands of classes need the digits.

        Args:
            features (Tensor): Shape ``(B, D)``.

        Returns:
            Tensor: Shape ``(B, C)``.
        """
        with torch.autocast(features.device.type, enabled=False):
            features = features.to(self.weight.dtype)
            if self.centre is not None:
                features = F.normalize(features - self.centre, dim=1)
            return F.linear(features, self.weight, self.bias)
