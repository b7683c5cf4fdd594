"""Mean and spread over seeds, and published numbers beside them."""

from __future__ import annotations

import math

import pytest

from lt_plugins.runs.transfer_table import TransferRun, detection_metrics, method_of, transfer_rows

PUBLISHED = {"random": {"AP50": 60.2, "AP": 33.8, "AP75": 33.1}, "scl": {"AP50": 78.2, "AP": 51.5, "AP75": 56.5}}


def run(backbone: str, seed: int, ap50: float) -> TransferRun:
    return TransferRun(backbone, seed, {"AP50": ap50, "AP": ap50 / 2, "AP75": ap50 / 4})


def test_rows() -> None:
    runs = [run("supcon_r18", 1, 50.0), run("supcon_r18", 0, 54.0), run("ce", 0, 40.0), run("other", 0, 1.0)]
    rows = transfer_rows(["random", "ce", "supcon_r18"], runs, PUBLISHED)
    assert rows[0] == ("random", "-", "-", "-", "60.2 / 33.8 / 33.1", "-")
    assert rows[1] == ("ce", "40.0", "20.0", "10.0", "-", "0")
    spread = math.sqrt(8.0)  # of 50 and 54, with n - 1
    expected = [f"{52 / d:.1f} ± {spread / d:.1f}" for d in (1, 2, 4)]
    assert rows[2] == ("supcon_r18", *expected, "78.2 / 51.5 / 56.5", "0, 1")


@pytest.mark.parametrize(
    ("name", "method"),
    [("supcon", "scl"), ("CL", "scl"), ("sbcl_r50_imagenet-lt_stage1", "sbcl"), ("random", "random"), ("lpa", "lpa")],
)
def test_method_of(name: str, method: str) -> None:
    assert method_of(name) == method


def test_detection_metrics() -> None:
    logged = {"pascal_voc/AP50": 0.806, "pascal_voc/mAP": 0.53426, "pascal_voc/AP75": 0.588, "pascal_voc/AP95": 0.1}
    assert detection_metrics(logged) == {"AP50": 80.6, "AP": 53.426, "AP75": 58.8}
