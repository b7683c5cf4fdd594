"""Page of the pseudo-attributes of an LPA model.

For given images, classes or attributes: the images that show the same pseudo-attributes, with the patch marked (Fig. 3
of the LPA paper); and for each class the attributes that describe it.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
from mmengine.config import Config

from lt_plugins.analysis.attribute_gallery import AttributeGallery
from lt_plugins.analysis.attribute_retrieval import locate_attributes, retrieve_attributes
from lt_plugins.analysis.figures import AttributeRow, draw_attribute_grid
from lt_plugins.analysis.page import describe_origin, not_clustered_error
from lt_plugins.analysis.queries import Queries, QueryPage, find_label
from lt_plugins.analysis.trained_model import TrainedModel
from lt_plugins.errors import UserInputError
from lt_plugins.models.losses.pseudo_attributes import (
    PseudoAttributes,
    find_pseudo_attributes,
    require_pseudo_attributes,
)
from lt_plugins.visualization import FigurePage

HOW_TO_READ = (
    "A row belongs to one pseudo-attribute; below its name stands how many classes it describes. The yellow mark is "
    "the cell of the feature map that shows the attribute most clearly (what the feature has seen is larger), "
    "the number below an image the score there, from 0 to 1. Frames tell many-, medium- and few-shot classes apart."
)
CLASSES_NOTE = (
    "Number of an attribute, and in brackets how much more of it the class shows than the mean of all classes. "
    "Closest classes share most attributes; the number is the affinity with which the loss attracts their images."
)
# What is shown where nothing is asked for.
DEFAULT_CLASSES = 3
DEFAULT_ATTRIBUTES = 8
# Classes in the picture of all classes, and in one of its parts.
MAX_PICTURED_CLASSES = 100
CLASSES_A_FIGURE = 20
CLOSEST_CLASSES = 3


class AttributePage(QueryPage):
    """Page of the pseudo-attributes of an :class:`LPAHead`, or of :class:`AttributePositives` beside another loss."""

    name = "attributes"
    title = "Pseudo-attributes"
    needs = "LPAHead (configs/lpa) or AttributePositives"
    numbered = "attributes"
    defaults = {"images": (), "classes": (), "attributes": (), "split": "train", "top": 6, "max_per_class": 2}

    @staticmethod
    def fits(model: Any, cfg: Config) -> bool:  # noqa: ARG004 (its parts tell)
        """Whether a model has pseudo-attributes."""
        return find_pseudo_attributes(model) is not None

    def count(self, cfg: Config, trained: TrainedModel) -> int:
        """Number of attributes."""
        attributes = require_pseudo_attributes(trained.model)
        if not attributes.has_attributes:
            raise not_clustered_error(cfg, trained, "pseudo-attributes")
        return attributes.num_attributes

    def find_class(self, query: str, names: Sequence[str], trained: TrainedModel, dataset: Any) -> int:  # noqa: ARG002
        """Label of a class that an attribute describes."""
        return find_class(query, names, require_pseudo_attributes(trained.model))

    def fill(
        self, page: FigurePage, trained: TrainedModel, dataset: Any, queries: Queries, loader: dict[str, Any]
    ) -> None:
        """Retrieve the images and write all sections."""
        model, options = trained.model, self.options
        # One more than shown: a query may be among the retrieved and is left out.
        retrieval = retrieve_attributes(model, dataset, options.top + 1, max_per_class=options.max_per_class, **loader)
        gallery = AttributeGallery(model, dataset, retrieval)
        tables = gallery.attributes
        used = int(tables.attribute_labels.any(dim=0).sum())
        page.add_text(
            f"{describe_origin(trained)}. {tables.num_attributes} attributes, {used} of them describe a class. "
            f"Searched: the {len(dataset):,} images of the {options.split} set."
        )
        page.add_text(HOW_TO_READ)
        sections = AttributeSections(page, gallery, options.top)
        sections.add_images(queries.images, model)
        sections.add_classes(queries.classes if queries else smallest_classes(gallery, DEFAULT_CLASSES))
        if queries.numbers:
            sections.add_attributes("Attributes", queries.numbers)
        else:
            shared = gallery.most_shared_attributes(DEFAULT_ATTRIBUTES)
            sections.add_attributes("Attributes that most classes share", shared)
        sections.add_all_classes()


class AttributeSections:
    """Sections of the page.

    Args:
        page (FigurePage): Where the sections go.
        gallery (AttributeGallery): The images that were retrieved.
        top (int): Retrieved images a row.
    """

    def __init__(self, page: FigurePage, gallery: AttributeGallery, top: int) -> None:
        self.page = page
        self.gallery = gallery
        self.top = top
        self.num_attributes = gallery.attributes.attributes_per_class

    def add_images(self, queries: Sequence[tuple[Path, torch.Tensor]], model: torch.nn.Module) -> None:
        """Add one section for each query image."""
        for number, (path, inputs) in enumerate(queries, start=1):
            located = locate_attributes(model, {"inputs": [inputs]})
            rows = self.gallery.image_rows(inputs, located, path.name, self.num_attributes, self.top)
            self.page.add_heading(f"Image {path}")
            self._figure(f"image_{number}_{path.stem}", rows, f"Strongest attributes of {path.name}")

    def add_classes(self, labels: Sequence[int]) -> None:
        """Add one section for each query class."""
        for label in labels:
            name = self.gallery.class_names[label]
            rows = self.gallery.class_rows(label, self.num_attributes, self.top)
            self.page.add_heading(f"Class {name}")
            self._figure(f"class_{label}_{name}", rows, f"The attributes that describe class {name}, strongest first")

    def add_attributes(self, heading: str, attributes: Sequence[int]) -> None:
        """Add a section of query attributes."""
        rows = [self.gallery.attribute_row(attribute, self.top) for attribute in attributes]
        self.page.add_heading(heading)
        self._figure("attributes", rows, "Images and locations that show each attribute most clearly")

    def add_all_classes(self) -> None:
        """Add the table and the picture of the attributes of each class."""
        gallery = self.gallery
        distribution = gallery.class_distribution
        largest_first = gallery.largest_first()
        excess = 100 * gallery.retrieval.class_scores / gallery.retrieval.common_scores
        self.page.add_heading("Attributes of each class")
        self.page.add_text(CLASSES_NOTE)
        rows = [
            [
                gallery.class_names[label],
                None if distribution is None else int(distribution.counts[label]),
                gallery.group(label) or "",
                ", ".join(f"{k} ({float(excess[label, k]):+.0f} %)" for k in gallery.strongest_attributes(label)),
                self._closest_classes(label),
            ]
            for label in largest_first
        ]
        self.page.add_table(["class", "training images", "group", "attributes", "closest classes"], rows)
        spread = np.linspace(0, len(largest_first) - 1, min(len(largest_first), MAX_PICTURED_CLASSES)).astype(int)
        pictured = [gallery.own_row(largest_first[rank]) for rank in spread]
        pictured = [row for row in pictured if row.images]
        if len(largest_first) > MAX_PICTURED_CLASSES:
            self.page.add_text(
                f"The picture shows {MAX_PICTURED_CLASSES} of the classes, evenly spread over their sizes."
            )
        for start in range(0, len(pictured), CLASSES_A_FIGURE):
            part = pictured[start : start + CLASSES_A_FIGURE]
            caption = (
                f"Classes {start + 1} to {start + len(part)} of {len(pictured)}, each in those of its own images that "
            )
            self._figure(
                f"all_classes_{start // CLASSES_A_FIGURE + 1}", part, f"{caption}show its attributes most clearly", ""
            )

    def _closest_classes(self, label: int) -> str:
        attributes = self.gallery.attributes
        device = attributes.attribute_labels.device
        everyone = torch.arange(len(attributes.attribute_labels), device=device)
        affinity = attributes.affinity(torch.tensor([label], device=device), everyone)[0].cpu()
        affinity[label] = 0
        closest = affinity.argsort(descending=True, stable=True)[:CLOSEST_CLASSES].tolist()
        return ", ".join(
            f"{self.gallery.class_names[other]} ({float(affinity[other]):.2f})"
            for other in closest
            if affinity[other] > 0
        )

    def _figure(self, name: str, rows: Sequence[AttributeRow], caption: str, heading: str = "retrieved images") -> None:
        self.page.add_png(name, draw_attribute_grid(rows, heading=heading), caption)


def find_class(query: str, names: Sequence[str], attributes: PseudoAttributes) -> int:
    """Label of a class that is given by name or number, if an attribute describes it."""
    label = find_label(query, names)
    if not attributes.attribute_labels[label].any():
        raise UserInputError(f"class {names[label]} had no training image, so no attribute describes it.")
    return label


def smallest_classes(gallery: AttributeGallery, number: int) -> list[int]:
    """Classes with the fewest images that have attributes."""
    return [label for label in reversed(gallery.largest_first()) if gallery.strongest_attributes(label)][:number]
