"""Show the subclasses of an SBCL model, as pictures and as one self-contained HTML page.

How close images are to their subclass and to their class (Fig. 2 of the SBCL paper); how large the subclasses are; a
head class coloured by subclass, and the head classes (Fig. 3), by t-SNE; and all classes in a table.
"""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from typing import Any

import numpy as np
import torch
from mmengine.config import Config
from torch import Tensor

from lt_plugins.analysis.figures import plot_subclass_distances, plot_subclass_sizes
from lt_plugins.analysis.page import (
    add_analysis_arguments,
    all_class_names,
    check_device,
    choose_stage,
    describe_origin,
    find_label,
    not_clustered_error,
    open_page,
)
from lt_plugins.analysis.trained_model import build_plain_dataset, load_trained_model
from lt_plugins.checkpoints.checkpoint import guard_pickles
from lt_plugins.clustering import subclass_distances, subclass_sizes, tail_sizes
from lt_plugins.datasets.labels import get_labels
from lt_plugins.engine.features import gather_features
from lt_plugins.errors import UserInputError
from lt_plugins.models.structures import ClassDistribution
from lt_plugins.runs.cli import ToolParser, user_errors
from lt_plugins.runs.spec import run_name
from lt_plugins.visualization import FigurePage, plot_embedding, tsne_points

DISTANCE_NOTE = (
    "For each image, the mean Euclidean distance of its projection (a unit vector) to those of its class and of its "
    "subclass. As in the paper the image itself counts as a member, at distance 0, which makes small sets seem closer; "
    "therefore {drawn} images are drawn of each many- and medium-shot class, as many as {reference}. The images of the "
    "few-shot classes are all taken; where a class is not split, both distances are the same. The last two columns "
    "leave the image itself out, so that they do not depend on the sizes of the sets."
)
TSNE_NOTE = (
    "t-SNE keeps neighbours together; distances between far points, and the sizes of clusters, mean nothing. "
    "Where there are too many subclasses for a legend, lines tie the images to the mean of their subclass."
)
GROUPS = ("many", "medium", "few")


