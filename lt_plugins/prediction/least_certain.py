"""Least certain predictions: keeps a few of any number, and shows them as a contact sheet."""

from __future__ import annotations

import heapq
import io
from collections.abc import Iterable
from itertools import count
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from lt_plugins.atomic_write import atomic_write
from lt_plugins.datasets.integrity import DECODE_ERRORS
from lt_plugins.datasets.text_file import show_path
from lt_plugins.datasets.transforms.load_image import LoadImage
from lt_plugins.errors import UserInputError
from lt_plugins.prediction.prediction_file import Prediction
from lt_plugins.terminal import displayable
from lt_plugins.visualization import HtmlReport, SheetRow, draw_contact_sheet

PICTURE, PAGE = ".png", ".html"
_SIDE = 160  # pixels of a picture on the sheet
_COLUMNS = 8
_MAX_CLASSES = 3


class LeastCertain:
    """The predictions of the smallest confidence, of as many as come.

    Args:
        size (int): How many are kept.
    """

    def __init__(self, size: int) -> None:
        self.size = size
        self._heap: list[tuple[float, int, Prediction]] = []  # the most certain of them first
        self._numbers = count(0, -1)  # of equal ones the first stay

    def add(self, predictions: Iterable[Prediction]) -> None:
        """Consider predictions.

        Args:
            predictions (Iterable[Prediction]): Of images that could be read.
        """
        for one in predictions:
            entry = (-one.confidence[0], next(self._numbers), one)
            if len(self._heap) < self.size:
                heapq.heappush(self._heap, entry)
            else:
                heapq.heappushpop(self._heap, entry)

    def ranked(self) -> list[Prediction]:
        """The predictions that were kept, the least certain first."""
        return [one for *_, one in sorted(self._heap, reverse=True)]


def check_sheet(path: Path) -> None:
    """Refuse a contact sheet of an unknown kind.

    Args:
        path (Path): Where it is to go.

    Raises:
        UserInputError: If it ends in something else than ``.png`` or ``.html``.
    """
    if path.suffix.lower() not in (PICTURE, PAGE):
        raise UserInputError(f"--sheet {path} must end in {PICTURE} or {PAGE}, which says what to draw.")


def write_sheet(path: Path, predictions: Iterable[Prediction], title: str) -> int:
    """Draw images with their most probable classes, on a page; as a picture in rows by the most probable one.

    Args:
        path (Path): The file to write, ``.png`` or ``.html``.
        predictions (Iterable[Prediction]): The predictions, in order; an image that is gone by now is left out.
        title (str): Title of a page.

    Returns:
        int: How many images are on it.
    """
    load = LoadImage()
    shown = []
    for one in predictions:
        try:
            shown.append((_thumbnail(load({"img_path": one.path})["img"][..., ::-1]), one))
        except DECODE_ERRORS:
            continue
    if path.suffix.lower() == PAGE:
        page = HtmlReport(title)
        page.add_images(((image, f"{_describe(one)}: {show_path(one.path)}") for image, one in shown), width=_SIDE)
        page.save(path)
        return len(shown)
    by_class: dict[str, list[tuple[NDArray[np.uint8], Prediction]]] = {}
    for image, one in shown:
        by_class.setdefault(one.classes[0], []).append((image, one))
    rows = [
        SheetRow(_row_title(name, [one for _, one in part]), [image for image, _ in part])
        for name, group in by_class.items()
        for part in (group[start : start + _COLUMNS] for start in range(0, len(group), _COLUMNS))
    ]
    buffer = io.BytesIO()
    Image.fromarray(draw_contact_sheet(rows, _SIDE)).save(buffer, format="PNG")
    atomic_write(path, buffer.getvalue())
    return len(shown)


def _row_title(name: str, predictions: Iterable[Prediction]) -> str:
    return f"{displayable(name)}: {', '.join(f'{100 * one.confidence[0]:.0f}' for one in predictions)} %"


def _thumbnail(pixels: NDArray[np.uint8]) -> NDArray[np.uint8]:
    image = Image.fromarray(np.ascontiguousarray(pixels))
    image.thumbnail((_SIDE, _SIDE))
    return np.asarray(image)


def _describe(one: Prediction) -> str:
    pairs = list(zip(one.classes, one.confidence, strict=True))[:_MAX_CLASSES]
    return ", ".join(f"{100 * confidence:.0f} % {displayable(name)}" for name, confidence in pairs)
