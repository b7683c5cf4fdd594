"""Hits and predictions of each class and attribute on all test sets of a GLT run, as one file."""

from __future__ import annotations

import csv
import io
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from lt_plugins.atomic_write import atomic_write
from lt_plugins.evaluation.functional import GROUPS
from lt_plugins.evaluation.glt_counts import MIN_IMAGES, GLTCounts
from lt_plugins.unreadable import refuse_unreadable, require

CLT, GLT, ALT = "clt", "glt", "alt"
PROTOCOLS = {
    ("train-glt", "test-cbl"): CLT,
    ("train-glt", "test-gbl"): GLT,
    ("train-cbl", "test-gbl"): ALT,
}
"""Protocol by the training split and the test split."""
_TEXTS = ("test", "class_name", "group", "attribute_name")
_NUMBERS = ("class_id", "attribute_id", "images", "hits", "predicted")
_COLUMNS = ("test", "class_id", "class_name", "group", "attribute_id", "attribute_name", *_NUMBERS[2:])


@dataclass(frozen=True)
class GLTTable:
    """Cell counts of each test set of a model.

    Args:
        names (tuple[str, ...]): Class names, ``C`` of them.
        attribute_names (tuple[str, ...]): Names of the attributes, ``A`` of them.
        class_group (NDArray): 0 for many, 1 for medium, 2 for few training images of each class, -1 if not known,
            ``(C,)`` int64.
        tests (Mapping[str, GLTCounts]): Counts by protocol (``clt``, ``glt``, ``alt``), or by the split of a test set
            that makes none with the training set.
    """

    names: tuple[str, ...]
    attribute_names: tuple[str, ...]
    class_group: NDArray[np.int64]
    tests: Mapping[str, GLTCounts]

    def numbers(self, min_images: int = MIN_IMAGES) -> dict[str, float]:
        """All numbers of all test sets, in percent.

        Args:
            min_images (int): Cells with fewer images cannot be the worst. Defaults to 10.

        Returns:
            dict[str, float]: Those of :meth:`GLTCounts.numbers` as ``clt/accuracy``, ..., and CLT minus GLT, which are
            of the same model, as ``gap/accuracy`` and ``gap/precision``.
        """
        found = {
            f"{test}/{name}": value
            for test, counts in self.tests.items()
            for name, value in counts.numbers(self.class_group, min_images).items()
        }
        if {CLT, GLT} <= {*self.tests}:
            for name in ("accuracy", "precision"):
                found[f"gap/{name}"] = found[f"{CLT}/{name}"] - found[f"{GLT}/{name}"]
        return found

    @property
    def groups(self) -> NDArray[np.str_]:
        """``'many'``, ``'medium'``, ``'few'`` or, if not known, ``''`` for each class, ``(C,)``."""
        return np.array([*GROUPS, ""])[self.class_group]

    def cells(self) -> dict[str, tuple[NDArray[np.int64], NDArray[np.int64]]]:
        """Images and hits of each class and attribute, ``(C, A)`` each, by the title of the test set."""
        return {self.title(test): (counts.images[:, :-1], counts.hits[:, :-1]) for test, counts in self.tests.items()}

    @staticmethod
    def title(test: str) -> str:
        """How a test set is called in figures: ``CLT``, or the name of its split.

        Args:
            test (str): Its key in ``tests``.
        """
        return test.upper() if test in PROTOCOLS.values() else test

    def save(self, path: str | Path) -> None:
        """Write a CSV file, one line a test set, class and attribute (-1 for none), atomically."""
        text = io.StringIO()
        writer = csv.writer(text, lineterminator="\n")
        writer.writerow(_COLUMNS)
        for test, counts in self.tests.items():
            for label, name in enumerate(self.names):
                group = GROUPS[self.class_group[label]] if self.class_group[label] >= 0 else ""
                for attribute, attribute_name in [*enumerate(self.attribute_names), (-1, "")]:
                    numbers = (cells[label, attribute] for cells in (counts.images, counts.hits, counts.predicted))
                    writer.writerow((test, label, name, group, attribute, attribute_name, *numbers))
        atomic_write(path, text.getvalue().encode())

    @classmethod
    def load(cls, path: str | Path) -> GLTTable:
        """Read what :meth:`save` wrote.

        Raises:
            UserInputError: If the file is not such a table.
        """
        with refuse_unreadable(path, "a table of classes and attributes", "evaluate again."):
            with Path(path).open(newline="", encoding="utf-8") as file:
                rows = list(csv.DictReader(file))
            require(len(rows) > 0, "it has no classes")
            number = {name: np.array([row[name] for row in rows], dtype=np.int64) for name in _NUMBERS}
            text = {name: np.array([row[name] for row in rows]) for name in _TEXTS}
            tests = list(dict.fromkeys(text["test"].tolist()))
            shape = (int(number["class_id"].max()) + 1, int(number["attribute_id"].max()) + 2)
            whole = np.stack([axis.ravel() for axis in np.indices((len(tests), *shape))])
            column = np.where(number["attribute_id"] == -1, shape[1] - 1, number["attribute_id"])
            cells = np.stack([[tests.index(test) for test in text["test"].tolist()], number["class_id"], column])
            require(np.array_equal(cells, whole), "its lines are not those of each test set, class and attribute")
            images, hits, predicted = (number[name].reshape(-1, *shape) for name in ("images", "hits", "predicted"))
            require(bool((hits >= 0).all() and (hits <= images).all()), "it has a cell with more hits than images")
            fits = bool((hits <= predicted).all()) and np.array_equal(images.sum(axis=1), predicted.sum(axis=1))
            require(fits, "its predictions are not one an image")
            require({*text["group"].tolist()} <= {*GROUPS, ""}, "its groups are not many, medium and few")
            first = {name: text[name][: shape[0] * shape[1]].reshape(shape) for name in _TEXTS}
            return cls(
                names=tuple(first["class_name"][:, 0].tolist()),
                attribute_names=tuple(first["attribute_name"][0, :-1].tolist()),
                class_group=np.array([GROUPS.index(group) if group else -1 for group in first["group"][:, 0].tolist()]),
                tests={test: GLTCounts(images[i], hits[i], predicted[i]) for i, test in enumerate(tests)},
            )
