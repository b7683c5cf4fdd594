"""Page of the latent categories of an LCReg model.

For given images, or images of given classes: which latent categories rebuild them, and where they resemble these
(Fig. 4 of the LCReg paper); for given latent categories: the images that use them most; and how much each class uses
each latent category.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
from mmengine.config import Config

from lt_plugins.analysis.figures import draw_attribute_grid, draw_latent_rows, plot_latent_usage
from lt_plugins.analysis.latent_gallery import LatentGallery
from lt_plugins.analysis.latent_usage import effective_number, least_effective_number, measure_latents
from lt_plugins.analysis.page import describe_origin
from lt_plugins.analysis.queries import Queries, QueryPage, find_label
from lt_plugins.analysis.trained_model import TrainedModel
from lt_plugins.datasets.labels import get_labels
from lt_plugins.errors import UserInputError
from lt_plugins.models.heads import LCRegHead
from lt_plugins.visualization import FigurePage

WEIGHTS_NOTE = (
    "An image is rebuilt from all {number} latent categories. The weights are the softmax of similarities from 0 to 1, "
    "divided by sim_temperature={temperature:g}, so that none can be more than {ratio:.3g} times another: they are "
    "nearly even. Therefore they are shown relative to even use, 1/{number}: 1 is even, 1.05 is five per cent more. "
    "Where all are within one per cent, the figures show them as small as they are."
)
IMAGES_NOTE = (
    "Bars are the weights in the image, mean over its locations; black marks are usual, the mean over all classes. "
    "The latent categories that exceed it most are coloured, alike in all rows of a figure, and their similarity maps "
    "are laid over the image: yellow is the highest similarity in the map, dark blue the lowest; both stand below it. "
    "A cell belongs to one feature, which has seen more than the cell. Frames tell many-, medium- and few-shot classes "
    "apart."
)
LATENTS_NOTE = (
    "The images with the highest weight of a latent category; the number below is that weight. The yellow mark is the "
    "cell that is most similar to it. The number below the name is the mean over all classes."
)
USAGE_NOTE = (
    "Usage is the weight in per cent of even use, mean over locations, images and classes; each class counts the same. "
    "Spread is the largest minus the smallest usage by a class."
)
# What is shown where nothing is asked for.
DEFAULT_CLASSES = 3
DEFAULT_LATENTS = 8
# More images in one picture cannot be compared at a glance.
ROWS_A_FIGURE = 8
CLASSES_A_LATENT = 3


class LatentPage(QueryPage):
    """Page of the latent categories of an :class:`LCRegHead`, of either stage."""

    name = "latents"
    title = "Latent categories"
    needs = "LCRegHead (configs/lcreg)"
    numbered = "latents"
    defaults = {"images": (), "classes": (), "latents": (), "split": "train", "top": 6, "max_per_class": 2}

    @staticmethod
    def fits(model: Any, cfg: Config) -> bool:  # noqa: ARG004 (its parts tell)
        """Whether a model has an :class:`LCRegHead`."""
        return isinstance(getattr(model, "head", None), LCRegHead)

    def count(self, cfg: Config, trained: TrainedModel) -> int:  # noqa: ARG002
        """Number of latent categories."""
        return len(trained.model.head.latent_pool.latents)

    def find_class(self, query: str, names: Sequence[str], trained: TrainedModel, dataset: Any) -> int:  # noqa: ARG002
        """Label of a class that has images in the searched set."""
        return find_class(query, names, get_labels(dataset))

    def fill(
        self, page: FigurePage, trained: TrainedModel, dataset: Any, queries: Queries, loader: dict[str, Any]
    ) -> None:
        """Measure the usage and write all sections."""
        model, options = trained.model, self.options
        temperature = model.head.latent_pool.sim_temperature
        measured = measure_latents(model, dataset, options.top, max_per_class=options.max_per_class, **loader)
        gallery = LatentGallery(model, dataset, measured)
        sections = LatentSections(page, gallery, options.top)
        page.add_text(f"{describe_origin(trained)}. Searched: the {len(dataset):,} images of the {options.split} set.")
        page.add_text(sections.describe(temperature))
        page.add_text(
            WEIGHTS_NOTE.format(number=gallery.num_latents, temperature=temperature, ratio=math.exp(1 / temperature))
        )
        page.add_text(IMAGES_NOTE)
        if queries.images:
            sections.add_images(queries.images)
        sections.add_classes(queries.classes)
        if not queries:
            sections.add_frequent_and_rare(DEFAULT_CLASSES)
        if queries.numbers:
            sections.add_latents("Latent categories", queries.numbers)
        else:
            spread = gallery.most_spread(DEFAULT_LATENTS)
            sections.add_latents("Latent categories by which classes differ most", spread)
        sections.add_usage()


class LatentSections:
    """Sections of the page.

    Args:
        page (FigurePage): Where the sections go.
        gallery (LatentGallery): The measured usage and its images.
        top (int): Images of a class or latent category.
    """

    def __init__(self, page: FigurePage, gallery: LatentGallery, top: int) -> None:
        self.page = page
        self.gallery = gallery
        self.top = top

    def describe(self, sim_temperature: float) -> str:
        """Sentence on how unevenly the latent categories are used, and could be."""
        # The similarities bound the weights: where all are saturated on one side, nothing is chosen.
        measured, number = self.gallery.measured, self.gallery.num_latents
        lowest, highest = measured.similarity_range
        return (
            f"Effective number of latent categories used: {float(effective_number(measured.usage)):.2f} of {number}; "
            f"at a single location, {measured.local_number:.2f} on average (neither can be less than "
            f"{least_effective_number(number, sim_temperature):.2f} at this temperature). All similarities lie between "
            f"{lowest:.3f} and {highest:.3f}, so that at no location a weight is more than "
            f"{math.exp((highest - lowest) / sim_temperature):.3g} times another."
        )

    def add_images(self, queries: Sequence[tuple[Path, torch.Tensor]]) -> None:
        """Add the query images."""
        rows = [self.gallery.image_row(inputs, path.name) for path, inputs in queries]
        self.page.add_heading("Images")
        for start in range(0, len(rows), ROWS_A_FIGURE):
            part = rows[start : start + ROWS_A_FIGURE]
            figure = draw_latent_rows(part, self.gallery.relative_usage)
            paths = ", ".join(str(path) for path, _ in queries[start : start + ROWS_A_FIGURE])
            self.page.add_png(f"images_{start // ROWS_A_FIGURE + 1}", figure, f"Latent categories that rebuild {paths}")

    def add_classes(self, labels: Sequence[int]) -> None:
        """Add images of each query class."""
        for label in labels:
            name = self.gallery.class_names[label]
            self.page.add_heading(f"Class {name}")
            samples = self.gallery.class_samples(label, self.top)
            self._add_samples(
                f"class_{label}_{name}", samples, f"Latent categories that rebuild the first images of class {name}"
            )

    def add_frequent_and_rare(self, number: int) -> None:
        """Add an image each of the largest and the smallest classes.

        Args:
            number (int): How many classes of either.
        """
        present = [label for label in self.gallery.largest_first() if self.gallery.class_samples(label, 1)]
        labels = dict.fromkeys([*present[:number], *present[-number:]])  # each once, where there are few classes
        self.page.add_heading("Images of frequent and rare classes")
        samples = [self.gallery.class_samples(label, 1)[0] for label in labels]
        self._add_samples(
            "frequent_and_rare",
            samples,
            "Latent categories that rebuild an image of the largest and of the smallest classes",
        )

    def add_latents(self, heading: str, latents: Sequence[int]) -> None:
        """Add the images that use latent categories most."""
        rows = [self.gallery.latent_row(latent, self.top) for latent in latents]
        self.page.add_heading(heading)
        self.page.add_text(LATENTS_NOTE)
        self.page.add_png(
            "latents",
            draw_attribute_grid(rows, heading="images that use it most"),
            "Images that use each latent category most",
        )

    def add_usage(self) -> None:
        """Add the picture and the table of all latent categories."""
        gallery = self.gallery
        groups = None if gallery.groups is None else np.array(gallery.groups)
        self.page.add_heading("Usage by the classes")
        self.page.add_png(
            "usage",
            plot_latent_usage(gallery.relative_class_usage, gallery.class_sizes, gallery.class_names, groups),
            "Usage of each latent category by each class; neighbours are used by the same classes",
        )
        if gallery.class_distribution is None:
            self.page.add_text("The checkpoint has no class counts; the sizes are those of the searched set.")
        self.page.add_text(USAGE_NOTE)
        spread = gallery.spread
        rows = []
        for latent in np.argsort(-gallery.relative_usage, kind="stable").tolist():
            percents = [100 * float(gallery.relative_usage[latent]), 100 * float(spread[latent])]
            rows.append([latent, *percents, self._describe_users(latent)])
        header = ["usage (%)", "spread (%)", "classes that use it most"]
        self.page.add_table(["latent category", *header], rows)

    def _describe_users(self, latent: int) -> str:
        usage = self.gallery.relative_class_usage[:, latent]
        most = np.argsort(-usage, kind="stable")[:CLASSES_A_LATENT]  # NaN comes last
        return ", ".join(
            f"{self.gallery.class_names[label]} ({100 * usage[label]:.2f})" for label in most if usage[label] > 0
        )

    def _add_samples(self, name: str, samples: Sequence[int], caption: str) -> None:
        rows = [self.gallery.sample_row(sample) for sample in samples]
        self.page.add_png(name, draw_latent_rows(rows, self.gallery.relative_usage), caption)


def find_class(query: str, names: Sequence[str], labels: np.ndarray) -> int:
    """Label of a class that is given by name or number, if the searched set has images of it."""
    label = find_label(query, names)
    if not (labels == label).any():
        raise UserInputError(f"class {names[label]} has no image in the searched set; try the other --split.")
    return label
