"""A made-up GLT test set, and the slow and obvious way to score it."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np

CLASSES, ATTRIBUTES = 7, 3
CLASS_GROUP = [0, 0, 1, 1, 2, 2, -1]


class GLTSet(NamedTuple):
    """Labels, predictions and attributes of a test set."""

    label: list[int]
    predicted: list[int]
    attribute: list[int]


def make_glt_set(size: int, seed: int = 0) -> GLTSet:
    """Predictions that are right more often than chance, less so for rare attributes; some images have none, -1."""
    rng = np.random.default_rng(seed)
    label = rng.integers(CLASSES, size=size)
    attribute = rng.choice([*range(ATTRIBUTES), -1], size=size, p=(0.5, 0.25, 0.2, 0.05))
    right = rng.random(size) < 0.8 - 0.2 * attribute
    predicted = np.where(right, label, rng.integers(CLASSES, size=size))
    return GLTSet(label.tolist(), predicted.tolist(), attribute.tolist())


def make_metainfo(subset: Sequence[int], attribute: Sequence[int], names: Sequence[str]) -> dict[str, Any]:
    """What a GLTDataset says of its images."""
    return {
        "classes": tuple(f"class {label}" for label in range(CLASSES)),
        "splits": tuple(names),
        "glt": {
            "subset": np.array(subset),
            "subset_names": tuple(names),
            "attribute": np.array(attribute),
            "attribute_names": tuple(f"attribute {number}" for number in range(ATTRIBUTES)),
            "class_group": np.array(CLASS_GROUP),
        },
    }


def reference_accuracy(images: Sequence[tuple[int, int]]) -> float:
    """Share of right predictions among ``(label, predicted)``, in percent."""
    return 100 * sum(label == predicted for label, predicted in images) / len(images)


def reference_precision(images: Sequence[tuple[int, int]], classes: Sequence[int]) -> float:
    """Class-mean precision: numerators of the classes' images, denominators of all images, in percent."""
    shares = []
    for c in classes:
        if not any(label == c for label, _ in images):
            continue  # not present
        right = sum(label == predicted == c for label, predicted in images)
        told = sum(predicted == c for _, predicted in images)
        shares.append(right / told if told else 0.0)
    return 100 * sum(shares) / len(shares)


def reference_numbers(data: GLTSet, min_images: int = 10) -> dict[str, float]:
    """All numbers of a test set but the interval, by loops over images, classes and cells."""
    images = list(zip(data.label, data.predicted, strict=True))
    everything = range(CLASSES)
    accuracy, precision = reference_accuracy(images), reference_precision(images, everything)
    found = {"accuracy": accuracy, "precision": precision, "f1": 0.0}
    if accuracy + precision:
        found["f1"] = 2 * accuracy * precision / (accuracy + precision)
    for number, group in enumerate(("many", "medium", "few")):
        members = [c for c in everything if CLASS_GROUP[c] == number]
        own = [image for image in images if image[0] in members]
        if own:
            found[f"accuracy_{group}"] = reference_accuracy(own)
            found[f"precision_{group}"] = reference_precision(images, members)
    cells = []
    for a in range(ATTRIBUTES):
        own = [image for image, attribute in zip(images, data.attribute, strict=True) if attribute == a]
        if own:
            found[f"accuracy_attribute{a}"] = reference_accuracy(own)
            found[f"precision_attribute{a}"] = reference_precision(own, everything)
        for c in everything:
            cell = [image for image in own if image[0] == c]
            if len(cell) >= min_images:
                cells.append(reference_accuracy(cell))
    if cells:
        lowest = sorted(cells)[: int(np.ceil(len(cells) / 10))]
        found |= {"worst_cell": min(cells), "lowest_tenth": sum(lowest) / len(lowest)}
    return found
