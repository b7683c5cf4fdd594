"""Accuracy of each class beside its number of training images, and the means that the field reports."""

from __future__ import annotations

import csv
import io
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from lt_plugins.atomic_write import atomic_write
from lt_plugins.evaluation.functional import class_accuracy, mean_class_accuracies
from lt_plugins.models.structures import ClassDistribution
from lt_plugins.unreadable import refuse_unreadable, require

_COLUMNS = ("class_id", "name", "train_count", "group", "test_count", "accuracy")


@dataclass(frozen=True)
class ClassTable:
    """Per-class accuracy of ``C`` classes. The means leave out classes without test images.

    Args:
        names (tuple[str, ...]): Class names, ``C`` of them.
        test_counts (NDArray): Test images of each class, ``(C,)`` int64.
        accuracy (NDArray): Accuracy on each class (its recall) in percent, ``(C,)`` float64; NaN without test images.
        train_counts (NDArray | None): Training images of each class, ``(C,)`` int64; None if they are not known.
        groups (NDArray | None): ``'many'``, ``'medium'`` or ``'few'`` for each class, ``(C,)`` str; None if not known.
    """

    names: tuple[str, ...]
    test_counts: NDArray[np.int64]
    accuracy: NDArray[np.float64]
    train_counts: NDArray[np.int64] | None = None
    groups: NDArray[np.str_] | None = None

    @classmethod
    def from_hits(
        cls,
        label: NDArray[np.int64],
        correct: NDArray[np.bool_],
        names: tuple[str, ...],
        distribution: ClassDistribution | None = None,
    ) -> ClassTable:
        """Count the hits of each class.

        Args:
            label (NDArray): True classes, ``(N,)``.
            correct (NDArray): Whether each prediction is right, ``(N,)``.
            names (tuple[str, ...]): Class names, ``C`` of them.
            distribution (ClassDistribution | None): Class counts of the training set, if they are known.
        """
        test_counts = np.bincount(label, minlength=len(names))
        accuracy = class_accuracy(correct, label, len(names))
        if distribution is None:
            return cls(names, test_counts, accuracy)
        return cls(names, test_counts, accuracy, distribution.counts.cpu().numpy(), np.array(distribution.groups))

    def means(self, zero_accuracy: float = 0.1) -> dict[str, float]:
        """Means of the per-class accuracies, in percent, as :func:`.mean_class_accuracies` computes them.

        Args:
            zero_accuracy (float): Floor of the accuracies in the geometric and harmonic means. Defaults to 0.1.
        """
        return mean_class_accuracies(self.accuracy, self.groups, zero_accuracy)

    def save(self, path: str | Path) -> None:
        """Write a CSV file, one line a class, atomically. What is not known is left empty."""
        text = io.StringIO()
        writer = csv.writer(text, lineterminator="\n")
        writer.writerow(_COLUMNS)
        for index, name in enumerate(self.names):
            train_count = "" if self.train_counts is None else self.train_counts[index]
            group = "" if self.groups is None else self.groups[index]
            accuracy = "" if self.test_counts[index] == 0 else f"{self.accuracy[index]:.4f}"
            writer.writerow((index, name, train_count, group, self.test_counts[index], accuracy))
        atomic_write(path, text.getvalue().encode())

    @classmethod
    def load(cls, path: str | Path) -> ClassTable:
        """Read what :meth:`save` wrote (accuracies are rounded to four decimals).

        Raises:
            UserInputError: If the file is not such a table.
        """
        with refuse_unreadable(path, "a table of classes", "evaluate again."):
            with Path(path).open(newline="", encoding="utf-8") as file:
                rows = [tuple(row[column] for column in _COLUMNS) for row in csv.DictReader(file)]
            require(len(rows) > 0, "it has no classes")
            numbers, names, train_counts, groups, test_counts, accuracy = zip(*rows, strict=True)
            require([*numbers] == [*map(str, range(len(rows)))], "its classes are not numbered from 0")
            table = cls(
                names=names,
                test_counts=np.array(test_counts, dtype=np.int64),
                accuracy=np.array([value or "nan" for value in accuracy], dtype=np.float64),
                train_counts=np.array(train_counts, dtype=np.int64) if all(train_counts) else None,
                groups=np.array(groups) if all(groups) else None,
            )
            counts = [table.test_counts] + ([] if table.train_counts is None else [table.train_counts])
            require(min(int(count.min()) for count in counts) >= 0, "it has a negative number of images")
            tested = table.accuracy[table.test_counts > 0]
            is_percent = bool(((tested >= 0) & (tested <= 100)).all())
            require(is_percent, "the accuracy of a tested class is not from 0 to 100")
            require(set(groups) <= {"many", "medium", "few", ""}, "its groups are not many, medium and few")
        return table
