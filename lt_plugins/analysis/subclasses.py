"""Page of the subclasses of an SBCL model.

How close images are to their subclass and to their class (Fig. 2 of the SBCL paper); how large the subclasses are; a
head class coloured by subclass, and the head classes (Fig. 3), by t-SNE; and all classes in a table.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
from mmengine.config import Config
from torch import Tensor

from lt_plugins.analysis.figures import plot_subclass_distances, plot_subclass_sizes
from lt_plugins.analysis.page import (
    AnalysisPage,
    all_class_names,
    describe_origin,
    loader_settings,
    not_clustered_error,
)
from lt_plugins.analysis.queries import find_label
from lt_plugins.analysis.trained_model import TrainedModel, build_plain_dataset
from lt_plugins.clustering import subclass_distances, subclass_sizes, tail_sizes
from lt_plugins.datasets.labels import get_labels
from lt_plugins.engine.features import gather_features
from lt_plugins.errors import UserInputError
from lt_plugins.evaluation.shot_thresholds import ShotThresholds, shot_thresholds
from lt_plugins.models.losses import SBCLLoss
from lt_plugins.models.structures import ClassDistribution
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


class SubclassPage(AnalysisPage):
    """Page of the subclasses of an :class:`SBCLLoss`."""

    name = "subclasses"
    title = "Subclasses"
    needs = "SBCLLoss (configs/sbcl)"
    defaults = {"classes": (), "num_classes": 10, "max_points": 2000, "seed": 0}

    @staticmethod
    def fits(model: Any, cfg: Config) -> bool:  # noqa: ARG004 (its parts tell)
        """Whether a model has an :class:`SBCLLoss`."""
        return isinstance(getattr(getattr(model, "head", None), "loss_module", None), SBCLLoss)

    def check_options(self) -> None:
        """Refuse numbers of classes and images that are not positive, and seeds that are out of range.

        Raises:
            UserInputError: If there is one.
        """
        options = self.options
        if min(options.num_classes, options.max_points) < 1:
            raise UserInputError(
                f"--num-classes {options.num_classes} and --max-points {options.max_points} must be 1 or more."
            )
        if not 0 <= options.seed < 2**32:
            raise UserInputError(f"--seed {options.seed} must be from 0 to {2**32 - 1}.")

    def write(self, cfg: Config, trained: TrainedModel, run: str, out_dir: Path | None = None) -> str:
        """Write the page, see :meth:`AnalysisPage.write`."""
        options, model = self.options, trained.model
        loss = model.head.loss_module
        if not loss.is_ready:
            raise not_clustered_error(cfg, trained, "subclasses")
        dataset = build_plain_dataset(cfg, "train", trained)
        labels, subclass = torch.from_numpy(get_labels(dataset)), loss.subclass.cpu()
        names = all_class_names(dataset, model.head.num_classes)
        counts = subclass_sizes(subclass, labels, len(names)).num_parts  # refuses other training data before the pass
        classes = list(dict.fromkeys(find_label(query, names) for query in options.classes))
        if empty := [names[label] for label in classes if not counts[label]]:
            raise UserInputError(f"class {empty[0]} has no training image to show.")
        page = self.open(trained, run, out_dir)

        def extract(batch: dict[str, Any]) -> Tensor:
            projections: Tensor = model.extract_projections(model.data_preprocessor(batch, training=False)["inputs"])
            return projections

        features = gather_features(extract, dataset, description="projections", **loader_settings(cfg, "train"))
        sections = SubclassSections(
            page, features, labels, subclass, names, options.max_points, options.seed, shot_thresholds(cfg)
        )
        page.add_text(
            f"{describe_origin(trained)}. {len(sections.sizes.sizes):,} subclasses of {int((counts > 0).sum()):,} "
            f"classes, {int((counts > 1).sum()):,} of which are split; {len(dataset):,} training images."
        )
        sections.add_distances()
        sections.add_sizes()
        page.add_heading("Subclasses and classes by t-SNE")
        page.add_text(TSNE_NOTE)
        sections.add_split_classes(classes or sections.largest_first()[:1])
        sections.add_head_classes(options.num_classes)
        tau2 = loss.tau2.cpu() if len(loss.tau2) else torch.full((len(names),), loss.class_temperature)
        sections.add_all_classes(tau2)
        return page.finish()


class SubclassSections:
    """Sections of the page.

    Args:
        page (FigurePage): Where the sections go.
        features (Tensor): Projections of the training images, ``(N, D)``.
        labels (Tensor): Their classes, int64 ``(N,)``.
        subclass (Tensor): Their subclasses, int64 ``(N,)``.
        names (list[str]): Class names, ``C`` of them.
        max_points (int): Images in a picture at most.
        seed (int): Seed of the drawn images and of t-SNE.
        thresholds (ShotThresholds): Limits of many-, medium- and few-shot classes. Defaults to 100 and 20 images.
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
        thresholds: ShotThresholds = ShotThresholds(),  # noqa: B008 (it cannot be changed)
    ) -> None:
        self.page = page
        self.features = features
        self.labels = labels
        self.subclass = subclass
        self.names = names
        self.max_points = max_points
        self.seed = seed
        self.distribution = ClassDistribution(len(names), *thresholds)
        self.distribution.set_counts(labels.bincount(minlength=len(names)))
        self.groups = np.array(self.distribution.groups)
        self.sizes = subclass_sizes(subclass, labels, len(names))

    def largest_first(self) -> list[int]:
        """Classes that have images, largest first."""
        counts = self.distribution.counts
        return counts.argsort(descending=True, stable=True)[: int((counts > 0).sum())].tolist()

    def add_distances(self) -> None:
        """Add the distances of images to their subclass and to their class."""
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
        """Add the sizes of the subclasses."""
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
        """Add classes coloured by subclass."""
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
        """Add the largest classes coloured by class."""
        head = self.largest_first()[:num_classes]
        rank = torch.full((len(self.names),), -1)
        rank[head] = torch.arange(len(head))
        members = (rank[self.labels] >= 0).nonzero().flatten()
        names = [self.names[label] for label in head]
        self._embed("head_classes", members, rank[self.labels[members]], names, f"The {len(head)} largest classes")

    def add_all_classes(self, tau2: Tensor) -> None:
        """Add the table of classes.

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
        print(f"t-SNE of {len(members):,} images for {name}", flush=True)  # noqa: T201 (it takes a while)
        points = tsne_points(self.features[members].numpy(), self.seed)
        self.page.add_png(name, plot_embedding(points, groups.numpy(), names, title), title)
