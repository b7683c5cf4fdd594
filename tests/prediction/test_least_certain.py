"""The least certain images are those of the smallest confidence, and are shown as the model saw them."""

from __future__ import annotations

import random
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from lt_plugins.errors import UserInputError
from lt_plugins.prediction.least_certain import LeastCertain, check_sheet, write_sheet
from lt_plugins.prediction.prediction_file import Prediction


def test_equal_to_sorting_all() -> None:
    generator = random.Random(0)
    predictions = [Prediction(str(number), ("a",), (generator.randint(0, 30) / 30,)) for number in range(500)]
    least = LeastCertain(40)
    for start in range(0, 500, 7):
        least.add(predictions[start : start + 7])
    expected = sorted(predictions, key=lambda one: one.confidence[0])[:40]  # stable: of equal ones the first
    assert least.ranked() == expected
    few = LeastCertain(40)
    few.add(predictions[:3])
    assert few.ranked() == sorted(predictions[:3], key=lambda one: one.confidence[0])


def test_sheets(tmp_path: Path) -> None:
    colours = {"red": (250, 0, 0), "green": (0, 250, 0)}
    exif = Image.Exif()
    exif[0x0112] = 6  # lies on its side
    for name, colour in colours.items():
        pixels = np.full((20, 400, 3), colour, dtype=np.uint8)
        Image.fromarray(pixels).save(tmp_path / f"{name}.png", exif=exif)
    predictions = [
        Prediction(str(tmp_path / "red.png"), ("<cat>", "dog"), (0.4, 0.3)),
        Prediction(str(tmp_path / "gone.png"), ("dog",), (0.5,)),
        Prediction(str(tmp_path / "green.png"), ("<cat>", "dog"), (0.6, 0.2)),
    ]
    assert write_sheet(tmp_path / "s.html", predictions, "title") == 2
    page = (tmp_path / "s.html").read_text()
    assert "40 % &lt;cat&gt;, 30 % dog" in page and "60 % &lt;cat&gt;" in page and "gone.png" not in page
    assert write_sheet(tmp_path / "s.png", predictions, "") == 2
    sheet = np.asarray(Image.open(tmp_path / "s.png"))
    for colour in colours.values():
        rows, columns = (sheet == colour).all(axis=-1).nonzero()
        assert np.ptp(rows) > 5 * np.ptp(columns) > 0, "upright"


def test_errors() -> None:
    check_sheet(Path("a.PNG"))
    with pytest.raises(UserInputError, match=r"--sheet a.pdf must end in .png or .html"):
        check_sheet(Path("a.pdf"))
