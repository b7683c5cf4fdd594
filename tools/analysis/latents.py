"""Show what the latent categories of an LCReg model are, as pictures and as one self-contained HTML page.

For given images, or images of given classes: which latent categories rebuild them, and where they resemble these
(Fig. 4 of the LCReg paper); for given latent categories: the images that use them most; and how much each class uses
each latent category.
"""

from __future__ import annotations

import argparse
import math
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import torch

from lt_plugins.analysis.figures import draw_attribute_grid, draw_latent_rows, plot_latent_usage
from lt_plugins.analysis.latent_gallery import LatentGallery
from lt_plugins.analysis.latents import effective_number, least_effective_number, measure_latents
from lt_plugins.analysis.page import (
    add_analysis_arguments,
    add_query_arguments,
    all_class_names,
    check_device,
    check_numbers,
    check_query_arguments,
    choose_stage,
    describe_origin,
    find_label,
    has_head,
    load_image,
    open_page,
    require_head,
)
from lt_plugins.analysis.trained_model import build_plain_dataset, load_trained_model
from lt_plugins.checkpoints.checkpoint import guard_pickles
from lt_plugins.datasets.labels import get_labels
from lt_plugins.errors import UserInputError
from lt_plugins.runs.cli import ToolParser, user_errors
from lt_plugins.runs.spec import run_name
from lt_plugins.visualization import FigurePage

WEIGHTS_NOTE = (
    "An image is rebuilt from all {number} latent categories. The weights are the softmax of similarities from 0 to 1, "
    "divided by sim_temperature={temperature:g}, so that none can be more than {ratio:.3g} times another: they are "
    "nearly even. Therefore they are shown relative to even use, 1/{number}: 1 is even, 1.05 is five per cent more. "
    "Where all are within one per cent, the figures show them as small as they are."
)
IMAGES_NOTE = (
    "Bars are the weights in the image, mean over its places; black marks are usual, the mean over all classes. "
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
    "Usage is the weight in per cent of even use, mean over places, images and classes; each class counts the same. "
    "Spread is the largest minus the smallest usage by a class."
)
# What is shown where nothing is asked for.
DEFAULT_CLASSES = 3
DEFAULT_LATENTS = 8
# More images in one picture cannot be compared at a glance.
ROWS_A_FIGURE = 8
CLASSES_A_LATENT = 3


class LatentPage:
    """The page, section by section.

    Args:
        page (FigurePage): Where the sections go.
        gallery (LatentGallery): What was measured.
        top (int): Images of a class or latent category.
    """

    def __init__(self, page: FigurePage, gallery: LatentGallery, top: int) -> None:
        self.page = page
        self.gallery = gallery
        self.top = top

    def describe(self, sim_temperature: float) -> str:
        """How unevenly the latent categories are used, and how unevenly they could be."""
        # The similarities bound the weights: where all are saturated on one side, nothing is chosen.
        measured, number = self.gallery.measured, self.gallery.num_latents
        lowest, highest = measured.similarity_range
        return (
            f"Effective number of latent categories used: {float(effective_number(measured.usage)):.2f} of {number}; "
            f"at a single place, {measured.local_number:.2f} on average (neither can be less than "
            f"{least_effective_number(number, sim_temperature):.2f} at this temperature). All similarities lie between "
            f"{lowest:.3f} and {highest:.3f}, so that at no place a weight is more than "
            f"{math.exp((highest - lowest) / sim_temperature):.3g} times another."
        )

    def add_images(self, queries: Sequence[tuple[Path, torch.Tensor]]) -> None:
        """The query images."""
        rows = [self.gallery.image_row(inputs, path.name) for path, inputs in queries]
        self.page.add_heading("Images")
        for start in range(0, len(rows), ROWS_A_FIGURE):
            part = rows[start : start + ROWS_A_FIGURE]
            figure = draw_latent_rows(part, self.gallery.relative_usage)
            paths = ", ".join(str(path) for path, _ in queries[start : start + ROWS_A_FIGURE])
            self.page.add_png(f"images_{start // ROWS_A_FIGURE + 1}", figure, f"What rebuilds {paths}")

    def add_classes(self, labels: Sequence[int]) -> None:
        """Images of each query class."""
        for label in labels:
            name = self.gallery.class_names[label]
            self.page.add_heading(f"Class {name}")
            samples = self.gallery.class_samples(label, self.top)
            self._add_samples(f"class_{label}_{name}", samples, f"What rebuilds the first images of class {name}")

    def add_frequent_and_rare(self, number: int) -> None:
        """An image each of the largest and the smallest classes.

        Args:
            number (int): How many classes of either.
        """
        present = [label for label in self.gallery.largest_first() if self.gallery.class_samples(label, 1)]
        labels = dict.fromkeys([*present[:number], *present[-number:]])  # each once, where there are few classes
        self.page.add_heading("Images of frequent and rare classes")
        samples = [self.gallery.class_samples(label, 1)[0] for label in labels]
        self._add_samples(
            "frequent_and_rare", samples, "What rebuilds an image of the largest and of the smallest classes"
        )

    def add_latents(self, heading: str, latents: Sequence[int]) -> None:
        """The images that use latent categories most."""
        rows = [self.gallery.latent_row(latent, self.top) for latent in latents]
        self.page.add_heading(heading)
        self.page.add_text(LATENTS_NOTE)
        self.page.add_png(
            "latents",
            draw_attribute_grid(rows, heading="images that use it most"),
            "Where each latent category is used most",
        )

    def add_usage(self) -> None:
        """The picture and the table of all latent categories."""
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
    """The label of a class that is given by name or number."""
    label = find_label(query, names)
    if not (labels == label).any():
        raise UserInputError(f"class {names[label]} has no image in the searched set; try the other --split.")
    return label


