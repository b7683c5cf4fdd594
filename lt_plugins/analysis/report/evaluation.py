"""Newest evaluation of a run: its table of classes and its predictions."""

from __future__ import annotations

import time
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from lt_plugins.errors import UserInputError
from lt_plugins.evaluation.class_table import ClassTable
from lt_plugins.evaluation.predictions import Predictions
from lt_plugins.runs.run_folder import RunFolder


@dataclass(frozen=True)
class Evaluation:
    """Newest evaluation of a run.

    Args:
        path (Path): File of the predictions.
        table (ClassTable): Accuracy and size of each class.
        predictions (Predictions): Prediction for each test image.
    """

    path: Path
    table: ClassTable
    predictions: Predictions

    @classmethod
    def read(cls, run: RunFolder) -> Evaluation:
        """Read it.

        Args:
            run (RunFolder): The run.

        Raises:
            UserInputError: If there was none, a file is damaged, or they are of different numbers of classes.
        """
        _, table = run.class_table()
        path, predictions = run.predictions()
        if predictions.num_classes != len(table.names):
            raise UserInputError(
                f"{path} has predictions for {predictions.num_classes} classes and the table beside it "
                f"{len(table.names)}; evaluate again."
            )
        return cls(path, table, predictions)

    @property
    def order(self) -> NDArray[np.int64]:
        """Classes, those with most training images first; in their own order if these are not known."""
        counts = self.table.train_counts
        return np.arange(len(self.table.names)) if counts is None else np.argsort(-counts, kind="stable")


def written_on(path: Path) -> str:
    """When a file was written, to the minute.

    Args:
        path (Path): The file.
    """
    return time.strftime("%Y-%m-%d %H:%M", time.localtime(path.stat().st_mtime))
