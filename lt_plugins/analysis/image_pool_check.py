"""Image pool check: reads the images of a user once, and says what they are and what is wrong with them."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from itertools import combinations
from pathlib import Path
from typing import Any

import numpy as np
from mmpretrain.registry import DATASETS
from numpy.typing import NDArray

from lt_plugins.datasets.class_sizes import background_classes
from lt_plugins.datasets.image_groups import find_copies
from lt_plugins.datasets.image_scan import ScannedImage, scan_images
from lt_plugins.datasets.integrity import find_renamed_class
from lt_plugins.datasets.labels import get_class_names, get_labels
from lt_plugins.datasets.split_dataset import SplitDataset
from lt_plugins.datasets.splits import some_names
from lt_plugins.datasets.text_file import show_path
from lt_plugins.errors import UserInputError
from lt_plugins.runs.own_data import find_data

WHOLE = "all"  # name of a set without a split
_HUGE = 20_000_000  # pixels
_TINY = 5  # images of a class, of which each is 20 points of its accuracy


@dataclass(frozen=True)
class OwnImages:
    """Images of a user, by split.

    Args:
        datasets (dict): Each split that is there, and, of a set without one, ``"all"`` and both parts of the split
            that training would draw.
        classes (tuple[str, ...]): Names of the ``C`` classes, in label order.
    """

    datasets: dict[str, Any]
    classes: tuple[str, ...]

    @property
    def given(self) -> dict[str, Any]:
        """The splits that hold each image once: those of the user, or all images."""
        return {WHOLE: self.datasets[WHOLE]} if WHOLE in self.datasets else self.datasets

    @property
    def train_counts(self) -> NDArray[np.int64]:
        """Training images of each class ``(C,)``; all images of a set that cannot be split."""
        dataset = self.datasets.get("train", next(iter(self.datasets.values())))
        return np.bincount(get_labels(dataset), minlength=len(self.classes))


@dataclass(frozen=True)
class Findings:
    """What a check found.

    Args:
        facts (list[str]): Lines on the files: formats, sizes, channels.
        notes (list[list[str]]): What to know, lines of one kind together.
        problems (list[list[str]]): What is wrong, in the same way.
    """

    facts: list[str]
    notes: list[list[str]]
    problems: list[list[str]]


def read_own_images(source: str) -> OwnImages:
    """Find the images of a user, and the split that training would draw.

    Args:
        source (str): As for ``--data`` (:func:`~lt_plugins.runs.own_data.find_data`).
    """
    data = find_data(source)
    datasets = {split: DATASETS.build({**part, "pipeline": []}) for split, part in data.parts.items()}
    names = get_class_names(next(iter(datasets.values())))
    if WHOLE in datasets:
        try:
            parts = {part: SplitDataset(datasets[WHOLE], part, copies_together=True) for part in ("train", "val")}
        except UserInputError:  # no class has two images
            parts = {}
        datasets |= parts
    return OwnImages(datasets, (*names, *map(str, range(len(names), data.num_classes))))


def check_own_images(images: OwnImages, root: Path) -> Findings:
    """Read every file once, with a progress bar, and look for what is wrong.

    Args:
        images (OwnImages): The images.
        root (Path): Folder that paths are shown relative to.
    """
    given = images.given
    infos = [(split, info) for split, part in given.items() for info in map(part.get_data_info, range(len(part)))]
    paths = [info["img_path"] for _, info in infos]
    labels = np.array([info["gt_label"] for _, info in infos], dtype=np.int64)
    scanned = scan_images(paths)
    shown = [show_path(_relative(path, root)) for path in paths]
    notes: dict[str, list[str]] = defaultdict(list)
    problems: dict[str, list[str]] = defaultdict(list)
    problems["unreadable"] = [
        f"{name}: {image.fingerprint.problem}"
        for name, image in zip(shown, scanned, strict=True)
        if image.fingerprint.problem
    ]
    if problems["unreadable"]:
        number = len(problems["unreadable"])
        files = "file that cannot be read" if number == 1 else "files that cannot be read"
        notes["unreadable"] = [f"{number:,} {files}, listed below: mend or remove, or train with --skip-bad"]
    copies = find_copies([image.fingerprint for image in scanned])
    named = [f"{name} ({images.classes[label]})" for name, label in zip(shown, labels.tolist(), strict=True)]
    for a, b in copies.exact.tolist():
        if infos[a][0] != infos[b][0]:
            problems["shared"].append(f"{infos[a][0]} and {infos[b][0]} share an image: {shown[a]} and {shown[b]}")
        elif labels[a] != labels[b]:
            problems["conflict"].append(f"{named[a]} and {named[b]} are the same image")
        else:
            notes["equal"].append(f"{shown[a]} and {shown[b]} are equal files")
    for a, b in copies.near.tolist():
        if infos[a][0] != infos[b][0]:
            notes["near shared"].append(f"{infos[a][0]} and {infos[b][0]} look alike in: {shown[a]} and {shown[b]}")
        elif labels[a] != labels[b]:
            notes["near conflict"].append(f"{named[a]} and {named[b]} look alike")
        else:
            notes["near"].append(f"{shown[a]} and {shown[b]} look alike")
    for first, second in combinations(given, 2):
        if renamed := find_renamed_class(given[first], given[second]):
            problems["names"].append(f"{first} and {second}: {renamed}")
    problems["empty"] = [f"class {images.classes[label]} has no training image" for label in _empty(images)]
    return Findings(
        describe_files([image for image in scanned if not image.fingerprint.problem]),
        [[*_heading(kind, lines), *lines] for kind, lines in notes.items()],
        [lines for lines in problems.values() if lines],
    )


def describe_classes(images: OwnImages) -> list[str]:
    """Lines on classes that need a decision: of one or few images, not measured, or holding whatever is no other.

    Args:
        images (OwnImages): The images.
    """
    counts = images.train_counts
    total = np.sum([np.bincount(get_labels(part), minlength=len(counts)) for part in images.given.values()], axis=0)
    lines = []
    if single := [images.classes[label] for label in np.flatnonzero(total == 1).tolist()]:
        lines.append(f"{_classes(single, 'has', 'have')} a single image, kept for training and not measurable")
    tested = [part for split, part in images.datasets.items() if split in ("val", "test")]
    if tested:
        measured = np.sum([np.bincount(get_labels(part), minlength=len(counts)) for part in tested], axis=0)
        if lost := [images.classes[label] for label in np.flatnonzero((measured == 0) & (total > 1)).tolist()]:
            lines.append(f"{_classes(lost, 'has', 'have')} no validation or test image, so it is not measured")
        is_noisy = (measured > 0) & (measured < _TINY)
        if noisy := [images.classes[label] for label in np.flatnonzero(is_noisy).tolist()]:
            lines.append(
                f"{_classes(noisy, 'is', 'are')} measured by fewer than {_TINY} images, of which each is "
                f"{100 // (_TINY - 1)} points or more: read means of groups, and several seeds"
            )
    for label in background_classes(images.classes):
        lines.append(
            f"class {images.classes[label]} ({int(total[label]):,} images) looks like what is none of the others: take "
            "its folder away unless such images are to be recognised in use, since every method treats it as a class"
        )
    return lines


def describe_files(images: Sequence[ScannedImage]) -> list[str]:
    """Lines on formats, sizes and channels.

    Args:
        images (Sequence[ScannedImage]): The readable images.
    """
    if not images:
        return []
    sides = np.array([(image.width, image.height) for image in images])
    areas = sides.prod(axis=1, dtype=np.int64)
    smallest, middle, largest = (sides[k] for k in np.argsort(areas, kind="stable")[[0, len(areas) // 2, -1]])
    formats = Counter(image.format for image in images)
    line = f"{len(images):,} readable images: " + ", ".join(f"{n:,} {kind}" for kind, n in formats.most_common())
    if len(np.unique(sides, axis=0)) == 1:
        line += f", all of {smallest[0]} x {smallest[1]} pixels"
    else:
        sizes = [f"{size[0]} x {size[1]}" for size in (smallest, middle, largest)]
        line += f"; {sizes[0]} to {sizes[2]} pixels, the median is {sizes[1]}"
    kinds = {
        "gray": sum(image.mode in ("L", "1", "LA") for image in images),
        "with 16 bits a channel (scaled to 8 by the bits that each uses)": sum(_is_deep(image) for image in images),
        "with an alpha channel (dropped: what is below it shows)": sum("A" in image.mode for image in images),
        "CMYK (converted)": sum(image.mode == "CMYK" for image in images),
        "turned upright by their EXIF orientation": sum(image.is_turned for image in images),
        "of more than 20 megapixels": int((areas > _HUGE).sum()),
    }
    odd = [f"{number:,} {kind}" for kind, number in kinds.items() if number]
    return [line, *([f"of these {', '.join(odd)}"] if odd else [])]


def _is_deep(image: ScannedImage) -> bool:
    return image.mode.startswith("I")


def _empty(images: OwnImages) -> Iterable[int]:
    return np.flatnonzero(images.train_counts == 0).tolist() if {"train", WHOLE} & {*images.datasets} else ()


def _classes(names: Sequence[str], one: str, several: str) -> str:
    return f"class {names[0]} {one}" if len(names) == 1 else f"{len(names):,} classes ({some_names(names)}) {several}"


def _heading(kind: str, lines: Sequence[str]) -> list[str]:
    """What pairs of copies mean; nothing of other notes."""
    pairs = f"{len(lines):,} pair{'s' if len(lines) > 1 else ''} of"
    meaning = {
        "equal": f"{pairs} equal files in one class; a split keeps them on one side",
        "near": f"{pairs} images that look alike in one class; a split keeps them on one side",
        "near conflict": f"{pairs} images that look alike in different classes; is one label wrong?",
        "near shared": f"{pairs} images that look alike in two splits: accuracy on them is too high",
    }
    return [meaning[kind]] if kind in meaning else []


def _relative(path: str, root: Path) -> str:
    try:
        return Path(path).relative_to(root).as_posix()
    except ValueError:
        return path
