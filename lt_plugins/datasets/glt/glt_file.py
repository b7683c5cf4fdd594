"""Files of generalized long-tailed (GLT) benchmarks: images, classes and attributes of each split."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence, Set
from pathlib import Path
from typing import Any, NamedTuple

from lt_plugins.atomic_write import atomic_write
from lt_plugins.datasets.text_file import excerpt, show_path
from lt_plugins.errors import UserInputError
from lt_plugins.unreadable import read_json, refuse_unreadable, require

FORMAT = "lt_plugins GLT 1"
SPLITS = ("train-glt", "train-cbl", "val-glt", "val-cbl", "test-lt", "test-cbl", "test-gbl")
GROUPS = ("many", "medium", "few")
NO_ATTRIBUTE = -1
"""Attribute of an image of a class that has none."""
NO_GROUP = -1
"""Group of a class without images, of which a released file does not tell it."""
_RELEASED = {"test_lt": "test-lt", "test_bl": "test-cbl", "test_bbl": "test-gbl"}
_ADVICE = "docs/glt.md describes the file, and how tools/make_glt.py makes one."


class GLTImage(NamedTuple):
    """Image of a GLT benchmark.

    Args:
        path (str): Its path, relative to the folder of the images.
        label (int): Its class.
        attribute (int): Its attribute; :data:`NO_ATTRIBUTE` if its class has none.
    """

    path: str
    label: int
    attribute: int


class GLTFile(NamedTuple):
    """Generalized long-tailed benchmark: classes, attributes, and the images of each split.

    Args:
        classes (tuple[str, ...]): Names of the ``C`` classes in label order.
        class_group (tuple[int, ...]): Group of each class by its frequency in the Train-GLT split: 0 many, 1 medium, 2
            few; :data:`NO_GROUP` if not known.
        attribute_names (tuple[str, ...]): Names of the ``A`` attributes.
        splits (Mapping[str, Sequence[GLTImage]]): Images of each split, by its name in :data:`SPLITS`.
        info (Mapping): Where the benchmark comes from: seed, hashes and whatever else its maker notes; JSON values.
    """

    classes: tuple[str, ...]
    class_group: tuple[int, ...]
    attribute_names: tuple[str, ...]
    splits: Mapping[str, Sequence[GLTImage]]
    info: Mapping[str, Any]


def read_glt(path: str | Path) -> GLTFile:
    """Read a GLT benchmark: a file of :func:`write_glt`, or one that the authors of the benchmarks released.

    Args:
        path (str | Path): The JSON file.

    Returns:
        GLTFile: What it holds. A released file of the long-tailed training set has ``train-glt``, ``val-glt``,
        ``test-lt``, ``test-cbl`` and ``test-gbl``, one of the balanced training set ``train-cbl``, ``val-cbl``,
        ``test-cbl`` and ``test-gbl``.

    Raises:
        UserInputError: If the file cannot be read, is neither, or a label or attribute is out of range.
    """
    content = read_json(path, _ADVICE)
    with refuse_unreadable(show_path(path), "a GLT benchmark", _ADVICE):
        if "id2cat" in content and "test_bbl" in content:
            return _read_released(content, show_path(path))
        require(content.get("format") == FORMAT, f"its format is {excerpt(str(content.get('format')))}, not {FORMAT!r}")
        return _read_own(content, show_path(path))


def write_glt(path: str | Path, benchmark: GLTFile) -> None:
    """Write a GLT benchmark as a JSON file, whole or not at all, with a line for each image.

    Args:
        path (str | Path): The file.
        benchmark (GLTFile): What it holds.

    Raises:
        UserInputError: If a split is unknown, or a label, group or attribute is out of range.
    """
    _check(benchmark, "the benchmark")
    head = {
        "format": FORMAT,
        "classes": benchmark.classes,
        "class_group": benchmark.class_group,
        "attribute_names": benchmark.attribute_names,
        "info": benchmark.info,
    }
    lines = [f"{json.dumps(key)}: {json.dumps(value)}" for key, value in head.items()]
    splits = []
    for name in (name for name in SPLITS if name in benchmark.splits):
        rows = ",\n".join(json.dumps(image) for image in benchmark.splits[name])
        splits.append(f"{json.dumps(name)}: [\n{rows}\n]")
    lines.append('"splits": {\n' + ",\n".join(splits) + "\n}")
    atomic_write(Path(path), ("{\n" + ",\n".join(lines) + "\n}\n").encode())


def _read_own(content: Mapping[str, Any], name: str) -> GLTFile:
    benchmark = GLTFile(
        tuple(map(str, content["classes"])),
        tuple(content["class_group"]),
        tuple(map(str, content["attribute_names"])),
        {split: [GLTImage(*row) for row in rows] for split, rows in content["splits"].items()},
        content.get("info", {}),
    )
    _check(benchmark, name)
    return benchmark


def _read_released(content: Mapping[str, Any], name: str) -> GLTFile:
    """Read what the authors released: for each phase, label, frequency group and attribute by path, or by a key."""
    classes = tuple(str(content["id2cat"][str(label)]) for label in range(len(content["id2cat"])))
    # Only the file with the long-tailed training set draws a test set with the distribution of that set.
    kind = "glt" if content.get("test_lt", {}).get("label") else "cbl"
    phases = {"train": f"train-{kind}", "val": f"val-{kind}", **_RELEASED}
    group: dict[int, int] = {}
    splits = {}
    for phase, split in phases.items():
        columns = content.get(phase, {})
        if columns.get("label"):
            splits[split] = [*_released_images(columns)]
            frequencies = columns["frequency"]
            for key, image in zip(columns["label"], splits[split], strict=True):
                now = int(frequencies[key])
                known = group.setdefault(image.label, now)
                require(known == now, f"class {image.label} has the frequencies {known} and {now}")
    class_group = tuple(group.get(label, NO_GROUP) for label in range(len(classes)))
    benchmark = GLTFile(classes, class_group, GROUPS, splits, {"source": f"released file of the Train-{kind.upper()}"})
    _check(benchmark, name)
    return benchmark


def _released_images(columns: Mapping[str, Mapping[str, Any]]) -> Iterator[GLTImage]:
    paths = columns.get("path", {})
    for key, label in columns["label"].items():
        yield GLTImage(paths.get(key, key), int(label), int(columns["attribute"][key]))


def _check(benchmark: GLTFile, name: str) -> None:
    """Refuse what is out of range, and training images in test splits."""
    num_classes, num_attributes = len(benchmark.classes), len(benchmark.attribute_names)
    groups = [*benchmark.class_group]
    _require(num_classes > 0, f"{name} has no classes")
    _require(
        len(groups) == num_classes and all(_is_index(group, NO_GROUP, len(GROUPS)) for group in groups),
        f"class_group of {name} must be 0 (many), 1 (medium) or 2 (few) for each of its {num_classes} classes",
    )
    paths: dict[str, set[str]] = {}
    for split, images in benchmark.splits.items():
        _require(split in SPLITS, f"{name} has a split {excerpt(split)}, expected {', '.join(SPLITS)}")
        seen = paths[split] = set()
        for image in images:
            if problem := _problem(image, num_classes, num_attributes, seen):
                raise UserInputError(f"{name}, {split}: image {excerpt(str(image.path))} {problem}; {_ADVICE}")
            seen.add(image.path)
    for split, seen in paths.items():
        for test in paths if split.startswith("train") else ():
            both = paths[test] & seen if test.startswith("test") else ()
            _require(not both, f"{name}: image {excerpt(min(both, default=''))} is in {split} and in {test}")


def _problem(image: GLTImage, num_classes: int, num_attributes: int, seen: Set[str]) -> str | None:
    """What is wrong with an image, if anything."""
    if not isinstance(image.path, str) or not image.path:
        return "has no path"
    if image.path in seen:
        return "occurs twice"
    if not _is_index(image.label, 0, num_classes):
        return f"has label {image.label!r}, expected 0..{num_classes - 1}"
    if not _is_index(image.attribute, NO_ATTRIBUTE, num_attributes):
        return f"has attribute {image.attribute!r}, expected 0..{num_attributes - 1}, or {NO_ATTRIBUTE} for none"
    return None


def _is_index(value: Any, first: int, end: int) -> bool:
    return type(value) is int and first <= value < end


def _require(holds: bool, message: str) -> None:
    if not holds:
        raise UserInputError(f"{message}; {_ADVICE}")
