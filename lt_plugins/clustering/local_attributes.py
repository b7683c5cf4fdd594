"""From clusters of local features to attributes of classes."""

from __future__ import annotations

import torch
from torch import Tensor

from lt_plugins.errors import UserInputError


def class_balanced_sample(labels: Tensor, num_samples: int, seed: int) -> Tensor:
    """Draw samples so that no class has more than another unless the other has run out.

    Otherwise the head classes would own the codebook. Every class gets the same quota; what small classes cannot fill
    goes to the larger ones.

    Args:
        labels (Tensor): Class of each sample, int64 ``(N,)``.
        num_samples (int): How many to draw; all if there are fewer.
        seed (int): Seed of the draw.

    Returns:
        Tensor: Sorted indices, int64 ``(min(N, num_samples),)``.

    Raises:
        UserInputError: If ``num_samples`` is not positive.
    """
    if num_samples <= 0:
        raise UserInputError(f"num_samples={num_samples} must be positive.")
    generator = torch.Generator().manual_seed(seed)
    order = torch.randperm(len(labels), generator=generator)
    classes = labels.cpu()[order]
    grouped = classes.argsort(stable=True)
    counts = torch.bincount(classes)
    # The r-th image of each class in the random order has rank r; taking images by rank fills all classes evenly. The
    # stable sort takes the classes of the last, incomplete rank in the random order, not by number.
    rank = torch.empty_like(order)
    rank[grouped] = torch.arange(len(order)) - (counts.cumsum(0) - counts)[classes[grouped]]
    return order[rank.argsort(stable=True)[:num_samples]].sort().values


def match_prototypes(new: Tensor, old: Tensor) -> Tensor:
    """Order new prototypes so that each sits where its most similar old one sat.

    A re-clustering numbers its clusters anew; matched, attribute ``k`` keeps its meaning in logs and pictures.
    Maximises the sum of cosines (Hungarian method).

    Args:
        new (Tensor): Unit rows, shape ``(K, D)``.
        old (Tensor): Unit rows, shape ``(K, D)``.

    Returns:
        Tensor: Permutation, int64 ``(K,)``: ``new[permutation]`` is in the order of ``old``.
    """
    from scipy.optimize import linear_sum_assignment  # half a second of imports

    similarity = (old.double() @ new.double().T).cpu().numpy()
    _, permutation = linear_sum_assignment(similarity, maximize=True)
    return torch.from_numpy(permutation).to(new.device)


class ClassAttributeTable:
    """Running mean of the attribute scores of the images of each class, in float64 on the CPU.

    Args:
        num_classes (int): Number of classes ``C``.
        num_attributes (int): Number of attributes ``K``.
    """

    def __init__(self, num_classes: int, num_attributes: int) -> None:
        self.sums = torch.zeros(num_classes, num_attributes, dtype=torch.float64)
        self.counts = torch.zeros(num_classes, dtype=torch.float64)

    def update(self, scores: Tensor, labels: Tensor) -> None:
        """Add images.

        Args:
            scores (Tensor): Attribute scores of each image, shape ``(B, K)``.
            labels (Tensor): Their classes, int64 ``(B,)``.
        """
        labels = labels.cpu()
        self.sums.index_add_(0, labels, scores.cpu().double())
        self.counts.index_add_(0, labels, torch.ones(len(labels), dtype=torch.float64))

    def class_scores(self) -> Tensor:
        """What distinguishes each class: its mean scores minus their mean over the classes, ``(C, K)`` float32.

        The subtraction takes away attributes that every class has (background), as inverse document frequency does for
        words; the mean over classes instead of images keeps the head classes from defining what is common. A class
        without images gets zeros.
        """
        present = self.counts > 0
        means = self.sums / self.counts.clamp(min=1)[:, None]
        common = means[present].mean(dim=0)
        return torch.where(present[:, None], means - common, 0.0).float()
