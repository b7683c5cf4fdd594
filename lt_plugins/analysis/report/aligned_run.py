"""Runs that are compared: their predictions in the classes of the first run, and which of them can be paired."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from lt_plugins.analysis.report.evaluation import Evaluation
from lt_plugins.errors import UserInputError
from lt_plugins.evaluation.functional import class_accuracy, expected_calibration_error, mean_class_accuracies
from lt_plugins.runs.run_folder import RunFolder


@dataclass(frozen=True)
class AlignedRun:
    """A run in the ``C`` classes of the first one: only test images of classes that all runs have.

    Args:
        label (str): Name of the run.
        run (RunFolder): The run.
        evaluation (Evaluation): Its newest evaluation.
        truth (NDArray): True classes, ``(N,)``.
        predicted (NDArray): Predicted classes, ``(N,)``; -1 for one that not all runs have.
        confidence (NDArray): Highest score, ``(N,)``.
        sample_idx (NDArray): Position of the images in the test set, ``(N,)``.
        num_classes (int): Number of classes ``C`` of the first run.
    """

    label: str
    run: RunFolder
    evaluation: Evaluation
    truth: NDArray[np.int64]
    predicted: NDArray[np.int64]
    confidence: NDArray[np.float32]
    sample_idx: NDArray[np.int64]
    num_classes: int

    @property
    def correct(self) -> NDArray[np.bool_]:
        """Whether each prediction is right, ``(N,)``."""
        return np.equal(self.truth, self.predicted)

    @property
    def accuracy(self) -> NDArray[np.float64]:
        """Accuracy on each class in percent, ``(C,)``; NaN without test images."""
        return class_accuracy(self.correct, self.truth, self.num_classes)

    def metrics(self, groups: NDArray[np.str_] | None) -> dict[str, float]:
        """Overall accuracy, means over classes and calibration error, in percent.

        Args:
            groups (NDArray | None): Group of each class of the first run, ``(C,)``.
        """
        overall = {"overall": float(100 * self.correct.mean())}
        means = mean_class_accuracies(self.accuracy, groups)
        return {**overall, **means, "ECE": expected_calibration_error(self.confidence, self.correct)}

    def unpaired(self, first: AlignedRun) -> str | None:
        """Why images cannot be compared one by one with those of another run; None if they can.

        Args:
            first (AlignedRun): The other run.
        """
        if len(self.truth) != len(first.truth):
            return f"{len(self.truth):,} test images, not {len(first.truth):,}"
        if not np.array_equal(self.sample_idx, first.sample_idx):
            return "test images at other positions of the test set"
        if (different := int((self.truth != first.truth).sum())) > 0:
            return f"{different:,} of {len(self.truth):,} test images have another label"
        return None


def align_runs(runs: Sequence[RunFolder]) -> list[AlignedRun]:
    """Read the newest evaluation of each run, and number its classes as the first run does.

    Args:
        runs (Sequence[RunFolder]): The runs.

    Returns:
        list[AlignedRun]: In the same order.

    Raises:
        UserInputError: If one has no evaluation, its classes cannot be told apart by name, or no class is in all.
    """
    evaluations = [Evaluation.read(run) for run in runs]
    first = evaluations[0].table.names
    numbers = [_numbers(evaluation, first, evaluations[0].path) for evaluation in evaluations]
    common = np.ones(len(first), dtype=bool)
    for own in numbers:
        common &= np.isin(np.arange(len(first)), own)
    if not common.any():
        raise UserInputError(
            f"the runs have no class in common: {evaluations[0].path} has {first[0]!r}, "
            f"{evaluations[-1].path} {evaluations[-1].table.names[0]!r}; compare runs on the same classes."
        )
    aligned = []
    for label, run, evaluation, own in zip(_labels(runs), runs, evaluations, numbers, strict=True):
        own = np.where((own >= 0) & common[own], own, -1)
        predictions = evaluation.predictions
        kept = own[predictions.label] >= 0
        if not kept.any():
            raise UserInputError(f"{evaluation.path} has no test image of a class that all runs have.")
        aligned.append(
            AlignedRun(
                label,
                run,
                evaluation,
                truth=own[predictions.label[kept]],
                predicted=own[predictions.predicted[kept]],
                confidence=predictions.confidence[kept],
                sample_idx=predictions.sample_idx[kept],
                num_classes=len(first),
            )
        )
    return aligned


def _numbers(evaluation: Evaluation, first: tuple[str, ...], first_path: Path) -> NDArray[np.int64]:
    """Number in the first run of each class, ``(C,)``; -1 for a class that it does not have."""
    names = evaluation.table.names
    if names == first:
        return np.arange(len(first))
    for path, own in ((evaluation.path, names), (first_path, first)):
        if len(set(own)) != len(own):
            raise UserInputError(f"two classes of {path} have the same name, so that other runs cannot be aligned.")
    index = {name: number for number, name in enumerate(first)}
    return np.array([index.get(name, -1) for name in names])


def _labels(runs: Sequence[RunFolder]) -> list[str]:
    """Names of the runs: their folders, with as many of those above as tell them apart."""
    paths = [run.path.resolve() for run in runs]
    if len(set(paths)) != len(paths):
        raise UserInputError(f"{runs[0].path} would be compared with itself; give different runs.")
    depth = 1
    while len({path.parts[-depth:] for path in paths}) < len(paths):
        depth += 1
    return [str(Path(*path.parts[-depth:])) for path in paths]