class SubclassPage:
    """The page, section by section.

    Args:
        page (FigurePage): Where the sections go.
        features (Tensor): Projections of the training images, ``(N, D)``.
        labels (Tensor): Their classes, int64 ``(N,)``.
        subclass (Tensor): Their subclasses, int64 ``(N,)``.
        names (list[str]): Class names, ``C`` of them.
        max_points (int): Images in a picture at most.
        seed (int): Seed of what is drawn and of t-SNE.
    """

    def __init__(
        self,
        page: FigurePage,
        features: Tensor,
        labels: Tensor,
        subclass: Tensor,
        names: list[str],
        max_points: int,
        seed: int,
    ) -> None:
        self.page = page
        self.features = features
        self.labels = labels
        self.subclass = subclass
        self.names = names
        self.max_points = max_points
        self.seed = seed
        self.distribution = ClassDistribution(len(names))
        self.distribution.set_counts(labels.bincount(minlength=len(names)))
        self.groups = np.array(self.distribution.groups)
        self.sizes = subclass_sizes(subclass, labels, len(names))

    def largest_first(self) -> list[int]:
        """The classes that have images, largest first."""
        counts = self.distribution.counts
        return counts.argsort(descending=True, stable=True)[: int((counts > 0).sum())].tolist()

    def add_distances(self) -> None:
        """How close images are to their subclass and to their class."""
        counts, few = self.distribution.counts, self.distribution.few
        num_drawn = tail_sizes(counts, few)
        found = subclass_distances(self.features, self.labels, self.subclass, num_drawn, self.seed)
        others = found.without_self()
        groups = self.groups[self.labels[found.samples]]
        has_few = bool((few & (counts > 0)).any())
        self.page.add_heading("Distances within subclasses and within classes")
        self.page.add_text(
            DISTANCE_NOTE.format(
                drawn=int(num_drawn[~few].max()) if bool((~few).any()) else "no",
                reference="the median few-shot class has" if has_few else "the smallest class has",
            )
        )
        self.page.add_png(
            "distances",
            plot_subclass_distances(found.to_class.numpy(), found.to_subclass.numpy(), groups),
            "Distances of images to their own class and to their own subclass, for many-, medium- and few-shot classes",
        )
        rows = []
        for group in GROUPS:
            chosen = torch.from_numpy(groups == group)
            if chosen.any():
                columns = (found.to_class, found.to_subclass, others.to_class, others.to_subclass)
                means = [float(column[chosen].nanmean()) for column in columns]
                rows.append([group, int(chosen.sum()), *means])
        header = ["to class", "to subclass", "to others of class", "to others of subclass"]
        self.page.add_table(["group", "images", *header], rows)

    def add_sizes(self) -> None:
        """How large the subclasses are."""
        sizes, is_part = self.sizes.sizes, self.sizes.is_part
        groups = self.groups[self.sizes.labels]
        self.page.add_heading("Sizes of the subclasses")
        self.page.add_png(
            "sizes",
            plot_subclass_sizes(sizes.numpy(), is_part.numpy(), groups),
            "Number of subclasses by their number of images",
        )
        rows: list[list[object]] = []
        for group in ("all", *GROUPS):
            members = torch.from_numpy((groups == group) | (group == "all"))
            num_parts = self.sizes.num_parts[torch.from_numpy((self.groups == group) | (group == "all"))]
            parts = sizes[members & is_part]
            row: list[object] = [group, int((num_parts > 0).sum()), int((num_parts > 1).sum()), int(members.sum())]
            span = [int(parts.min()), int(parts.max()), float(parts.max() / parts.min())] if len(parts) else [None] * 3
            if members.any():
                rows.append([*row, *span])
        header = ["classes", "split classes", "subclasses", "smallest part", "largest part", "largest / smallest"]
        self.page.add_table(["group", *header], rows)

    def add_split_classes(self, labels: Sequence[int]) -> None:
        """Classes coloured by subclass."""
        for label in labels:
            members = (self.labels == label).nonzero().flatten()
            own, part, sizes = self.subclass[members].unique(return_inverse=True, return_counts=True)
            what = f"{len(members):,} images in {len(own)} subclasses" if len(own) > 1 else "not split"
            self._embed(
                f"class_{label}_{self.names[label]}",
                members,
                part,
                [f"subclass {number} ({size})" for number, size in zip(own.tolist(), sizes.tolist(), strict=True)],
                f"Class {self.names[label]}: {what}",
            )

    def add_head_classes(self, num_classes: int) -> None:
        """The largest classes coloured by class."""
        head = self.largest_first()[:num_classes]
        rank = torch.full((len(self.names),), -1)
        rank[head] = torch.arange(len(head))
        members = (rank[self.labels] >= 0).nonzero().flatten()
        names = [self.names[label] for label in head]
        self._embed("head_classes", members, rank[self.labels[members]], names, f"The {len(head)} largest classes")

    def add_all_classes(self, tau2: Tensor) -> None:
        """The table of classes.

        Args:
            tau2 (Tensor): Temperature of each class, ``(C,)``.
        """
        self.page.add_heading("Classes")
        rows: list[list[object]] = []
        for label in self.largest_first():
            sizes = self.sizes.sizes[self.sizes.labels == label]
            row: list[object] = [self.names[label], self.groups[label], int(self.distribution.counts[label])]
            rows.append([*row, len(sizes), int(sizes.min()), int(sizes.max()), f"{float(tau2[label]):.3f}"])
        header = ["images", "subclasses", "smallest", "largest", "temperature tau_2"]
        self.page.add_table(["class", "group", *header], rows)

    def _embed(self, name: str, members: Tensor, groups: Tensor, names: Sequence[str], title: str) -> None:
        if len(members) > self.max_points:
            generator = torch.Generator().manual_seed(self.seed)
            drawn = torch.randperm(len(members), generator=generator)[: self.max_points].sort().values
            title = f"{title}, {self.max_points:,} of {len(members):,} images"
            members, groups = members[drawn], groups[drawn]
        print(f"t-SNE of {len(members):,} images for {name}", flush=True)
        points = tsne_points(self.features[members].numpy(), self.seed)
        self.page.add_png(name, plot_embedding(points, groups.numpy(), names, title), title)


def learns_subclasses(cfg: Config) -> bool:
    """Whether the model of a config learns subclasses."""
    return cfg.get("model", {}).get("head", {}).get("loss", {}).get("type") == "SBCLLoss"


