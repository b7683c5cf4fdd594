"""Which places of a data set show something most clearly, without holding more than those."""

from __future__ import annotations

from typing import NamedTuple

import torch
from torch import Tensor


class Place(NamedTuple):
    """A local feature of an image, and how clearly it or its image shows an attribute or a latent category.

    Args:
        score (float): How clearly, 0 or more; for an attribute the soft assignment, in ``[0, 1]``.
        sample (int): Position of the image in the data set.
        row (int): Row in the feature map.
        column (int): Column in the feature map.
    """

    score: float
    sample: int
    row: int
    column: int


class BestPlaces:
    """The best places of one attribute so far, best first; equal scores in the order of the data set.

    Args:
        size (int): How many to keep.
        max_per_class (int | None): How many of them may be of one class. Defaults to no limit.
    """

    def __init__(self, size: int, max_per_class: int | None = None) -> None:
        self.size = size
        self.max_per_class = max_per_class
        self.places: list[Place] = []
        self._classes: list[int] = []

    @property
    def bar(self) -> float:
        """Places with a lower score cannot enter."""
        return self.places[-1].score if len(self.places) == self.size else 0.0

    def add(self, place: Place, label: int) -> None:
        """Let a place compete.

        What is too much, of a class or in all, is dropped at once. The result is still the greedy choice from all
        places: what is dropped has enough better ones before it, and only still better ones can drive those out.

        Args:
            place (Place): A place of an image that was not added before.
            label (int): Class of the image.
        """
        rank = sum((-kept.score, kept.sample) < (-place.score, place.sample) for kept in self.places)
        self.places.insert(rank, place)
        self._classes.insert(rank, label)
        same_class = [position for position, other in enumerate(self._classes) if other == label]
        surplus = self.size
        if self.max_per_class is not None and len(same_class) > self.max_per_class:
            surplus = same_class[-1]
        del self.places[surplus : surplus + 1], self._classes[surplus : surplus + 1]


def add_batch(
    bests: list[BestPlaces], scores: Tensor, cells: Tensor, samples: Tensor, labels: Tensor, num_columns: int
) -> None:
    """Let the images of a batch compete, each with one place for each of ``K`` attributes.

    Args:
        bests (list[BestPlaces]): The best places of each attribute, ``K`` of them. Changed in place.
        scores (Tensor): Shape ``(B, K)``, on the CPU.
        cells (Tensor): Index of each place into the row-major feature map, shape ``(B, K)``.
        samples (Tensor): Positions of the images in the data set, int64 ``(B,)``.
        labels (Tensor): Classes of the images, int64 ``(B,)``.
        num_columns (int): Width of the feature map.
    """
    # Few of the batch can still enter after the first batches, so the loop is short.
    bars = torch.tensor([best.bar for best in bests], dtype=scores.dtype)
    for index, k in (scores >= bars).nonzero().tolist():
        row, column = divmod(int(cells[index, k]), num_columns)
        bests[k].add(Place(float(scores[index, k]), int(samples[index]), row, column), int(labels[index]))
