"""How large the subclasses are."""

from __future__ import annotations

from typing import NamedTuple

import torch
from torch import Tensor

from lt_plugins.errors import UserInputError


class SubclassSizes(NamedTuple):
    """Sizes of the ``S`` subclasses that have images.

    Args:
        sizes (Tensor): Images of each, int64 ``(S,)``.
        labels (Tensor): Class of each, int64 ``(S,)``.
        num_parts (Tensor): Subclasses of each class, int64 ``(C,)``; 0 for a class without images.
    """

    sizes: Tensor
    labels: Tensor
    num_parts: Tensor

    @property
    def is_part(self) -> Tensor:
        """Subclasses that are a part of their class, and not the whole class, bool ``(S,)``."""
        return self.num_parts[self.labels] > 1


def subclass_sizes(subclass: Tensor, labels: Tensor, num_classes: int) -> SubclassSizes:
    """Count the images of each subclass.

    Args:
        subclass (Tensor): Subclass of each image, int64 ``(N,)``.
        labels (Tensor): Class of each image, int64 ``(N,)``.
        num_classes (int): Number of classes ``C``.

    Raises:
        UserInputError: If there is not one subclass for each image, or a subclass has images of several classes.
    """
    if len(subclass) != len(labels):
        raise UserInputError(
            f"there are subclasses for {len(subclass)} images, but {len(labels)} training images; use the training "
            "data (and the seed of its selection) with which the subclasses were found."
        )
    found, part, sizes = subclass.unique(return_inverse=True, return_counts=True)
    owner = labels.new_zeros(len(found)).scatter_(0, part, labels)
    if bool((owner[part] != labels).any()):
        raise UserInputError(
            f"subclass {int(subclass[owner[part] != labels][0])} has images of several classes, so the training images "
            "are others, or in another order, than those whose subclasses were found; use the same training data."
        )
    return SubclassSizes(sizes, owner, torch.bincount(owner, minlength=num_classes))
