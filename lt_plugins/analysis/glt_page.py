"""Page of a model of a generalized long-tailed (GLT) benchmark.

Its accuracy over class size and attribute on each test set, precision against accuracy over the epochs of its run (Fig.
5 of the IFL paper), and, of invariant feature learning, the images that its environments draw often and seldom.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import torch
from mmengine.config import Config
from numpy.typing import NDArray
from torch import Tensor

from lt_plugins.analysis.figures import AttributeRow, MarkedImage, draw_attribute_grid
from lt_plugins.analysis.gallery import ImageGallery, to_picture
from lt_plugins.analysis.page import AnalysisPage, describe_origin, loader_settings
from lt_plugins.analysis.queries import find_label
from lt_plugins.analysis.trained_model import TrainedModel, build_plain_dataset
from lt_plugins.datasets.labels import get_labels
from lt_plugins.engine.features import stream_features
from lt_plugins.errors import UserInputError
from lt_plugins.evaluation.glt_metric import GLTMetric
from lt_plugins.evaluation.glt_table import GLTTable
from lt_plugins.evaluation.predictions import Predictions
from lt_plugins.evaluation.shot_thresholds import is_glt
from lt_plugins.models.losses import EnvironmentRecorder
from lt_plugins.runs.run_folder import RunFolder
from lt_plugins.visualization import FigurePage, plot_cell_accuracy, plot_precision_trend

CELL_NOTE = (
    "Rows are classes of similar size, columns attributes; a cell states accuracy in percent and its test images. CLT "
    "tests attributes as they come, GLT and ALT each alike."
)
TREND_NOTE = (
    "Validation after each epoch. Re-balancing classes raises accuracy at the cost of precision; features that stand "
    "for the class in all its contexts raise both."
)
WEIGHT_NOTE = (
    "Below an image is its weight in environment {number}, relative to the mean of its class: 3.00 is drawn three "
    "times as often as the mean image. Images with weight 0 were not recorded in the epoch before the weights were set."
)
NUM_CLASSES = 2
"""Classes of each group whose images are shown by default."""


class GLTPage(AnalysisPage):
    """Page of a model that is tested on a GLT benchmark."""

    name = "glt"
    title = "Generalized long tail"
    needs = "GLTMetric in test_evaluator (configs/*/*-glt.py)"
    defaults = {"classes": (), "top": 6}

    @staticmethod
    def fits(model: Any, cfg: Config) -> bool:  # noqa: ARG004 (any model that is tested so)
        """Whether a config tests by :class:`GLTMetric`."""
        return is_glt(cfg)

    def check_options(self) -> None:
        """Refuse a number of images that is not positive.

        Raises:
            UserInputError: If it is not.
        """
        if self.options.top < 1:
            raise UserInputError(f"--top {self.options.top} must be 1 or more.")

    def write(self, cfg: Config, trained: TrainedModel, run: str, out_dir: Path | None = None) -> str:
        """Write the page, see :meth:`AnalysisPage.write`."""
        train, test = (build_plain_dataset(cfg, split, trained) for split in ("train", "test"))
        gallery = ImageGallery(trained.model, train, (1, 1))
        classes = list(dict.fromkeys(find_label(query, gallery.class_names) for query in self.options.classes))
        metric = GLTMetric()
        metric.dataset_meta = test.metainfo
        metric.set_training_metainfo(train.metainfo)
        table = metric.table(predict(trained.model, test, loader_settings(cfg, "test")))
        gallery.groups = [group or None for group in table.groups.tolist()]  # those of the benchmark
        page = self.open(trained, run, out_dir)
        page.add_text(f"{describe_origin(trained)}.")
        add_cells(page, table, gallery.class_sizes)
        add_trend(page, trained.checkpoint.parent)
        for recorder in trained.model.modules():
            if isinstance(recorder, EnvironmentRecorder):
                add_environments(page, gallery, recorder.weights, classes, self.options.top)
        return page.finish()


def predict(model: Any, dataset: Any, settings: dict[str, Any]) -> Predictions:
    """Predict all images of a dataset.

    Args:
        model (nn.Module): The classifier, in evaluation mode.
        dataset (Dataset): The dataset, with the test pipeline.
        settings (dict): Batch size and workers.
    """

    def score(batch: dict[str, Any]) -> Tensor:
        scores: Tensor = model.test_step(batch).pred_score
        return scores

    labels = torch.from_numpy(get_labels(dataset))
    parts = [
        Predictions.from_scores(scores.cpu(), labels[positions], positions)
        for positions, scores in stream_features(score, dataset, description="predictions", **settings)
    ]
    return Predictions.concatenate(parts)


def add_cells(page: FigurePage, table: GLTTable, class_sizes: NDArray[np.int64]) -> None:
    """Add the numbers of all test sets, and the accuracy over class size and attribute.

    Args:
        page (FigurePage): Where.
        table (GLTTable): What the model predicted.
        class_sizes (NDArray): Training images of each class, ``(C,)``.
    """
    page.add_heading("Accuracy over class size and attribute")
    page.add_text(CELL_NOTE)
    names = {test: table.title(test) for test in table.tests}
    figure = plot_cell_accuracy(table.cells(), class_sizes, table.groups, table.attribute_names)
    page.add_png("cells", figure, "Accuracy of each class size and attribute, and the number of test images")
    numbers = {test: counts.numbers(table.class_group) for test, counts in table.tests.items()}
    rows = dict.fromkeys(name for found in numbers.values() for name in found)
    header = ["number (%)", *names.values()]
    page.add_table(header, [[name, *(found.get(name) for found in numbers.values())] for name in rows])
    for test, counts in table.tests.items():
        if worst := counts.worst_cell():
            where = f"class {table.names[worst.label]} with attribute {table.attribute_names[worst.attribute]}"
            page.add_text(f"Worst cell of {names[test]}: {where}, {worst.images} images.")


def add_trend(page: FigurePage, folder: Path) -> None:
    """Add precision against accuracy over the epochs of a run, if its log is there.

    Args:
        page (FigurePage): Where.
        folder (Path): Folder of the checkpoint.
    """
    page.add_heading("Precision against accuracy over the epochs")
    try:
        trends = RunFolder(folder).log().precision_trends()
    except UserInputError as error:
        page.add_text(f"Not shown: {error}")
        return
    if not trends:
        page.add_text(f"Not shown: the log of {folder} has no accuracy and precision of GLTMetric.")
        return
    page.add_text(TREND_NOTE)
    figure = plot_precision_trend({test: {folder.name: trend} for test, trend in trends.items()})
    page.add_png("trend", figure, "Precision against accuracy on the validation set, from the first epoch to the last")


def add_environments(
    page: FigurePage, gallery: ImageGallery, weights: Tensor, classes: list[int], num_images: int
) -> None:
    """Add the images of some classes with the highest and the lowest weights.

    Args:
        page (FigurePage): Where.
        gallery (ImageGallery): Images of the training set.
        weights (Tensor): Weights of the environments beside the first one, ``(E - 1, N)``.
        classes (list[int]): The classes; by default some of each group.
        num_images (int): Images with the highest, and with the lowest weights.

    Raises:
        UserInputError: If there are weights for another number of images than the training set has.
    """
    page.add_heading("Images that the environments draw often and seldom")
    if not len(weights):
        page.add_text("Not shown: the environments are still equal; EnvironmentHook weighs them at its milestones.")
        return
    if weights.shape[1] != len(gallery.labels):
        raise UserInputError(
            f"the checkpoint weighs {weights.shape[1]} training images, and the training set of the config has "
            f"{len(gallery.labels)}; use the config and the data that it was trained with."
        )
    shown = classes or default_classes(gallery)
    for number, own in enumerate(weights.cpu(), start=2):
        page.add_text(WEIGHT_NOTE.format(number=number))
        rows = [row for label in shown for row in weight_rows(gallery, own, label, num_images)]
        caption = f"Images with the highest and the lowest weights of a class in environment {number}"
        page.add_png(f"environment_{number}", draw_attribute_grid(rows), caption)


def default_classes(gallery: ImageGallery) -> list[int]:
    """The largest classes of each group.

    Args:
        gallery (ImageGallery): Images of the training set.
    """
    order = [label for label in gallery.largest_first() if gallery.class_sizes[label]]
    groups = dict.fromkeys(map(gallery.group, order))
    return [label for name in groups for label in [c for c in order if gallery.group(c) == name][:NUM_CLASSES]]


def weight_rows(gallery: ImageGallery, weights: Tensor, label: int, num_images: int) -> list[AttributeRow]:
    """Rows of the images of a class with the highest and with the lowest weights; few images are one row.

    Args:
        gallery (ImageGallery): Images of the training set.
        weights (Tensor): Weight of each training image, ``(N,)``.
        label (int): The class.
        num_images (int): Images a row.

    Raises:
        UserInputError: If the class has no training image.
    """
    members = torch.from_numpy(np.flatnonzero(gallery.labels == label))
    if not len(members):
        raise UserInputError(f"class {gallery.class_names[label]} has no training image to show.")
    own = weights[members]
    relative = own / own.mean() if own.any() else own
    order = relative.argsort(descending=True, stable=True)
    ends = {"highest weights": order[:num_images]}
    if len(order) > num_images:
        ends["lowest weights"] = order[num_images:][-num_images:]
    title = gallery.class_title(label)
    return [
        AttributeRow(
            f"{title}\n{end}",
            [
                MarkedImage(
                    to_picture(gallery.dataset[int(members[place])]["inputs"]),
                    None,
                    gallery.grid,
                    group=gallery.group(label),
                    score=float(relative[place]),
                )
                for place in places.tolist()
            ],
        )
        for end, places in ends.items()
    ]
