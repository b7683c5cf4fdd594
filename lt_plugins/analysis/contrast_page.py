"""Page of a contrastive run: the geometry of its features on the unit sphere.

Alignment, uniformity, and distances within and between classes over the epochs, by group of classes; angles between
the class means, against those of a regular simplex.
"""

from __future__ import annotations

import copy
import math
import re
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import torch
from mmengine.config import Config
from torch import Tensor

from lt_plugins.analysis.figures import plot_geometry_trend, plot_mean_angles, plot_nearest_angles
from lt_plugins.analysis.page import AnalysisPage, all_class_names, describe_origin, loader_settings
from lt_plugins.analysis.trained_model import TrainedModel, build_plain_dataset, load_weights
from lt_plugins.clustering import least_uniformity, mean_angles, simplex_angle
from lt_plugins.engine.contrast_geometry import ContrastGeometry, has_projections, measure_geometry
from lt_plugins.errors import UserInputError
from lt_plugins.evaluation.geometry_names import GROUPS, QUANTITIES, scalar_name
from lt_plugins.runs.run_folder import RunFolder, RunLog
from lt_plugins.visualization import FigurePage
from lt_plugins.visualization.confusion import MAX_CELLS

NUMBER_NOTE = (
    "Alignment: squared distance of two augmented views of an image, as the training draws them. Uniformity: logarithm "
    "of the mean of exp(-2 d^2) over the pairs of images, at best {best:.2f} in {dimension} dimensions (Wang and "
    "Isola, 2020). Within and between: distance of an image to others of its class, and to those of all other "
    "classes. Each class weighs the same, but in the uniformity each image."
)
TREND_NOTE = "Large marks are checkpoints of this folder, measured now{skipped}."
LOG_NOTE = " Lines are what ContrastGeometryHook has logged, of fewer images."
NO_LOG_NOTE = (
    " A run keeps its last two checkpoints by default; for whole curves train with "
    "--cfg-options default_hooks.contrast_geometry.type=ContrastGeometryHook."
)
ANGLE_NOTE = (
    "Angles between the mean directions of classes. Where classes are as far apart as they can be, all angles are that "
    "of a regular simplex, {ideal:.1f} degrees (arccos(-1/(C-1)), C = {classes}): white. Red is closer than that, blue "
    "further. Grey: a class and itself, or no image."
)
CROWDED_NOTE = (
    " {classes} classes do not fit a simplex in {dimension} dimensions: only the mean of all angles can reach it."
)
BLOCK_NOTE = " Drawn in {blocks} blocks of neighbouring size; a cell is the mean over its pairs of classes."
CENTRED_NOTE = (
    "The model has no projector, so these are its pooled features, and the mean over all classes is taken off the "
    "class means."
)
NUM_PAIRS = 10
"""Pairs of the closest classes that are named."""
_KEPT = re.compile(r"(epoch|iter)_(\d+)\.pth")

Point = tuple[int, Mapping[str, Mapping[str, float]]]


