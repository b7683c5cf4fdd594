"""Rows of predictions read back as they were, whatever their names."""

from __future__ import annotations

import csv
import io
import json
import os
from pathlib import Path

import pytest

from lt_plugins.errors import UserInputError
from lt_plugins.prediction.prediction_file import Prediction, RowFormat

FOREIGN = os.fsdecode(b"caf\xe9.png")
ROWS = [
    Prediction('a "b", c\n.png', ("蝶", "x,y"), (0.75, 0.25)),
    Prediction(FOREIGN, ("cat", "dog"), (0.9999999, 1e-7)),
    Prediction("gone.png", error="is missing"),
]


def test_csv() -> None:
    rows = RowFormat(Path("p.CSV"), 2, is_calibrated=True)
    text = (rows.header + rows.encode(ROWS[:1]) + rows.encode(ROWS[1:])).decode("utf-8", "surrogateescape")
    assert [*csv.reader(io.StringIO(text))] == [
        ["image", "class", "calibrated_confidence", "class_2", "calibrated_confidence_2", "error"],
        ['a "b", c\n.png', "蝶", "0.750000", "x,y", "0.250000", ""],
        [FOREIGN, "cat", "1.000000", "dog", "0.000000", ""],
        ["gone.png", "", "", "", "", "is missing"],
    ]
    assert b"caf\xe9.png" in rows.encode(ROWS)


def test_more_classes_asked_for_than_there_are() -> None:
    rows = RowFormat(Path("p.csv"), 3, is_calibrated=False)
    header, row = csv.reader(io.StringIO((rows.header + rows.encode([Prediction("a", ("x",), (1.0,))])).decode()))
    assert header == ["image", "class", "confidence", "class_2", "confidence_2", "class_3", "confidence_3", "error"]
    assert row == ["a", "x", "1.000000", "", "", "", "", ""]


def test_json_lines() -> None:
    rows = RowFormat(Path("p.jsonl"), 2, is_calibrated=False)
    assert rows.header == b""
    lines = rows.encode(ROWS).decode().splitlines()
    assert "蝶" in lines[0]
    found = [json.loads(line) for line in lines]
    ranked = [{"class": "蝶", "confidence": 0.75}, {"class": "x,y", "confidence": 0.25}]
    assert found[0] == {"image": ROWS[0].path, "class": "蝶", "confidence": 0.75, "topk": ranked}
    assert found[1]["image"] == FOREIGN
    assert found[2] == {"image": "gone.png", "error": "is missing"}
    one = RowFormat(Path("p.ndjson"), 1, is_calibrated=True).encode([Prediction("a", ("x",), (0.5,))])
    assert json.loads(one) == {"image": "a", "class": "x", "calibrated_confidence": 0.5}


def test_other_endings() -> None:
    with pytest.raises(UserInputError, match=r"--out p.xlsx must end in .csv, .jsonl, .ndjson"):
        RowFormat(Path("p.xlsx"), 1, is_calibrated=True)
