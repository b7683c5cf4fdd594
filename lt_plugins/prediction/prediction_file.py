"""Prediction file: writes one row an image, as the predictions come, as CSV or JSON lines."""

from __future__ import annotations

import csv
import io
import json
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any, NamedTuple

from lt_plugins.errors import UserInputError

CSV, JSON_LINES = (".csv",), (".jsonl", ".ndjson")


class Prediction(NamedTuple):
    """Prediction of an image.

    Args:
        path (str): The image.
        classes (tuple[str, ...]): The ``K`` most probable classes, best first; none of an image that cannot be read.
        confidence (tuple[float, ...]): Their probabilities.
        error (str): Why the image cannot be read. Defaults to nothing.
    """

    path: str
    classes: tuple[str, ...] = ()
    confidence: tuple[float, ...] = ()
    error: str = ""


class RowFormat:
    """Format of the rows: CSV or JSON lines, by the ending of a file.

    An image that cannot be read has a row as well, with its ``error`` alone, so that there are as many rows as images.

    Args:
        path (Path): The file.
        topk (int): Classes an image.
        is_calibrated (bool): Whether the probabilities are calibrated, which their name then says.

    Raises:
        UserInputError: If the ending is another one.
    """

    def __init__(self, path: Path, topk: int, is_calibrated: bool) -> None:
        if path.suffix.lower() not in (*CSV, *JSON_LINES):
            endings = ", ".join((*CSV, *JSON_LINES))
            raise UserInputError(f"--out {path} must end in {endings}, which says what to write.")
        self.is_csv = path.suffix.lower() in CSV
        self.topk = topk
        self.confidence_name = "calibrated_confidence" if is_calibrated else "confidence"

    @property
    def header(self) -> bytes:
        """First line of the file, empty for JSON lines."""
        if not self.is_csv:
            return b""
        ranks = ["", *(f"_{rank}" for rank in range(2, self.topk + 1))]
        columns = (f"{name}{rank}" for rank in ranks for name in ("class", self.confidence_name))
        return _csv_lines([["image", *columns, "error"]])

    def encode(self, predictions: Iterable[Prediction]) -> bytes:
        """Rows of a few images.

        Args:
            predictions (Iterable[Prediction]): Their predictions.
        """
        if self.is_csv:
            return _csv_lines(map(self._cells, predictions))
        return b"".join(map(self._object, predictions))

    def _cells(self, one: Prediction) -> list[str]:
        pairs = [cell for name, p in zip(one.classes, one.confidence, strict=True) for cell in (name, f"{p:.6f}")]
        return [one.path, *pairs, *[""] * (2 * self.topk - len(pairs)), one.error]

    def _object(self, one: Prediction) -> bytes:
        content: dict[str, Any] = {"image": one.path}
        if one.error:
            content["error"] = one.error
        else:
            ranked = [
                {"class": name, self.confidence_name: round(p, 6)}
                for name, p in zip(one.classes, one.confidence, strict=True)
            ]
            content |= ranked[0] | ({"topk": ranked} if self.topk > 1 else {})
        text = json.dumps(content, ensure_ascii=False)
        try:
            return f"{text}\n".encode()
        except UnicodeEncodeError:  # bytes of a file name that are no UTF-8
            return f"{json.dumps(content)}\n".encode()


def _csv_lines(rows: Iterable[Sequence[str]]) -> bytes:
    text = io.StringIO()
    csv.writer(text, lineterminator="\n").writerows(rows)
    # A file name that is no UTF-8 is written as the bytes that it is.
    return text.getvalue().encode("utf-8", "surrogateescape")
