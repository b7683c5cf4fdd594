"""Pool of labelled images that a benchmark is carved out of: class folders, a list or a CSV file, in one order."""

from __future__ import annotations

import os
from collections.abc import Sequence
from dataclasses import dataclass, replace
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
from mmpretrain.registry import DATASETS
from numpy.typing import NDArray
from torch.utils.data import ConcatDataset, DataLoader, Dataset, Subset

from lt_plugins.datasets.duplicates import Fingerprint, fingerprint_file
from lt_plugins.datasets.image_table import SUFFIX, read_image_table
from lt_plugins.datasets.labels import get_class_names
from lt_plugins.datasets.text_file import show_path
from lt_plugins.errors import UserInputError
from lt_plugins.runs.own_data import find_data
from lt_plugins.terminal import progress_bar


@dataclass(frozen=True)
class ImagePool:
    """Pool of labelled images in canonical order, that of their relative paths.

    Args:
        root (Path): Folder that the paths are relative to.
        paths (tuple[str, ...]): Paths of the ``N`` images, all different, with ``/``.
        labels (NDArray): Their labels, ``(N,)`` int64.
        classes (tuple[str, ...]): Names of the ``C`` classes, in label order.
        groups (tuple[str, ...]): What each image belongs to that must not be torn apart, such as a patient; empty
            strings, or none at all, if it is not known.
        dataset (Dataset): The images, ``N`` of them.
    """

    root: Path
    paths: tuple[str, ...]
    labels: NDArray[np.int64]
    classes: tuple[str, ...]
    groups: tuple[str, ...]
    dataset: Dataset

    def __len__(self) -> int:
        return len(self.paths)

    def select(self, kept: NDArray[np.int64]) -> ImagePool:
        """Keep some of the images.

        Args:
            kept (NDArray): Their positions, ascending.
        """
        chosen = kept.tolist()
        return replace(
            self,
            paths=tuple(self.paths[index] for index in chosen),
            labels=self.labels[kept],
            groups=tuple(self.groups[index] for index in chosen) if self.groups else (),
            dataset=Subset(self.dataset, chosen),
        )

    def file(self, index: int) -> Path:
        """The file of an image.

        Args:
            index (int): Its position.
        """
        return self.root / self.paths[index]


def read_pool(source: str) -> ImagePool:
    """Find the images of a user; what is split already is put together again.

    Args:
        source (str): As for ``--data`` (:func:`~lt_plugins.runs.own_data.find_data`). A CSV file may have a column
            ``group``.

    Raises:
        UserInputError: If there are none, or an image is listed twice.
    """
    data = find_data(source)
    parts = [DATASETS.build({**part, "pipeline": []}) for part in data.parts.values()]
    infos = [part.get_data_info(index) for part in parts for index in range(len(part))]
    files = [os.path.normpath(Path(info["img_path"]).absolute()) for info in infos]
    root = Path(source).absolute()
    if not root.is_dir():
        root = root.parent
        if any(os.path.commonpath([root, file]) != str(root) for file in files):
            root = Path(os.path.commonpath([*map(os.path.dirname, files)]))
    paths = [Path(os.path.relpath(file, root)).as_posix() for file in files]
    order = sorted(range(len(paths)), key=paths.__getitem__)
    if twice := [paths[a] for a, b in pairwise(order) if paths[a] == paths[b]]:
        raise UserInputError(f"{show_path(source)} lists {show_path(twice[0])} twice; list each image once.")
    names = get_class_names(parts[0])
    return ImagePool(
        root,
        tuple(paths[index] for index in order),
        np.array([infos[index]["gt_label"] for index in order], dtype=np.int64),
        (*names, *map(str, range(len(names), data.num_classes))),
        _read_groups(source, root, [paths[index] for index in order]),
        Subset(ConcatDataset(parts), order),
    )


def scan_pool(pool: ImagePool, num_workers: int = 0) -> list[Fingerprint]:
    """Decode and hash every image, with a progress bar.

    Args:
        pool (ImagePool): The images.
        num_workers (int): Processes that read. Defaults to 0.
    """
    loader = DataLoader(_Scan(pool), batch_size=64, num_workers=num_workers, collate_fn=list)
    found: list[Fingerprint] = []
    with progress_bar() as progress:
        task = progress.add_task("reading", total=len(pool))
        for some in loader:
            found += some
            progress.advance(task, len(some))
    return found


class _Scan(Dataset):
    """The fingerprint of each image of a pool."""

    def __init__(self, pool: ImagePool) -> None:
        self.pool = pool

    def __len__(self) -> int:
        return len(self.pool)

    def __getitem__(self, index: int) -> Fingerprint:
        return fingerprint_file(self.pool.file(index))


def _read_groups(source: str, root: Path, paths: Sequence[str]) -> tuple[str, ...]:
    """Groups of a CSV file that has them, in the order of the images."""
    if Path(source).suffix.lower() != SUFFIX or Path(source).is_dir():
        return ()
    rows: Any = read_image_table(source).rows
    folder = Path(source).absolute().parent
    group = {
        Path(os.path.relpath(os.path.normpath(folder / row.path), root)).as_posix(): row.group or "" for row in rows
    }
    return tuple(group[path] for path in paths) if any(group.values()) else ()
