"""How close images are to their own subclass, and how close to their own class."""

from __future__ import annotations

from typing import NamedTuple

import torch
from torch import Tensor


class SubclassDistances(NamedTuple):
    """Mean distances of ``M`` images to the members of two sets that they belong to themselves.

    Args:
        samples (Tensor): The images, int64 ``(M,)``, ascending within each class.
        to_class (Tensor): Distance of each to the drawn images of its class, ``(M,)``.
        to_subclass (Tensor): Distance of each to its subclass, ``(M,)``.
        class_size (Tensor): Images that were drawn of its class, itself included, int64 ``(M,)``.
        subclass_size (Tensor): Images of its subclass, itself included, int64 ``(M,)``.
    """

    samples: Tensor
    to_class: Tensor
    to_subclass: Tensor
    class_size: Tensor
    subclass_size: Tensor

    def without_self(self) -> SubclassDistances:
        """The mean distances to the *other* members, which do not depend on the size of a set; NaN if there are none.

        A set of ``n`` images that are all ``d`` apart has the distance ``d (n - 1) / n`` with the image itself, and
        ``d`` without.
        """
        return self._replace(
            to_class=self.to_class * self.class_size / (self.class_size - 1),
            to_subclass=self.to_subclass * self.subclass_size / (self.subclass_size - 1),
        )


def tail_sizes(counts: Tensor, few: Tensor) -> Tensor:
    """How many images to draw of each class so that all are about as large as a few-shot class.

    Args:
        counts (Tensor): Training images of each class, int64 ``(C,)``.
        few (Tensor): Few-shot classes, bool ``(C,)``.

    Returns:
        Tensor: int64 ``(C,)``. A few-shot class is taken whole; of the others the median size of the few-shot classes
            is drawn, or, without a few-shot class, the size of the smallest class. At least 2, since an image is no
            distance from itself.
    """
    present = counts > 0
    tail = counts[few & present]
    size = int(tail.median()) if len(tail) else int(counts[present].min())
    return torch.where(few, counts, counts.clamp(max=max(size, 2)))


def subclass_distances(
    features: Tensor, labels: Tensor, subclass: Tensor, num_drawn: Tensor, seed: int = 0
) -> SubclassDistances:
    r"""Distances of images to their own subclass and to as small a sample of their own class.

    A set :math:`S` is at the distance :math:`D(z_i, S) = \frac{1}{|S|} \sum_{z_j \in S} \lVert z_i - z_j \rVert_2` from
    an image :math:`i`. Of each class some images are drawn; for each of these, :math:`S` is once all that were drawn of
    its class and once its whole subclass. Both hold the image itself, at distance 0, which makes a smaller set seem
    closer; so both should be about equally large (:func:`tail_sizes`).

    Source: Hou et al., "Subclass-balancing Contrastive Learning for Long-tailed Recognition" (ICCV 2023), Fig. 2.

    Args:
        features (Tensor): As a rule unit projections, shape ``(N, D)``.
        labels (Tensor): Class of each image, int64 ``(N,)``.
        subclass (Tensor): Subclass of each image, int64 ``(N,)``; a subclass has images of one class only.
        num_drawn (Tensor): How many images to draw of each class, int64 ``(C,)``; all if it has fewer.
        seed (int): Seed of the draw. Defaults to 0.

    Returns:
        SubclassDistances: The distances, on the device of the features.
    """
    generator = torch.Generator().manual_seed(seed)
    parts = []
    members_of = labels.argsort(stable=True).split(labels.bincount().tolist())
    for members, number in zip(members_of, num_drawn.tolist(), strict=False):  # the last classes may have no image
        drawn = torch.randperm(len(members), generator=generator)[:number].sort().values.to(members.device)
        # Not by matrix products, whose rounding errors put an image at a distance from itself.
        distances = torch.cdist(
            features[members[drawn]], features[members], compute_mode="donot_use_mm_for_euclid_dist"
        )
        siblings = subclass[members[drawn]][:, None] == subclass[members]
        subclass_size = siblings.sum(dim=1)
        parts.append(
            SubclassDistances(
                samples=members[drawn],
                to_class=distances[:, drawn].mean(dim=1),
                to_subclass=(distances * siblings).sum(dim=1) / subclass_size,
                class_size=torch.full_like(subclass_size, len(drawn)),
                subclass_size=subclass_size,
            )
        )
    return SubclassDistances(*(torch.cat(column) for column in zip(*parts, strict=True)))
