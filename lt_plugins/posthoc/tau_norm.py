"""Tau-normalised classifier."""

from __future__ import annotations

import torch

from lt_plugins.posthoc.affine_classifier import AffineClassifier


def tau_norm(classifier: AffineClassifier, tau: float = 1.0) -> AffineClassifier:
    r"""Divide the weights of each class by a power of their length, without bias: :math:`w_c / \lVert w_c\rVert^\tau`.

    Weights of frequent classes are longer; ``tau=1`` makes all equally long, ``tau=0`` only drops the bias, as the
    released code does. A class without weights keeps none. Source: Kang et al., "Decoupling Representation and
    Classifier for Long-Tailed Recognition" (ICLR 2020), Eq. 3.

    Args:
        classifier (AffineClassifier): The classifier.
        tau (float): Power :math:`\tau`. Defaults to 1.0.
    """
    length = classifier.weight.norm(dim=1, keepdim=True)
    weight = torch.where(length > 0, classifier.weight / length.clamp(min=1e-12) ** tau, 0.0)
    return AffineClassifier(weight, torch.zeros_like(classifier.bias))
