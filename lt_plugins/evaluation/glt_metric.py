"""Accuracy and precision on the test sets of the generalized long-tail (GLT) protocols."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
from mmengine.dist import is_main_process
from numpy.typing import NDArray

from lt_plugins.errors import UserInputError
from lt_plugins.evaluation.glt_counts import MIN_IMAGES, GLTCounts
from lt_plugins.evaluation.glt_table import PROTOCOLS, GLTTable
from lt_plugins.evaluation.prediction_metric import PredictionMetric
from lt_plugins.evaluation.predictions import Predictions
from lt_plugins.registry import METRICS


@METRICS.register_module()
class GLTMetric(PredictionMetric):
    """GLT metric: measures accuracy and precision of each protocol, by class group and attribute, and the worst cell.

    A ``GLTDataset`` of several test splits is evaluated in one pass. What a test split is called follows from what the
    model was trained on: after ``train-glt``, ``test-cbl`` is ``clt`` and ``test-gbl`` is ``glt``; after ``train-cbl``,
    ``test-gbl`` is ``alt``. Any other split keeps its name. ``ClassDistributionHook`` hands over the training set's
    metainfo, in testing that of the checkpoint.

    All numbers are in percent, named ``PROTOCOL/NUMBER`` as in :meth:`GLTTable.numbers`. The main process also writes
    ``glt_cells.csv`` (a :class:`GLTTable`) and ``predictions.npz``, which ``tools/report.py`` reads.

    Source: Tang et al., "Invariant Feature Learning for Generalized Long-Tailed Classification" (ECCV 2022); its
    released code defines the precision of class groups and attributes.

    Args:
        min_images (int): Cells of a class and an attribute with fewer test images cannot be the worst. Defaults to 10.
        out_dir (str | None): Folder for the two files. Defaults to the folder of the run's log file; without a log file
            nothing is written.

    Raises:
        UserInputError: If ``min_images`` is not positive.

    Example:
        >>> val_evaluator = dict(type='GLTMetric')
        >>> default_hooks = dict(checkpoint=dict(type='SafeCheckpointHook', save_best='glt/accuracy'))
    """

    default_prefix = ""  # the protocol stands before each number

    def __init__(self, min_images: int = MIN_IMAGES, out_dir: str | None = None) -> None:
        super().__init__()
        if min_images < 1:
            raise UserInputError(f"min_images={min_images} must be at least 1; 10 is the default.")
        self.min_images = min_images
        self.out_dir = out_dir
        self.trained_on: tuple[str, ...] = ()

    def set_training_metainfo(self, metainfo: Mapping[str, Any]) -> None:
        """Take the split that the model was trained on.

        Args:
            metainfo (Mapping[str, Any]): That of the training set; one without ``splits`` makes no protocol.
        """
        self.trained_on = tuple(metainfo.get("splits", ()))

    def compute_metrics(self, predictions: Predictions) -> dict[str, float]:
        """Compute the numbers and, on the main process, write the files.

        Raises:
            UserInputError: If the test set is no GLT benchmark, or has other classes than the model.
        """
        if self.is_trial:
            predictions = self._made_up(predictions.num_classes)
        table = self.table(predictions)
        if not self.is_trial and is_main_process() and (folder := self.output_folder(self.out_dir)) is not None:
            table.save(folder / "glt_cells.csv")
            predictions.save(folder / "predictions.npz")
        return table.numbers(1 if self.is_trial else self.min_images)

    def table(self, predictions: Predictions) -> GLTTable:
        """Count the hits of each test set, class and attribute.

        Args:
            predictions (Predictions): One prediction a sample of the test set.

        Raises:
            UserInputError: As :meth:`compute_metrics`.
        """
        glt = self._metainfo()
        num_classes, num_images = predictions.num_classes, len(glt["subset"])
        if len(glt["class_group"]) != num_classes:
            raise UserInputError(
                f"the test set has class groups of {len(glt['class_group'])} classes and the model scores "
                f"{num_classes}; set the head's num_classes to the number of classes of the data."
            )
        if predictions.sample_idx.min() < 0 or predictions.sample_idx.max() >= num_images:
            raise UserInputError(
                f"GLTMetric looks up attributes by sample_idx from 0 to {num_images - 1} and got "
                f"{predictions.sample_idx.min()}..{predictions.sample_idx.max()}; keep 'sample_idx' in the meta_keys "
                "of PackInputs."
            )
        subset, attribute = (np.asarray(glt[name])[predictions.sample_idx] for name in ("subset", "attribute"))
        names = tuple((self.dataset_meta or {}).get("classes") or map(str, range(num_classes)))
        attribute_names = tuple(glt["attribute_names"])
        tests = {}
        for number, name in enumerate(glt["subset_names"]):
            own = subset == number
            tests[self._test_name(name)] = GLTCounts.from_predictions(
                predictions.label[own], predictions.predicted[own], attribute[own], num_classes, len(attribute_names)
            )
        return GLTTable(names, attribute_names, np.asarray(glt["class_group"]), tests)

    def _test_name(self, split: str) -> str:
        """Protocol of a test split, or its own name."""
        trained_on = self.trained_on[0] if len(self.trained_on) == 1 else ""
        return PROTOCOLS.get((trained_on, split), split)

    def _metainfo(self) -> Mapping[str, Any]:
        glt: Mapping[str, Any] | None = (self.dataset_meta or {}).get("glt")
        if glt is None:
            raise UserInputError(
                "GLTMetric needs the attribute of each test image, which the test set does not have; evaluate on a "
                "GLTDataset (tools/make_glt.py makes one of any images), or use ShotAccuracy."
            )
        return glt

    def _made_up(self, num_classes: int) -> Predictions:
        """Right predictions for all images, whose classes take turns, so that a trial finds every number."""
        num_images = len(self._metainfo()["subset"])
        sample_idx: NDArray[np.int64] = np.arange(num_images)
        label = sample_idx % num_classes
        return Predictions(label, label, 0 * label, np.ones(num_images, np.float32), sample_idx, num_classes)
