"""Accuracy and precision of the generalized long tail: by class group, by attribute, of the worst cell, in percent.

They need numpy and scipy alone, as :mod:`.functional` does; ``GLTMetric`` calls them.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray
from scipy.stats import binom

from lt_plugins.errors import UserInputError
from lt_plugins.evaluation.functional import GROUPS, Values, as_array

MIN_IMAGES = 10
"""Cells with fewer test images than this are too noisy to be the worst one."""
MAX_ATTRIBUTES = 10
"""More attributes than this have no numbers of their own; their cells are in the table."""


class WorstCell(NamedTuple):
    """Class and attribute with the lowest accuracy.

    Args:
        label (int): The class.
        attribute (int): The attribute.
        images (int): Its test images.
        accuracy (float): Accuracy on them, in percent.
        low (float): Lower end of the 95 % bootstrap interval of that accuracy.
        high (float): Upper end.
    """

    label: int
    attribute: int
    images: int
    accuracy: float
    low: float
    high: float


@dataclass(frozen=True)
class GLTCounts:
    """Cell counts of a test set with ``C`` classes and ``A`` attributes: all numbers of the GLT protocols follow.

    The last of ``A + 1`` columns is for images without an attribute, which are in no attribute and in no cell.

    Source: Tang et al., "Invariant Feature Learning for Generalized Long-Tailed Classification" (ECCV 2022), as its
    released code computes them.

    Args:
        images (NDArray): Images of each class with each attribute, ``(C, A + 1)`` int64.
        hits (NDArray): Those of them that are predicted right, ``(C, A + 1)`` int64.
        predicted (NDArray): Images with each attribute, of whatever class, that are predicted as each class, ``(C, A +
            1)`` int64.
    """

    images: NDArray[np.int64]
    hits: NDArray[np.int64]
    predicted: NDArray[np.int64]

    @classmethod
    def from_predictions(
        cls,
        labels: Values,
        predicted: Values,
        attributes: Values,
        num_classes: int,
        num_attributes: int,
    ) -> GLTCounts:
        """Count the predictions for a test set.

        Args:
            labels (Tensor | ArrayLike): True classes, int ``(N,)``.
            predicted (Tensor | ArrayLike): Predicted classes, int ``(N,)``.
            attributes (Tensor | ArrayLike): Attribute of each image, -1 for none, int ``(N,)``.
            num_classes (int): Number of classes ``C``.
            num_attributes (int): Number of attributes ``A``.

        Raises:
            UserInputError: If the arrays are empty or of different lengths, or a value is out of range.
        """
        label = _checked("labels", labels, num_classes)
        guess = _checked("predicted", predicted, num_classes)
        attribute = _checked("attributes", attributes, num_attributes, lowest=-1)
        if not len(label) == len(guess) == len(attribute) > 0:
            raise UserInputError(
                f"{len(label)} labels, {len(guess)} predictions and {len(attribute)} attributes must be one an image, "
                "of at least one image."
            )

        num_columns = num_attributes + 1
        column = attribute % num_columns  # -1 is the last

        def count(classes: NDArray[np.int64], columns: NDArray[np.int64]) -> NDArray[np.int64]:
            cells = np.bincount(classes * num_columns + columns, minlength=num_classes * num_columns)
            return cells.reshape(num_classes, num_columns)

        hit = label == guess
        return cls(count(label, column), count(label[hit], column[hit]), count(guess, column))

    @property
    def num_attributes(self) -> int:
        """Number of attributes ``A``."""
        return self.images.shape[1] - 1

    def accuracy(self, classes: NDArray[np.bool_] | None = None, attribute: int | None = None) -> float:
        """Share of the images that are predicted right, in percent; NaN without images.

        Args:
            classes (NDArray | None): Only images of these classes, bool ``(C,)``. Defaults to all.
            attribute (int | None): Only images with this attribute. Defaults to all.
        """
        images, hits, _ = self._by_class(classes, attribute)
        return float(100 * hits.sum() / images.sum()) if images.sum() else float("nan")

    def precision(self, classes: NDArray[np.bool_] | None = None, attribute: int | None = None) -> float:
        """Mean over the classes of the share of right ones among the images predicted as the class, in percent.

        The mean is over the classes that have images; one that is never predicted counts as 0. Of some ``classes``, the
        right ones are among the predictions for *all* images; of an ``attribute``, among those for its images alone.

        Args:
            classes (NDArray | None): Only these classes, bool ``(C,)``. Defaults to all.
            attribute (int | None): Only images with this attribute. Defaults to all.

        Returns:
            float: The precision; NaN without images.
        """
        images, hits, predicted = self._by_class(classes, attribute)
        present = images > 0
        return float(100 * (hits / np.maximum(predicted, 1))[present].mean()) if present.any() else float("nan")

    def worst_cell(self, min_images: int = MIN_IMAGES) -> WorstCell | None:
        """Find the class and attribute with the lowest accuracy; the first of equals.

        A bootstrap sample of the ``n`` images of a cell with accuracy ``p`` has a binomial number of hits, so the
        interval is given by the percentiles of ``Binomial(n, p) / n``, what infinitely many samples would give. It is
        that of the accuracy of this cell, and does not account for its having been chosen as the worst of many.

        Args:
            min_images (int): Cells with fewer images are left out. Defaults to 10.

        Returns:
            WorstCell | None: The cell; None if none has enough images.
        """
        accuracy = self._cell_accuracy(min_images)
        if np.isnan(accuracy).all():
            return None
        label, attribute = divmod(int(np.nanargmin(accuracy)), self.num_attributes)
        images, hits = int(self.images[label, attribute]), int(self.hits[label, attribute])
        low, high = 100 * binom.ppf([0.025, 0.975], images, hits / images) / images
        return WorstCell(label, attribute, images, float(accuracy[label, attribute]), float(low), float(high))

    def lowest_tenth(self, min_images: int = MIN_IMAGES) -> float:
        """Mean accuracy of the tenth of the cells with the lowest ones (rounded up), in percent; NaN without cells.

        Args:
            min_images (int): Cells with fewer images are left out. Defaults to 10.
        """
        accuracy = np.sort(self._cell_accuracy(min_images), axis=None)  # NaN comes last
        num_cells = int((~np.isnan(accuracy)).sum())
        return float(accuracy[: -(-num_cells // 10)].mean()) if num_cells else float("nan")

    def numbers(self, class_group: NDArray[np.int64] | None = None, min_images: int = MIN_IMAGES) -> dict[str, float]:
        """All numbers of the test set; those of a group without images are left out.

        Args:
            class_group (NDArray | None): 0 for many, 1 for medium, 2 for few training images of each class, -1 if
                not known, int ``(C,)``; without it there are no class groups. Defaults to None.
            min_images (int): Cells with fewer images cannot be the worst. Defaults to 10.

        Returns:
            dict[str, float]: In percent: ``accuracy``, ``precision`` and ``f1``, their harmonic mean; accuracy and
            precision of ``_many``, ``_medium`` and ``_few`` classes and, if there are 2 to 10, of each attribute
            (``_attribute0``, ...); ``worst_cell`` with its interval, ``worst_cell_low`` to ``worst_cell_high``, and
            ``lowest_tenth``.
        """
        accuracy, precision = self.accuracy(), self.precision()
        total = accuracy + precision
        found = {"accuracy": accuracy, "precision": precision, "f1": 2 * accuracy * precision / total if total else 0.0}
        groups = {} if class_group is None else {group: class_group == index for index, group in enumerate(GROUPS)}
        for group, members in groups.items():
            found[f"accuracy_{group}"], found[f"precision_{group}"] = self.accuracy(members), self.precision(members)
        for attribute in range(self.num_attributes if 1 < self.num_attributes <= MAX_ATTRIBUTES else 0):
            found[f"accuracy_attribute{attribute}"] = self.accuracy(attribute=attribute)
            found[f"precision_attribute{attribute}"] = self.precision(attribute=attribute)
        if worst := self.worst_cell(min_images):
            found |= {"worst_cell": worst.accuracy, "worst_cell_low": worst.low, "worst_cell_high": worst.high}
            found["lowest_tenth"] = self.lowest_tenth(min_images)
        return {name: value for name, value in found.items() if not np.isnan(value)}

    def _by_class(
        self, classes: NDArray[np.bool_] | None, attribute: int | None
    ) -> tuple[NDArray[np.int64], NDArray[np.int64], NDArray[np.int64]]:
        """Images, hits and predictions of each of some classes, over all attributes or of one."""
        counts = np.stack([self.images, self.hits, self.predicted])  # (3, C, A)
        counts = counts.sum(axis=2) if attribute is None else counts[:, :, attribute]
        images, hits, predicted = counts if classes is None else counts[:, classes]
        return images, hits, predicted

    def _cell_accuracy(self, min_images: int) -> NDArray[np.float64]:
        """Accuracy of each cell in percent, ``(C, A)``; NaN for one with fewer images."""
        images, hits = self.images[:, :-1], self.hits[:, :-1]
        return np.where(images >= max(min_images, 1), 100 * hits / np.maximum(images, 1), np.nan)


def glt_accuracy(
    predicted: Values,
    labels: Values,
    attributes: Values,
    num_classes: int,
    class_group: Values | None = None,
    min_images: int = MIN_IMAGES,
) -> dict[str, float]:
    """Accuracy and precision on one test set of the generalized long tail (GLT), in percent.

    Args:
        predicted (Tensor | ArrayLike): Predicted classes, int ``(N,)``.
        labels (Tensor | ArrayLike): True classes, int ``(N,)``.
        attributes (Tensor | ArrayLike): Attribute of each image, from 0, -1 for none, int ``(N,)``.
        num_classes (int): Number of classes ``C``.
        class_group (Tensor | ArrayLike, optional): 0 for many, 1 for medium, 2 for few training images of each class,
            -1 if not known, int ``(C,)``. Without it the class groups are left out.
        min_images (int): Cells of a class and an attribute with fewer images cannot be the worst. Defaults to 10.

    Returns:
        dict[str, float]: See :meth:`GLTCounts.numbers`.

    Raises:
        UserInputError: If the arrays are empty or of different lengths, or a value is out of range.

    Examples:
        >>> glt_accuracy(scores.argmax(dim=1), labels, attributes, num_classes=100)["precision"]
    """
    num_attributes = int(as_array(attributes).max(initial=-1)) + 1
    counts = GLTCounts.from_predictions(labels, predicted, attributes, num_classes, num_attributes)
    groups = None if class_group is None else _checked("class_group", class_group, len(GROUPS), lowest=-1)
    if groups is not None and len(groups) != num_classes:
        raise UserInputError(f"class_group has {len(groups)} entries for {num_classes} classes; give one a class.")
    return counts.numbers(groups, min_images)


def _checked(name: str, given: Values, limit: int, lowest: int = 0) -> NDArray[np.int64]:
    """Integers ``(N,)`` from the lowest to below a limit."""
    values = as_array(given)
    if values.ndim != 1 or values.dtype.kind not in "iu":
        raise UserInputError(f"{name} of shape {values.shape} ({values.dtype}) must be integers (N,).")
    if values.size and not lowest <= values.min() <= values.max() < limit:
        raise UserInputError(f"{name} {values.min()}..{values.max()} must be from {lowest} to {limit - 1}.")
    return values.astype(np.int64)
