"""Linear classifier of the classes that have training images."""

from __future__ import annotations

from typing import Any

from torch import Tensor

from lt_plugins.models.heads.linear_head import LinearHead
from lt_plugins.models.structures import ClassDistribution
from lt_plugins.registry import MODELS

ABSENT = -1e4
"""What the logit of an absent class is lowered by: its probability is exactly 0, also where logits are float16."""


@MODELS.register_module()
class ClassSubsetHead(LinearHead):
    """Linear head of an expert: a softmax over the classes that its training set has, of those of the whole dataset.

    Its logits, losses and predictions on its own classes are exactly those of a :class:`.LinearHead` with these classes
    alone: absent ones have probability 0 and their weights no gradient. Labels and the number of classes stay those of
    the whole dataset, see :class:`.ClassSubset`.

    Args:
        num_classes (int): Number of classes ``C`` of the whole dataset.
        in_channels (int): Length of the pooled feature.
        **kwargs: As for :class:`.LinearHead`.

    Attributes:
        class_distribution (ClassDistribution): Images of each class in the training set of this expert.

    Examples:
        >>> head = dict(type='ClassSubsetHead', num_classes=100, in_channels=64)
    """

    def __init__(self, num_classes: int, in_channels: int, **kwargs: Any) -> None:
        super().__init__(num_classes, in_channels, **kwargs)
        self.class_distribution = ClassDistribution(num_classes)

    def own_classes(self) -> Tensor:
        """Labels of the classes that have training images, ascending, int64 ``(K,)``.

        Raises:
            UserInputError: If the class counts are unknown.
        """
        return self.class_distribution.priors.nonzero().flatten()

    def classify(self, features: Tensor) -> Tensor:
        """Compute the logits of the trained classifier.

        Args:
            features (Tensor): What :meth:`pre_logits` gives, shape ``(B, D)``.

        Returns:
            Tensor: Logits ``(B, C)``.

        Raises:
            UserInputError: If the class counts are unknown.
        """
        logits = super().classify(features)
        return logits + self._lowered(logits)

    def affine(self) -> tuple[Tensor, Tensor]:
        """Weights ``(C, D)`` and biases ``(C,)`` of the linear layer, those of absent classes lowered."""
        weight, bias = super().affine()
        return weight, bias + self._lowered(bias)

    def _lowered(self, like: Tensor) -> Tensor:
        """What is added to the logits, shape ``(C,)``."""
        absent = self.class_distribution.priors == 0
        return like.new_zeros(len(absent)).masked_fill_(absent, ABSENT)
