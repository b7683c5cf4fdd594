"""Attribute gallery: turns retrieved locations into rows of marked images."""

from __future__ import annotations

from typing import Any

from torch import Tensor

from lt_plugins.analysis.attribute_retrieval import AttributeRetrieval, ImageAttributes, require_attributes
from lt_plugins.analysis.figures import AttributeRow, MarkedImage
from lt_plugins.analysis.gallery import ImageGallery, to_picture


class AttributeGallery(ImageGallery):
    """Gallery of pseudo-attributes: rows for :func:`lt_plugins.analysis.figures.draw_attribute_grid`.

    Args:
        model (nn.Module): Classifier with pseudo-attributes, whose class counts colour the frames if they are known.
        dataset (Dataset): The dataset that was searched, with the test pipeline.
        retrieval (AttributeRetrieval): The locations that were found in it.

    Raises:
        UserInputError: If the model has no attributes.

    Examples:
        >>> retrieval = retrieve_attributes(model, dataset, top=8, max_per_class=2)
        >>> gallery = AttributeGallery(model, dataset, retrieval)
        >>> figure = draw_attribute_grid([gallery.attribute_row(k) for k in gallery.most_shared_attributes(6)])
    """

    def __init__(self, model: Any, dataset: Any, retrieval: AttributeRetrieval) -> None:
        self.attributes = require_attributes(model)
        super().__init__(model, dataset, retrieval.grid)
        self.retrieval = retrieval

    def strongest_attributes(self, label: int) -> list[int]:
        """Attributes that describe a class, strongest first.

        Args:
            label (int): The class.
        """
        described = self.attributes.attribute_labels[label].nonzero().flatten().tolist()
        return sorted(described, key=lambda k: (-float(self.attributes.class_attributes[label, k]), k))

    def most_shared_attributes(self, number: int) -> list[int]:
        """Attributes that describe most classes.

        Args:
            number (int): How many at most.
        """
        num_classes = self.attributes.attribute_labels.sum(dim=0).tolist()
        return sorted((k for k, shared in enumerate(num_classes) if shared), key=lambda k: (-num_classes[k], k))[
            :number
        ]

    def attribute_row(self, attribute: int, num_images: int | None = None) -> AttributeRow:
        """Row of the images that show an attribute most clearly.

        Args:
            attribute (int): The attribute ``k``.
            num_images (int | None): How many at most. Defaults to all that were retrieved.
        """
        locations = self.retrieval.attribute_locations[attribute][:num_images]
        return self.row(self._attribute_title(attribute), locations)

    def class_rows(self, label: int, num_attributes: int, num_images: int) -> list[AttributeRow]:
        """Rows of a class's strongest attributes: its image that shows one best, and other images that do.

        Args:
            label (int): The class.
            num_attributes (int): How many attributes at most.
            num_images (int): How many other images at most.
        """
        rows = []
        for attribute in self.strongest_attributes(label)[:num_attributes]:
            query = self.retrieval.class_locations.get((label, attribute))
            locations = self.retrieval.attribute_locations[attribute]
            others = [location for location in locations if query is None or location.sample != query.sample]
            marked = None if query is None else self.mark(query)
            rows.append(self.row(self._attribute_title(attribute), others[:num_images], marked))
        return rows

    def own_row(self, label: int) -> AttributeRow:
        """Row of a class's strongest attributes in its own images.

        Args:
            label (int): The class.
        """
        keys = [(label, attribute) for attribute in self.strongest_attributes(label)]
        locations = {key: self.retrieval.class_locations[key] for key in keys if key in self.retrieval.class_locations}
        images = [self.mark(location)._replace(title=f"attribute {key[1]}") for key, location in locations.items()]
        return AttributeRow(self.class_title(label), images)

    def image_rows(
        self, inputs: Tensor, located: ImageAttributes, title: str, num_attributes: int, num_images: int
    ) -> list[AttributeRow]:
        """Rows of an image's strongest attributes: its location of one, and other images that show it.

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
            location = divmod(int(located.best_locations[0, attribute]), located.grid[1])
            score = float(located.best_scores[0, attribute])
            query = MarkedImage(to_picture(inputs), location, located.grid, title, None, score)
            rows.append(self.attribute_row(attribute, num_images)._replace(query=query))
        return rows

    def _attribute_title(self, attribute: int) -> str:
        shared = int(self.attributes.attribute_labels[:, attribute].sum())
        return f"attribute {attribute}\n{shared} class{'' if shared == 1 else 'es'}"