def parse_args(argv: Sequence[str] | None) -> argparse.Namespace:
    """Read the command line."""
    parser = ToolParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    add_analysis_arguments(parser, "latents")
    add_query_arguments(parser, top=6)
    parser.add_argument(
        "--latents", nargs="+", type=int, default=[], metavar="M", help="query latent categories, by number"
    )
    return parser.parse_args(argv)


def write_page(args: argparse.Namespace) -> None:
    """Do what the command line asks for."""
    check_device(args.device)
    check_query_arguments(args)
    cfg = choose_stage(args, lambda cfg: has_head(cfg, "LCRegHead"))
    require_head(cfg, "LCRegHead", "latent categories", "configs/lcreg")
    trained = load_trained_model(cfg, args.checkpoint, args.device, args.allow_pickle)
    model, pool = trained.model, trained.model.head.latent_pool
    check_numbers("--latents", args.latents, len(pool.latents))
    dataset = build_plain_dataset(cfg, args.split, trained)
    names, labels = all_class_names(dataset, model.head.num_classes), get_labels(dataset)
    classes = [find_class(query, names, labels) for query in args.classes]
    queries = [(path, load_image(path, dataset)) for path in args.images]
    page = open_page(f"Latent categories: {run_name(args.config)}", "latents", trained, args.out, args.images)
    loader = cfg[f"{args.split}_dataloader"]
    measured = measure_latents(
        model,
        dataset,
        args.top,
        max_per_class=args.max_per_class,
        batch_size=loader.get("batch_size", 64),
        num_workers=loader.get("num_workers", 0),
    )
    gallery = LatentGallery(model, dataset, measured)
    sections = LatentPage(page, gallery, args.top)
    page.add_text(f"{describe_origin(trained)}. Searched: the {len(dataset):,} images of the {args.split} set.")
    page.add_text(sections.describe(pool.sim_temperature))
    page.add_text(
        WEIGHTS_NOTE.format(
            number=gallery.num_latents, temperature=pool.sim_temperature, ratio=math.exp(1 / pool.sim_temperature)
        )
    )
    page.add_text(IMAGES_NOTE)
    if queries:
        sections.add_images(queries)
    sections.add_classes(classes)
    if not (queries or classes or args.latents):
        sections.add_frequent_and_rare(DEFAULT_CLASSES)
    if args.latents:
        sections.add_latents("Latent categories", args.latents)
    else:
        sections.add_latents("Latent categories by which classes differ most", gallery.most_spread(DEFAULT_LATENTS))
    sections.add_usage()
    print(page.finish())


def main(argv: Sequence[str] | None = None) -> None:
    """Write the page."""
    with user_errors():
        args = parse_args(argv)
        guard_pickles(args.allow_pickle)
        write_page(args)


if __name__ == "__main__":
    main()
