"""Best locations: keeps the images of a dataset, and their feature-map locations, that score highest."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any, NamedTuple

import torch
from torch import Tensor
from torch.utils.data import Dataset

from lt_plugins.clustering import ClassAttributeTable
from lt_plugins.datasets.labels import get_labels
from lt_plugins.engine.features import stream_features
from lt_plugins.errors import UserInputError
from lt_plugins.models.evaluation_mode import evaluation_mode


class Location(NamedTuple):
    """Location in the feature map of an image, with the score of the location or of its image.

    Args:
        score (float): 0 or more; of an attribute the soft assignment, in ``[0, 1]``.
        sample (int): Position of the image in the dataset.
        row (int): Row in the feature map.
        column (int): Column in the feature map.
    """

    score: float
    sample: int
    row: int
    column: int


class BestLocations:
    """Best locations so far of one attribute or latent category, best first; equal scores in the dataset's order.

    Args:
        size (int): How many to keep.
        max_per_class (int | None): How many of them may be of one class. Defaults to no limit.
    """

    def __init__(self, size: int, max_per_class: int | None = None) -> None:
        self.size = size
        self.max_per_class = max_per_class
        self.locations: list[Location] = []
        self._classes: list[int] = []

    @property
    def bar(self) -> float:
        """Lowest score that can still enter."""
        return self.locations[-1].score if len(self.locations) == self.size else 0.0

    def add(self, location: Location, label: int) -> None:
        """Let a location compete.

        What is too much, of a class or in all, is dropped at once. The result is still the greedy choice from all
        locations: what is dropped has enough better ones before it, and only still better ones can drive those out.

        Args:
            location (Location): A location of an image that was not added before.
            label (int): Class of the image.
        """
        rank = sum((-kept.score, kept.sample) < (-location.score, location.sample) for kept in self.locations)
        self.locations.insert(rank, location)
        self._classes.insert(rank, label)
        same_class = [position for position, other in enumerate(self._classes) if other == label]
        surplus = self.size
        if self.max_per_class is not None and len(same_class) > self.max_per_class:
            surplus = same_class[-1]
        del self.locations[surplus : surplus + 1], self._classes[surplus : surplus + 1]


class ViewedImages(NamedTuple):
    """Attributes or latent categories, ``K`` of them, in a batch of images.

    Args:
        usage (Tensor): How much an image shows of each, mean over its locations, ``(B, K)``.
        scores (Tensor): Scores by which the images compete, ``(B, K)``.
        cells (Tensor): Best location of each, index into the row-major feature map, ``(B, K)``.
        scalars (Tensor): Further numbers of each image, ``(B, S)``.
        grid (tuple[int, int]): Height and width of the feature map.
    """

    usage: Tensor
    scores: Tensor
    cells: Tensor
    scalars: Tensor
    grid: tuple[int, int]


class FoundBatch(NamedTuple):
    """Batch of a :class:`LocationSearch`, on the CPU.

    Args:
        samples (Tensor): Positions of the images in the dataset, int64 ``(B,)``.
        labels (Tensor): Classes of the images, int64 ``(B,)``.
        view (ViewedImages): What was found in them.
    """

    samples: Tensor
    labels: Tensor
    view: ViewedImages

    def location(self, index: int, item: int) -> Location:
        """Best location of an attribute or latent category in an image.

        Args:
            index (int): Position of the image in the batch.
            item (int): The attribute or latent category.
        """
        row, column = divmod(int(self.view.cells[index, item]), self.view.grid[1])
        return Location(float(self.view.scores[index, item]), int(self.samples[index]), row, column)


class LocationSearch:
    """Search of a dataset for the best locations of ``K`` attributes or latent categories.

    One pass, by one process, with a progress bar. Memory does not grow with the dataset: only the best locations and a
    table of classes are kept, never the features.

    Args:
        num_classes (int): Number of classes ``C``.
        num_items (int): Number of attributes or latent categories ``K``.
        top (int): Locations kept of each, at most one an image.
        max_per_class (int | None): How many of them may be of one class. Defaults to no limit.

    Attributes:
        best (list[BestLocations]): The best locations of each, ``K`` of them.
        table (ClassAttributeTable): Usage by the classes.

    Raises:
        UserInputError: If ``top`` or ``max_per_class`` is not positive.
    """

    def __init__(self, num_classes: int, num_items: int, top: int, max_per_class: int | None = None) -> None:
        if top <= 0 or (max_per_class is not None and max_per_class <= 0):
            raise UserInputError(f"top={top} and max_per_class={max_per_class} must be positive.")
        self.num_items = num_items
        self.best = [BestLocations(top, max_per_class) for _ in range(num_items)]
        self.table = ClassAttributeTable(num_classes, num_items)

    def batches(
        self,
        model: Any,
        dataset: Dataset,
        view: Callable[[dict[str, Any]], ViewedImages],
        description: str,
        *,
        batch_size: int,
        num_workers: int,
    ) -> Iterator[FoundBatch]:
        """Pass over a dataset and yield each batch after it was taken in.

        Args:
            model (nn.Module): In evaluation mode during the pass, and left in its mode.
            dataset (Dataset): Dataset with the test pipeline.
            view (Callable): Takes a batch as collated by mmengine.
            description (str): Name of the progress bar.
            batch_size (int): Images a batch.
            num_workers (int): Data-loader workers.
        """
        labels = torch.from_numpy(get_labels(dataset))
        grid = (0, 0)

        def extract(batch: dict[str, Any]) -> Tensor:
            nonlocal grid
            *tensors, grid = view(batch)
            return torch.cat([tensor.float() for tensor in tensors], dim=1).cpu()  # (B, 3 K + S)

        sizes = [self.num_items] * 3
        with evaluation_mode(model):
            for samples, found in stream_features(
                extract, dataset, batch_size=batch_size, num_workers=num_workers, description=description
            ):
                usage, scores, cells, scalars = found.split([*sizes, found.shape[1] - sum(sizes)], dim=1)
                batch = FoundBatch(samples, labels[samples], ViewedImages(usage, scores, cells, scalars, grid))
                self.table.update(batch.view.usage, batch.labels)
                self._add(batch)
                yield batch

    def _add(self, batch: FoundBatch) -> None:
        # Few of the batch can still enter after the first batches, so the loop is short.
        bars = torch.tensor([best.bar for best in self.best], dtype=batch.view.scores.dtype)
        for index, item in (batch.view.scores >= bars).nonzero().tolist():
            self.best[item].add(batch.location(index, item), int(batch.labels[index]))