class ContrastPage(AnalysisPage):
    """Page of a model that contrasts projections; asked for by name, of any that has pooled features."""

    name = "contrast"
    title = "Contrastive geometry"
    needs = "a projector (configs/scl, configs/paco, ...)"
    defaults = {"max_images": 20000, "checkpoints": 10, "seed": 0}

    @staticmethod
    def fits(model: Any, cfg: Config) -> bool:  # noqa: ARG004 (its parts tell)
        """Whether a model has a projector."""
        return has_projections(model)

    @classmethod
    def shows(cls, model: Any, cfg: Config) -> bool:  # noqa: ARG003
        """Whether a model has features at all."""
        return hasattr(model, "extract_feat")

    def check_options(self) -> None:
        """Refuse numbers of images and checkpoints that are not positive, and seeds that are out of range.

        Raises:
            UserInputError: If there is one.
        """
        options = self.options
        if min(options.max_images, options.checkpoints) < 1:
            raise UserInputError(
                f"--max-images {options.max_images} and --checkpoints {options.checkpoints} must be 1 or more."
            )
        if not 0 <= options.seed < 2**32:
            raise UserInputError(f"--seed {options.seed} must be from 0 to {2**32 - 1}.")

    def write(self, cfg: Config, trained: TrainedModel, run: str, out_dir: Path | None = None) -> str:
        """Write the page, see :meth:`AnalysisPage.write`."""
        split = "val" if (cfg.get("val_dataloader") or {}).get("dataset") else "test"
        dataset = build_plain_dataset(cfg, split, trained)
        page = self.open(trained, run, out_dir)

        def measure(model: Any, path: Path) -> ContrastGeometry:
            print(f"features and views of {path.name}", flush=True)  # noqa: T201 (it takes a while)
            options = {"max_images": self.options.max_images, "seed": self.options.seed}
            return measure_geometry(model, dataset, cfg, **options, **loader_settings(cfg, split))

        found = measure(trained.model, trained.checkpoint)
        distribution = trained.model.class_distribution
        sizes, groups = distribution.counts.cpu(), np.array(distribution.groups)
        dimension = found.directions.shape[1]
        page.add_text(
            f"{describe_origin(trained)}. {found.num_images:,} of the {len(dataset):,} images of {split}_dataloader, "
            f"{'projections' if found.is_projected else 'features'} of length {dimension}."
        )
        if not found.is_projected:
            page.add_text(CENTRED_NOTE)
        order = sizes.argsort(descending=True, stable=True)
        angles = mean_angles(found.directions, order, min(len(order), MAX_CELLS))
        add_numbers(page, found, groups, angles.nearest, angles.average)
        add_trend(page, self._points(cfg, trained, found, measure), trained.checkpoint.parent, found)
        names = all_class_names(dataset, len(order))
        add_angles(page, angles, order, names, groups, dimension)
        return page.finish()

    def _points(self, cfg: Config, trained: TrainedModel, found: ContrastGeometry, measure: Any) -> Trend:
        """Measure the other checkpoints of the run."""
        points: list[Point] = [] if trained.epoch is None else [(trained.epoch, found.numbers)]
        skipped = []
        others = other_checkpoints(trained.checkpoint, self.options.checkpoints - 1)
        model = copy.deepcopy(trained.model) if others else None
        for path in others:
            try:
                other = load_weights(cfg, model, path, str(next(trained.model.parameters()).device))
            except UserInputError as error:
                skipped.append(str(error))
                continue
            if other.epoch is not None:
                points.append((other.epoch, measure(other.model, path).numbers))
        return Trend(sorted(points, key=lambda point: point[0]), skipped)


class Trend(NamedTuple):
    """Checkpoints of a run that were measured.

    Args:
        points (list[tuple]): Epoch and numbers of each, in order.
        skipped (list[str]): Why others could not be read.
    """

    points: list[Point]
    skipped: list[str]


def other_checkpoints(checkpoint: Path, number: int) -> list[Path]:
    """Other checkpoints that the same run kept, evenly spread over its epochs.

    Args:
        checkpoint (Path): One of them; of a file with another name than training gives there are none.
        number (int): How many at most.
    """
    own = _KEPT.fullmatch(checkpoint.name)
    if own is None or number < 1:
        return []
    kept = {int(match[2]): path for path in checkpoint.parent.iterdir() if (match := _KEPT.fullmatch(path.name))}
    kept = {step: path for step, path in kept.items() if path.name.startswith(own[1]) and path.name != checkpoint.name}
    steps = sorted(kept)
    places = np.linspace(0, len(steps) - 1, min(number, len(steps))).round().astype(int)
    return [kept[steps[place]] for place in places]


def logged_points(log: RunLog) -> list[Point]:
    """What ``ContrastGeometryHook`` has logged.

    Args:
        log (RunLog): The log.

    Returns:
        list[tuple]: Epoch and numbers of each validation.
    """
    names = {scalar_name(quantity, group): (quantity, group) for quantity in QUANTITIES for group in GROUPS}
    points: list[Point] = []
    for row in log.metrics:
        numbers: dict[str, dict[str, float]] = {quantity: {} for quantity in QUANTITIES}
        for key in row.keys() & names.keys():
            quantity, group = names[key]
            numbers[quantity][group] = row[key]
        if any(numbers.values()):
            points.append((int(row["step"]), numbers))
    return points


def add_numbers(
    page: FigurePage, found: ContrastGeometry, groups: np.ndarray, nearest: Tensor, average: Tensor
) -> None:
    """Add the table of the groups.

    Args:
        page (FigurePage): Where.
        found (ContrastGeometry): The numbers.
        groups (NDArray): Group of each class, ``(C,)``.
        nearest (Tensor): Angle of each class mean to the nearest other one, ``(C,)``.
        average (Tensor): Mean angle to the others, ``(C,)``.
    """
    dimension = found.directions.shape[1]
    page.add_heading("Alignment, uniformity and class distances")
    page.add_text(NUMBER_NOTE.format(best=least_uniformity(dimension), dimension=dimension))
    rows: list[list[object]] = []
    for group in GROUPS:
        members = (groups == group) | (group == "all")
        if not members.any():
            continue
        numbers = [found.numbers[quantity].get(group) for quantity in QUANTITIES]
        within, between = numbers[2:]
        ratio = None if within is None or not between else within / between
        means = [mean_or_none(angles[torch.from_numpy(members)]) for angles in (nearest, average)]
        rows.append([group, int(members.sum()), *numbers, ratio, *means])
    header = ["within / between", "angle to nearest class", "angle to others"]
    page.add_table(["group", "classes", *QUANTITIES, *header], rows)


