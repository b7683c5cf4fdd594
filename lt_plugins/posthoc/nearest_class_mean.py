"""Nearest-class-mean classifier (NCM)."""

from __future__ import annotations

import torch
from torch import Tensor

from lt_plugins.clustering import class_means, class_sums
from lt_plugins.errors import UserInputError
from lt_plugins.posthoc.affine_classifier import AffineClassifier

NEVER = float(torch.finfo(torch.float16).min)
"""Logit of a class that has no mean; finite in half precision too."""


def nearest_class_mean(features: Tensor, labels: Tensor, num_classes: int) -> AffineClassifier:
    r"""Classify by the nearest mean feature of a class: :math:`w_c = \mu_c`, :math:`b_c = -\lVert \mu_c\rVert^2 / 2`.

    That is :math:`\arg\min_c \lVert x - \mu_c\rVert`, since :math:`\lVert x\rVert^2` is the same for all classes. Means
    are summed in float64 and keep their length. On features that :func:`.normalize_features` has centred by the mean of
    the training set it is the released "cl2n". Source: Kang et al., "Decoupling Representation and Classifier for
    Long-Tailed Recognition" (ICLR 2020), section 4.1.

    Args:
        features (Tensor): Features of the training images without augmentation, shape ``(N, D)``.
        labels (Tensor): Their classes, int64 ``(N,)``.
        num_classes (int): Number of classes ``C``. One without images is never the nearest.

    Returns:
        AffineClassifier: In the type of the features.

    Raises:
        UserInputError: If there are not as many labels as features, or a label is not in ``[0, C)``.
    """
    if features.ndim != 2 or labels.shape != features.shape[:1]:
        raise UserInputError(
            f"features {tuple(features.shape)} and labels {tuple(labels.shape)} must be (N, D) and (N,)."
        )
    if len(labels) and not 0 <= int(labels.min()) <= int(labels.max()) < num_classes:
        raise UserInputError(f"labels {int(labels.min())}..{int(labels.max())} must be in 0..{num_classes - 1}.")
    means, counts = class_means(class_sums(features.double(), labels, num_classes))
    bias = torch.where(counts > 0, -means.square().sum(dim=1) / 2, NEVER)
    return AffineClassifier(means.to(features), bias.to(features))
