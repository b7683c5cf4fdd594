"""What the galleries share that show images of a data set: their classes, and the pictures themselves."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray
from torch import Tensor

from lt_plugins.analysis.best_places import Place
from lt_plugins.analysis.figures import MarkedImage
from lt_plugins.analysis.page import all_class_names
from lt_plugins.datasets.labels import get_class_counts, get_labels
from lt_plugins.engine.hooks.class_distribution_hook import class_distributions
from lt_plugins.errors import UserInputError


class ImageGallery:
    """Images of a data set with the names, sizes and groups of their classes.

    Args:
        model (nn.Module): Classifier with ``head.num_classes``, whose class counts give the groups if they are known.
        dataset (Dataset): The data set that was searched, with the test pipeline.
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
        self.groups = known[0].groups if known else None

    @property
    def class_sizes(self) -> NDArray[np.int64]:
        """Training images of each class or, if unknown, its images in the data set, ``(C,)``."""
        if self.class_distribution is not None:
            return self.class_distribution.counts.cpu().numpy()
        return get_class_counts(self.dataset, self.num_classes).numpy()

    def largest_first(self) -> list[int]:
        """The classes, largest first: by their training images or, if unknown, by their images in the data set."""
        return np.argsort(-self.class_sizes, kind="stable").tolist()

    def group(self, label: int) -> str | None:
        """``'many'``, ``'medium'`` or ``'few'``; None if the class counts are not known.

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

    def mark(self, place: Place) -> MarkedImage:
        """The image of a place, with the place marked.

        Args:
            place (Place): What was found.
        """
        label = int(self.labels[place.sample])
        return MarkedImage(
            to_picture(self.dataset[place.sample]["inputs"]),
            (place.row, place.column),
            self.grid,
            self.class_title(label),
            self.group(label),
            place.score,
        )


def to_picture(inputs: Tensor) -> NDArray[np.uint8]:
    """The picture behind the output of a pipeline: after resizing, before normalisation, in RGB.

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
