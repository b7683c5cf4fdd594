"""AutoAugment and RandAugment: which operations an image takes."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import zip_longest

from torch import Tensor

from lt_plugins.augmentation.batched_transform import BatchedTransform
from lt_plugins.augmentation.draws import Draws
from lt_plugins.augmentation.random_operations import ChosenTransforms


class AutoAugment:
    """Applies to each image the transforms of one sub-policy, all sub-policies equally likely.

    Source: Cubuk et al., "AutoAugment: Learning Augmentation Policies from Data" (arXiv:1805.09501).

    Args:
        policies (Sequence[Sequence[BatchedTransform]]): The sub-policies, each with its transforms in order.
    """

    def __init__(self, policies: Sequence[Sequence[BatchedTransform]]) -> None:
        self.num_policies = len(policies)
        self.steps = [ChosenTransforms(step) for step in zip_longest(*policies)]

    def __call__(self, images: Tensor, draws: Draws) -> Tensor:
        """Augment a batch.

        Args:
            images (Tensor): BGR, uint8 ``(B, 3, H, W)``.
            draws (Draws): Random numbers of each image.

        Returns:
            Tensor: Same shape.
        """
        chosen = draws.integers(0, self.num_policies)
        for step in self.steps:
            images = step(images, draws.fork(), chosen)
        return images


class RandAugment:
    """Applies to each image some of the transforms, drawn with replacement.

    Source: Cubuk et al., "RandAugment: Practical Automated Data Augmentation with a Reduced Search Space"
    (arXiv:1909.13719).

    Args:
        transforms (Sequence[BatchedTransform]): What is drawn from, all equally likely.
        num_policies (int): How many an image takes.
    """

    def __init__(self, transforms: Sequence[BatchedTransform], num_policies: int) -> None:
        self.num_transforms = len(transforms)
        self.num_policies = num_policies
        self.step = ChosenTransforms(transforms)

    def __call__(self, images: Tensor, draws: Draws) -> Tensor:
        """Augment a batch.

        Args:
            images (Tensor): BGR, uint8 ``(B, 3, H, W)``.
            draws (Draws): Random numbers of each image.

        Returns:
            Tensor: Same shape.
        """
        for _ in range(self.num_policies):
            images = self.step(images, draws.fork(), draws.integers(0, self.num_transforms))
        return images