def mean_or_none(values: Tensor) -> float | None:
    """Mean of what is not NaN; None where all is.

    Args:
        values (Tensor): Numbers.
    """
    mean = float(values.nanmean())
    return None if math.isnan(mean) else mean


def add_trend(page: FigurePage, trend: Trend, folder: Path, found: ContrastGeometry) -> None:
    """Add the numbers over the epochs.

    Args:
        page (FigurePage): Where.
        trend (Trend): Checkpoints that were measured.
        folder (Path): Folder of the run, whose log may have more.
        found (ContrastGeometry): Geometry of the checkpoint that is shown.
    """
    page.add_heading("Over the epochs")
    try:
        logged = logged_points(RunFolder(folder).log())
    except UserInputError:  # a checkpoint that was copied, or not trained here
        logged = []
    skipped = "" if not trend.skipped else f"; {len(trend.skipped)} could not be read: {'; '.join(trend.skipped)}"
    page.add_text(TREND_NOTE.format(skipped=skipped.rstrip(".")) + (LOG_NOTE if logged else NO_LOG_NOTE))
    if not trend.points and not logged:
        page.add_text("Not shown: the checkpoint does not say its epoch, and there is no log beside it.")
        return
    num_classes, dimension = found.directions.shape
    ideals = {"uniformity": least_uniformity(dimension)}
    if num_classes > 1:
        ideals["between"] = math.sqrt(2 * num_classes / (num_classes - 1))  # corners of a simplex
    figure = plot_geometry_trend(trend.points, logged, ideals)
    page.add_png("trend", figure, "Alignment, uniformity and class distances over the epochs, by group of classes")


def add_angles(
    page: FigurePage, angles: Any, order: Tensor, names: Sequence[str], groups: np.ndarray, dimension: int
) -> None:
    """Add the angles between class means, and the classes that are closest to each other.

    Args:
        page (FigurePage): Where.
        angles (MeanAngles): The angles.
        order (Tensor): The classes, largest first, ``(C,)``.
        names (Sequence[str]): Class names.
        groups (NDArray): Group of each class, ``(C,)``.
        dimension (int): Length of the features.
    """
    page.add_heading("Class means on the sphere")
    present = int((angles.nearest_class >= 0).sum())
    if present < 2:
        page.add_text("Not shown: images of two classes or more are needed.")
        return
    ideal, num_blocks = simplex_angle(len(order)), len(angles.blocks)
    text = ANGLE_NOTE.format(ideal=ideal, classes=len(order))
    if len(order) > dimension + 1:
        text += CROWDED_NOTE.format(classes=f"{len(order):,}", dimension=dimension)
    if num_blocks < len(order):
        text += BLOCK_NOTE.format(blocks=num_blocks)
    page.add_text(text)
    sorted_names, sorted_groups = [names[label] for label in order.tolist()], groups[order.numpy()]
    page.add_png(
        "angles",
        plot_mean_angles(angles.blocks.numpy(), sorted_names, sorted_groups, ideal),
        "Angles between class means, classes in the order of their size",
    )
    nearest, average = (values[order].numpy() for values in (angles.nearest, angles.average))
    page.add_png(
        "nearest",
        plot_nearest_angles(nearest, average, sorted_names, sorted_groups, ideal),
        "Angle of each class mean to the nearest other one, and to all others on average",
    )
    pairs: dict[frozenset[int], tuple[int, int]] = {}
    for label in angles.nearest.nan_to_num(math.inf).argsort(stable=True).tolist():
        if (other := int(angles.nearest_class[label])) >= 0:
            pairs.setdefault(frozenset((label, other)), (label, other))
    rows = [
        [f"{names[a]} ({groups[a]})", f"{names[b]} ({groups[b]})", float(angles.nearest[a])]
        for a, b in list(pairs.values())[:NUM_PAIRS]
    ]
    page.add_table(["closest classes", "", "angle"], rows)
