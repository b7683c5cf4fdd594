"""Cells and tables in Markdown; mean and spread over seeds, and published numbers beside them."""

import math
from pathlib import Path

import pytest

from lt_plugins.errors import UserInputError
from lt_plugins.runs.published import method_of, published_accuracy, published_protocols, transfer_cell
from lt_plugins.runs.tables import DETECTION, GLT, Result, column_values, markdown_table, mean_and_spread, result_rows

PUBLISHED = {"random": {"AP50": 60.2, "AP": 33.8, "AP75": 33.1}, "scl": {"AP50": 78.2, "AP": 51.5, "AP75": 56.5}}


@pytest.mark.parametrize(
    ("values", "expected"), [([], "-"), ([46.96], "47.0"), ([46.0, 48.0], "47.0 ± 1.4"), ([5.0, 5.0, 5.0], "5.0 ± 0.0")]
)
def test_mean_and_spread(values, expected):
    assert mean_and_spread(values) == expected


def test_markdown_table():
    assert markdown_table(("Config", "Overall"), [("a", "1.0"), ("b", "-")], {1}) == (
        "| Config | Overall |\n| --- | ---: |\n| a | 1.0 |\n| b | - |"
    )


def run(row: str, seed: int, ap50: float) -> Result:
    return Result(row, seed, {"AP50": ap50, "AP": ap50 / 2, "AP75": ap50 / 4})


def test_rows() -> None:
    names = ["random", "ce", "supcon_r18"]
    runs = [run("supcon_r18", 1, 50.0), run("supcon_r18", 0, 54.0), run("ce", 0, 40.0), run("other", 0, 1.0)]
    rows = result_rows(names, runs, DETECTION, {name: transfer_cell(name, PUBLISHED) for name in names[::2]})
    assert rows[0] == ("random", "-", "-", "-", "60.2 / 33.8 / 33.1", "-")
    assert rows[1] == ("ce", "40.0", "20.0", "10.0", "-", "0")
    spread = math.sqrt(8.0)  # of 50 and 54, with n - 1
    expected = [f"{52 / d:.1f} ± {spread / d:.1f}" for d in (1, 2, 4)]
    assert rows[2] == ("supcon_r18", *expected, "78.2 / 51.5 / 56.5", "0, 1")
    assert transfer_cell("lpa", PUBLISHED) == "-"


def test_a_metric_that_a_run_lacks_is_empty() -> None:
    assert result_rows(["a"], [Result("a", 0, {"AP": 3.0})], ["AP50", "AP"], {}) == [("a", "-", "3.0", "-", "0")]


@pytest.mark.parametrize(
    ("name", "method"),
    [("supcon", "scl"), ("CL", "scl"), ("sbcl_r50_imagenet-lt_stage1", "sbcl"), ("random", "random"), ("lpa", "lpa")],
)
def test_method_of(name: str, method: str) -> None:
    assert method_of(name) == method


def test_column_values() -> None:
    logged = {"pascal_voc/AP50": 0.806, "pascal_voc/mAP": 0.53426, "pascal_voc/AP75": 0.588, "pascal_voc/AP95": 0.1}
    assert column_values(logged, DETECTION) == {"AP50": 80.6, "AP": 53.426, "AP75": 58.8}


def test_protocols_of_glt() -> None:
    assert column_values({"clt/accuracy": 42.5, "glt/precision": 40.65004, "val-glt/accuracy": 1.0}, GLT) == {
        "CLT acc": 42.5,
        "GLT prec": 40.65,
    }
    numbers = {"alt": [41.73, 41.74], "clt": [42.52, 47.92], "source": "Tab. 1"}
    assert published_protocols(numbers) == "CLT 42.5 / 47.9, ALT 41.7 / 41.7"


def test_published_protocols_of_a_config(tmp_path: Path) -> None:
    metafile = """
Models:
  - Config: anywhere/a_x50_imagenet-glt.py:alt
    Results:
      - Published: {alt: [41.73, 41.74], source: "IFL, Tab. 2"}
  - Config: anywhere/a_x50_imagenet-glt.py
    Results:
      - Published: {clt: 42.5, source: "IFL, Tab. 1"}
"""
    (tmp_path / "metafile.yml").write_text(metafile)
    config = str(tmp_path / "a_x50_imagenet-glt.py")
    assert published_accuracy(f"{config}:alt") == "ALT 41.7 / 41.7 (IFL, Tab. 2)"
    with pytest.raises(UserInputError, match=r"metafile\.yml"):
        published_accuracy(config)
