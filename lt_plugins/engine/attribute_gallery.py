"""Rows of marked images that show what the pseudo-attributes of a model are."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray
from torch import Tensor

from lt_plugins.datasets import get_labels
from lt_plugins.engine.analysis import all_class_names
from lt_plugins.engine.attributes import AttributeRetrieval, ImageAttributes, Place, require_attributes
from lt_plugins.engine.hooks.class_distribution_hook import class_distributions
from lt_plugins.errors import UserInputError
from lt_plugins.visualization import AttributeRow, MarkedImage


class AttributeGallery:
    """Turns retrieved places into rows for :func:`lt_plugins.visualization.draw_attribute_grid`.

    Args:
        model (nn.Module): Classifier with an :class:`LPAHead`, whose class counts colour the frames if they are known.
        dataset (Dataset): The data set that was searched, with the test pipeline.
        retrieval (AttributeRetrieval): What was found in it.

    Raises:
        UserInputError: If the model has no attributes.

    Examples:
        >>> retrieval = retrieve_attributes(model, dataset, top=8, max_per_class=2)
        >>> gallery = AttributeGallery(model, dataset, retrieval)
        >>> figure = draw_attribute_grid([gallery.attribute_row(k) for k in gallery.most_shared_attributes(6)])
    """

    def __init__(self, model: Any, dataset: Any, retrieval: AttributeRetrieval) -> None:
        self.head = require_attributes(model)
        self.dataset = dataset
        self.retrieval = retrieval
        self.labels = get_labels(dataset)
        self.class_names = all_class_names(dataset, self.head.num_classes)
        known = [distribution for distribution in class_distributions(model) if distribution.is_set]
        self.class_distribution = known[0] if known else None
        self._groups = known[0].groups if known else None

    def largest_first(self) -> list[int]:
        """The classes, largest first: by their training images or, if unknown, by their images in the data set."""
        sizes = np.bincount(self.labels, minlength=self.head.num_classes)
        if self.class_distribution is not None:
            sizes = self.class_distribution.counts.cpu().numpy()
        return np.argsort(-sizes, kind="stable").tolist()

    def group(self, label: int) -> str | None:
        """``'many'``, ``'medium'`` or ``'few'``; None if the class counts are not known.

        Args:
            label (int): The class.
        """
        return None if self._groups is None else self._groups[label]

    def class_title(self, label: int) -> str:
        """Name of a class and, if known, its number of training images.

        Args:
            label (int): The class.
        """
        name = self.class_names[label]
        return name if self.class_distribution is None else f"{name}\n{self.class_distribution.counts[label]:,} images"

    def strongest_attributes(self, label: int) -> list[int]:
        """The attributes that describe a class, strongest first.

        Args:
            label (int): The class.
        """
        described = self.head.attribute_labels[label].nonzero().flatten().tolist()
        return sorted(described, key=lambda k: (-float(self.head.class_attributes[label, k]), k))

    def most_shared_attributes(self, number: int) -> list[int]:
        """The attributes that describe most classes.

        Args:
            number (int): How many at most.
        """
        num_classes = self.head.attribute_labels.sum(dim=0).tolist()
        return sorted((k for k, shared in enumerate(num_classes) if shared), key=lambda k: (-num_classes[k], k))[
            :number
        ]

    def attribute_row(self, attribute: int, num_images: int | None = None) -> AttributeRow:
        """The images that show an attribute most clearly.

        Args:
            attribute (int): The attribute ``k``.
            num_images (int | None): How many at most. Defaults to all that were retrieved.
        """
        places = self.retrieval.attribute_places[attribute][:num_images]
        return AttributeRow(self._attribute_title(attribute), [self._mark(place) for place in places])

    def class_rows(self, label: int, num_attributes: int, num_images: int) -> list[AttributeRow]:
        """For each of a class's strongest attributes: its image that shows it best, and other images that do.

        Args:
            label (int): The class.
            num_attributes (int): How many attributes at most.
            num_images (int): How many other images at most.
        """
        rows = []
        for attribute in self.strongest_attributes(label)[:num_attributes]:
            query = self.retrieval.class_places.get((label, attribute))
            places = self.retrieval.attribute_places[attribute]
            others = [place for place in places if query is None or place.sample != query.sample]
            rows.append(
                AttributeRow(
                    self._attribute_title(attribute),
                    [self._mark(place) for place in others[:num_images]],
                    None if query is None else self._mark(query),
                )
            )
        return rows

    def own_row(self, label: int) -> AttributeRow:
        """A class's strongest attributes in its own images.

        Args:
            label (int): The class.
        """
        keys = [(label, attribute) for attribute in self.strongest_attributes(label)]
        places = {key: self.retrieval.class_places[key] for key in keys if key in self.retrieval.class_places}
        images = [self._mark(place)._replace(title=f"attribute {key[1]}") for key, place in places.items()]
        return AttributeRow(self.class_title(label), images)

    def image_rows(
        self, inputs: Tensor, located: ImageAttributes, title: str, num_attributes: int, num_images: int
    ) -> list[AttributeRow]:
        """For each of an image's strongest attributes: where it shows it, and other images that do.

        The strongest are those that take up more of the image than is usual, so that what every image has, like plain
        background, does not come first.

        Args:
            inputs (Tensor): The image as the test pipeline gives it, uint8 ``(3, H, W)``.
            located (ImageAttributes): Its attributes, a batch of one.
            title (str): Written above it.
            num_attributes (int): How many attributes at most.
            num_images (int): How many other images at most.
        """
        excess = located.mean_scores[0].cpu() - self.retrieval.common_scores
        rows = []
        for attribute in excess.argsort(descending=True, stable=True)[:num_attributes].tolist():
            place = divmod(int(located.best_places[0, attribute]), located.grid[1])
            score = float(located.best_scores[0, attribute])
            query = MarkedImage(to_picture(inputs), place, located.grid, title, None, score)
            rows.append(self.attribute_row(attribute, num_images)._replace(query=query))
        return rows

    def _attribute_title(self, attribute: int) -> str:
        shared = int(self.head.attribute_labels[:, attribute].sum())
        return f"attribute {attribute}\n{shared} class{'' if shared == 1 else 'es'}"

    def _mark(self, place: Place) -> MarkedImage:
        label = int(self.labels[place.sample])
        return MarkedImage(
            to_picture(self.dataset[place.sample]["inputs"]),
            (place.row, place.column),
            self.retrieval.grid,
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
