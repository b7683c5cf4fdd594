"""Affine classifier: what every post-hoc method takes and gives."""

from __future__ import annotations

from typing import NamedTuple

import torch
import torch.nn.functional as F
from torch import Tensor

from lt_plugins.errors import UserInputError


class AffineClassifier(NamedTuple):
    r"""Logits that are affine in a feature, :math:`z = W x + b`; a pair ``(weight, bias)``.

    A head with a scale for each class or on normalised features is one too: :math:`W = s \odot W'` and :math:`b = s
    \odot b'`, or :math:`W = s \hat W` on :math:`\hat x`.

    Args:
        weight (Tensor): :math:`W`, shape ``(C, D)``.
        bias (Tensor): :math:`b`, shape ``(C,)``.
    """

    weight: Tensor
    bias: Tensor

    def logits(self, features: Tensor) -> Tensor:
        """Logits of features.

        Args:
            features (Tensor): Shape ``(N, D)``.

        Returns:
            Tensor: Shape ``(N, C)``.
        """
        return F.linear(features, self.weight, self.bias)


def normalize_features(features: Tensor, centre: Tensor | None = None) -> Tensor:
    r"""Bring features to unit length, after subtracting a common centre (cl2n): :math:`(x - m) / \lVert x - m\rVert`.

    Args:
        features (Tensor): Shape ``(N, D)``.
        centre (Tensor, optional): :math:`m`, shape ``(D,)``. Defaults to the origin.

    Returns:
        Tensor: Shape ``(N, D)``; a feature at the centre stays zero.
    """
    return F.normalize(features if centre is None else features - centre, dim=1)


def check_sizes(classifier: AffineClassifier, **by_class: Tensor) -> None:
    """Refuse values by class that are not as many as the classifier has classes.

    Args:
        classifier (AffineClassifier): The classifier.
        **by_class (Tensor): Values by name, each of shape ``(C,)``.

    Raises:
        UserInputError: If one has another shape, or the weights and biases do not fit each other.
    """
    num_classes = len(classifier.weight)
    for name, values in {"bias": classifier.bias, **by_class}.items():
        if torch.as_tensor(values).shape != (num_classes,):
            raise UserInputError(
                f"{name} of shape {tuple(torch.as_tensor(values).shape)} does not fit weights of {num_classes} "
                f"classes; expected ({num_classes},)."
            )
