"""How large a photograph must be decoded for a pipeline."""

from __future__ import annotations

from typing import Any

import pytest

from lt_plugins.datasets.decoded_size import limit_decoded_size

CROP: dict[str, Any] = {"type": "RandomResizedCrop", "scale": 224}
EDGE: dict[str, Any] = {"type": "ResizeEdge", "scale": 256}
FLIP: dict[str, Any] = {"type": "RandomFlip", "prob": 0.5}


@pytest.mark.parametrize(
    ("steps", "side"),
    [
        ([EDGE], 256),
        ([FLIP, EDGE], 256),
        ([{"type": "mmcv.Resize", "scale": (320, 240)}], 320),
        ([CROP], 915),  # 224 / sqrt(0.08 * 3 / 4): the smallest crop of a square has 224 pixels then
        ([{**CROP, "crop_ratio_range": (0.25, 1.0), "aspect_ratio_range": (1.0, 1.0)}], 448),
        ([{"type": "MultiView", "num_views": [1, 1], "transforms": [[EDGE], [CROP]]}], 915),
        (
            [{"type": "MultiView", "num_views": 2, "transforms": [[CROP], [{"type": "RandomCrop", "crop_size": 32}]]}],
            None,
        ),
        ([{"type": "RandomCrop", "crop_size": 32}, EDGE], None),
        ([{**EDGE, "edge": "long"}], None),
        ([{"type": "Resize", "scale_factor": 0.5}], None),
        ([{"type": "PackInputs"}], None),
        ([], None),
    ],
)
def test_the_smallest_size_that_loses_nothing(steps: list[dict[str, Any]], side: int | None) -> None:
    pipeline = [{"type": "LoadImage"}, *steps]
    limited = limit_decoded_size(pipeline)
    assert limited[0].get("min_side") == side
    assert limited[1:] == steps
    assert pipeline[0] == {"type": "LoadImage"}, "the config of others stays"


def test_a_given_side_and_another_reader_stay() -> None:
    for first in ({"type": "LoadImage", "min_side": 7}, {"type": "LoadImageFromFile"}):
        assert limit_decoded_size([first, EDGE]) == [first, EDGE]
    assert limit_decoded_size([]) == []