def require_subclasses(cfg: Config) -> None:
    """Refuse a config that learns no subclasses, before anything is built."""
    if not learns_subclasses(cfg):
        head = cfg.get("model", {}).get("head", {})
        loss = head.get("loss", {}).get("type")
        raise UserInputError(
            f"the config's model.head is {head.get('type')} with the loss {loss}, which has no subclasses; use one "
            "with SBCLLoss (configs/sbcl), and of its stages the first."
        )


def parse_args(argv: Sequence[str] | None) -> argparse.Namespace:
    """Read the command line."""
    parser = ToolParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    add_analysis_arguments(parser, "subclasses")
    parser.add_argument(
        "--classes",
        nargs="+",
        default=[],
        metavar="CLASS",
        help="classes to colour by subclass, by name or number (default: the largest)",
    )
    parser.add_argument(
        "--num-classes",
        type=int,
        default=10,
        metavar="N",
        help="how many head classes to colour by class (default: 10)",
    )
    parser.add_argument(
        "--max-points",
        type=int,
        default=2000,
        metavar="N",
        help="images in a t-SNE picture at most; of more a sample is drawn (default: 2000)",
    )
    parser.add_argument(
        "--seed", type=int, default=0, metavar="N", help="seed of the images that are drawn and of t-SNE (default: 0)"
    )
    return parser.parse_args(argv)


def write_page(args: argparse.Namespace) -> None:
    """Do what the command line asks for."""
    check_device(args.device)
    if min(args.num_classes, args.max_points) < 1:
        raise UserInputError(f"--num-classes {args.num_classes} and --max-points {args.max_points} must be 1 or more.")
    if not 0 <= args.seed < 2**32:
        raise UserInputError(f"--seed {args.seed} must be from 0 to {2**32 - 1}.")
    cfg = choose_stage(args, learns_subclasses)
    require_subclasses(cfg)
    trained = load_trained_model(cfg, args.checkpoint, args.device, args.allow_pickle)
    model = trained.model
    loss = model.head.loss_module
    if not loss.is_ready:
        raise not_clustered_error(cfg, trained, "subclasses")
    dataset = build_plain_dataset(cfg, "train", trained)
    labels, subclass = torch.from_numpy(get_labels(dataset)), loss.subclass.cpu()
    names = all_class_names(dataset, model.head.num_classes)
    counts = subclass_sizes(subclass, labels, len(names)).num_parts  # refuses other training data before the pass
    classes = list(dict.fromkeys(find_label(query, names) for query in args.classes))
    if empty := [names[label] for label in classes if not counts[label]]:
        raise UserInputError(f"class {empty[0]} has no training image to show.")
    page = open_page(f"Subclasses: {run_name(args.config)}", "subclasses", trained, args.out)

    def extract(batch: dict[str, Any]) -> Tensor:
        return model.extract_projections(model.data_preprocessor(batch, training=False)["inputs"])

    loader = cfg.train_dataloader
    features = gather_features(
        extract,
        dataset,
        batch_size=loader.get("batch_size", 64),
        num_workers=loader.get("num_workers", 0),
        description="projections",
    )
    sections = SubclassPage(page, features, labels, subclass, names, args.max_points, args.seed)
    page.add_text(
        f"{describe_origin(trained)}. {len(sections.sizes.sizes):,} subclasses of {int((counts > 0).sum()):,} classes, "
        f"{int((counts > 1).sum()):,} of which are split; {len(dataset):,} training images."
    )
    sections.add_distances()
    sections.add_sizes()
    page.add_heading("Subclasses and classes by t-SNE")
    page.add_text(TSNE_NOTE)
    sections.add_split_classes(classes or sections.largest_first()[:1])
    sections.add_head_classes(args.num_classes)
    sections.add_all_classes(loss.tau2.cpu() if len(loss.tau2) else torch.full((len(names),), loss.class_temperature))
    print(page.finish())


def main(argv: Sequence[str] | None = None) -> None:
    """Write the page."""
    with user_errors():
        args = parse_args(argv)
        guard_pickles(args.allow_pickle)
        write_page(args)


if __name__ == "__main__":
    main()
