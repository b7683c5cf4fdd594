"""Base class of the galleries: pictures of a dataset with the names, sizes and groups of their classes."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray
from torch import Tensor

from lt_plugins.analysis.best_locations import Location
from lt_plugins.analysis.figures import AttributeRow, MarkedImage
from lt_plugins.analysis.page import all_class_names
from lt_plugins.datasets.labels import get_class_counts, get_labels
from lt_plugins.engine.hooks.class_distribution_hook import class_distributions
from lt_plugins.errors import UserInputError


class ImageGallery:
    """Gallery of images of a dataset with the names, sizes and groups of their classes.

    Args:
        model (nn.Module): Classifier with ``head.num_classes``, whose class counts give the groups if they are known.
        dataset (Dataset): The dataset that was searched, with the test pipeline.
        grid (tuple[int, int]): Height and width of the feature map.
    """

    def __init__(self, model: Any, dataset: Any, grid: tuple[int, int]) -> None:
        self.dataset = dataset
        self.grid = grid
        self.labels = get_labels(dataset)
        self.num_classes = model.head.num_classes
        self.class_names = all_class_names(dataset, self.num_classes)
        known = [distribution for distribution in class_distributions(model) if distribution.is_set]
        self.class_distribution = known[0] if known else None
        self.groups: Sequence[str | None] | None = known[0].groups if known else None

    @property
    def class_sizes(self) -> NDArray[np.int64]:
        """Training images of each class or, if unknown, its images in the dataset, ``(C,)``."""
        if self.class_distribution is not None:
            return self.class_distribution.counts.cpu().numpy()
        return get_class_counts(self.dataset, self.num_classes).numpy()

    def largest_first(self) -> list[int]:
        """Classes, largest first: by their training images or, if unknown, by their images in the dataset."""
        return np.argsort(-self.class_sizes, kind="stable").tolist()

    def group(self, label: int) -> str | None:
        """Group of a class: ``'many'``, ``'medium'`` or ``'few'``; None if the class counts are not known.

        Args:
            label (int): The class.
        """
        return None if self.groups is None else self.groups[label]

    def class_title(self, label: int) -> str:
        """Name of a class and, if known, its number of training images.

        Args:
            label (int): The class.
        """
        name = self.class_names[label]
        return name if self.class_distribution is None else f"{name}\n{self.class_distribution.counts[label]:,} images"

    def row(self, title: str, locations: Sequence[Location], query: MarkedImage | None = None) -> AttributeRow:
        """Row of the images of locations, each marked.

        Args:
            title (str): Written to the left.
            locations (Sequence[Location]): The locations, from left to right.
            query (MarkedImage | None): Shown first and set apart. Defaults to None.
        """
        return AttributeRow(title, [self.mark(location) for location in locations], query)

    def mark(self, location: Location) -> MarkedImage:
        """Image of a location, with the location marked.

        Args:
            location (Location): The location.
        """
        label = int(self.labels[location.sample])
        return MarkedImage(
            to_picture(self.dataset[location.sample]["inputs"]),
            (location.row, location.column),
            self.grid,
            self.class_title(label),
            self.group(label),
            location.score,
        )


def to_picture(inputs: Tensor) -> NDArray[np.uint8]:
    """Picture behind the output of a pipeline: after resizing, before normalisation, in RGB.

    Args:
        inputs (Tensor): BGR uint8 ``(3, H, W)``, as ``LoadImage`` and ``PackInputs`` leave it.

    Returns:
        NDArray: RGB ``(H, W, 3)``.

    Raises:
        UserInputError: If the pipeline has changed the colours to something that cannot be shown.
    """
    if inputs.dtype.is_floating_point or inputs.ndim != 3 or inputs.shape[0] != 3:
        raise UserInputError(
            f"the test pipeline gives {inputs.dtype} of shape {tuple(inputs.shape)}, expected uint8 (3, H, W); "
            "normalise in data_preprocessor instead of the pipeline."
        )
    return np.ascontiguousarray(inputs.numpy().transpose(1, 2, 0)[..., ::-1])
