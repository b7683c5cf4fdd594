from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from lt_plugins.datasets import LoadImage
from lt_plugins.errors import UserInputError
from tests.miniatures import write_image


def test_array_and_file_give_the_same(tmp_path: Path) -> None:
    rgb = np.random.default_rng(0).integers(0, 256, (5, 7, 3), dtype=np.uint8)
    Image.fromarray(rgb).save(tmp_path / "x.png")
    from_array = LoadImage()({"img": rgb})
    from_file = LoadImage()({"img_path": str(tmp_path / "x.png")})
    assert np.array_equal(from_array["img"], rgb[..., ::-1])
    for key in ("img", "img_shape", "ori_shape"):
        assert np.array_equal(from_array[key], from_file[key])
    assert from_array["img"].flags.c_contiguous


def test_grayscale_gets_three_channels(tmp_path: Path) -> None:
    write_image(tmp_path / "x.jpg", seed=0, size=(8, 6), mode="L")
    assert LoadImage()({"img_path": str(tmp_path / "x.jpg")})["img"].shape == (6, 8, 3)


@pytest.mark.parametrize("content", [None, b"", b"no image"])
def test_unreadable(tmp_path: Path, content: bytes | None) -> None:
    path = tmp_path / "x.jpg"
    if content is not None:
        path.write_bytes(content)
    with pytest.raises(UserInputError, match=r"cannot read image .*x.jpg .*tools/datasets/check.py CONFIG"):
        LoadImage()({"img_path": str(path)})
