from __future__ import annotations

from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest
from PIL import Image

from lt_plugins.datasets.transforms import LoadImage
from lt_plugins.errors import UserInputError
from tests.miniatures import write_image


def random_pixels(*shape: int) -> np.ndarray:
    return np.random.default_rng(0).integers(0, 256, shape, dtype=np.uint8)


def load(path: Path, **options: Any) -> np.ndarray:
    return LoadImage(**options)({"img_path": str(path)})["img"]


def test_every_way_in_gives_the_same(tmp_path: Path) -> None:
    """A file, the RGB array of a dataset, and the BGR array of an inferencer; also if loaded twice."""
    rgb = random_pixels(5, 7, 3)
    Image.fromarray(rgb).save(tmp_path / "x.png")
    path, bgr = str(tmp_path / "x.png"), rgb[..., ::-1].copy()
    ways: list[dict[str, Any]] = [
        {"img_path": path},
        {"img_path": path, "sample_idx": 3},
        {"img": rgb, "sample_idx": 3},
        {"img": rgb, "channel_order": "rgb"},
        {"img": bgr},
        {"img": bgr, "img_shape": (5, 7), "ori_shape": (5, 7)},
        {"img": bgr, "img_path": path, "sample_idx": 3},  # after mmcv's LoadImageFromFile
        {"img": bgr, "sample_idx": 3, "channel_order": "bgr"},
    ]
    for way in ways:
        given = {key: value.copy() if key == "img" else value for key, value in way.items()}
        for _ in range(2):
            given = LoadImage()(given)
            assert np.array_equal(given["img"], bgr), way
            assert (given["img_shape"], given["ori_shape"]) == ((5, 7), (5, 7))
            assert given["img"].flags.c_contiguous
        assert "img" not in way or not np.shares_memory(LoadImage()(dict(way))["img"], way["img"])


def test_grayscale_gets_three_channels(tmp_path: Path) -> None:
    write_image(tmp_path / "x.jpg", seed=0, size=(8, 6), mode="L")
    assert load(tmp_path / "x.jpg").shape == (6, 8, 3)
    assert load(tmp_path / "x.jpg", color_type="grayscale").shape == (6, 8, 3)
    gray = random_pixels(6, 8)
    for array in (gray, gray[..., None]):
        assert np.array_equal(LoadImage()({"img": array, "sample_idx": 0})["img"], np.stack([gray] * 3, axis=2))


def test_alpha_is_dropped_and_palettes_are_resolved(tmp_path: Path) -> None:
    rgba = random_pixels(6, 8, 4)
    bgr = rgba[..., 2::-1]
    Image.fromarray(rgba).save(tmp_path / "alpha.png")
    assert np.array_equal(load(tmp_path / "alpha.png"), bgr)
    assert np.array_equal(load(tmp_path / "alpha.png", color_type="unchanged"), bgr)
    assert np.array_equal(LoadImage()({"img": rgba[..., [2, 1, 0, 3]]})["img"], bgr)
    palette = Image.fromarray(rgba).convert("RGB").convert("P", palette=Image.Palette.ADAPTIVE, colors=16)
    palette.save(tmp_path / "palette.png")
    assert np.array_equal(load(tmp_path / "palette.png"), np.asarray(palette.convert("RGB"))[..., ::-1])
    Image.fromarray(rgba[..., 0]).convert("1").save(tmp_path / "bits.png")
    assert set(np.unique(load(tmp_path / "bits.png"))) == {0, 255}


def test_photographs_are_turned_upright_and_cmyk_is_converted(tmp_path: Path) -> None:
    pixels = np.zeros((40, 60, 3), dtype=np.uint8)
    pixels[:, :30] = (250, 0, 0)
    exif = Image.Exif()
    exif[0x0112] = 6  # the camera was turned: show it rotated by 90 degrees clockwise
    Image.fromarray(pixels).save(tmp_path / "turned.jpg", exif=exif, quality=95)
    turned = load(tmp_path / "turned.jpg")
    assert turned.shape == (60, 40, 3)
    assert turned[10, 20, 2] > 200 > 50 > turned[50, 20, 2], "the left half is on top, and red"
    Image.fromarray(pixels).convert("CMYK").save(tmp_path / "cmyk.jpg", quality=95)
    assert load(tmp_path / "cmyk.jpg")[20, 10].tolist() == pytest.approx([0, 0, 250], abs=12)


@pytest.mark.parametrize("name", ["gray.png", "gray.tif", "color.png", "color.tif", "gray.pgm"])
@pytest.mark.parametrize("bits", [8, 10, 12, 14, 16])
def test_16_bits_are_scaled_by_the_depth_that_is_used(name: str, bits: int, tmp_path: Path) -> None:
    """As a scanner or camera writes them; OpenCV would keep the upper 8 of 16 bits."""
    pixels = np.random.default_rng(0).integers(0, 2**bits, (6, 8), dtype=np.uint16)
    pixels[0, :2] = 0, 2**bits - 1
    shown = pixels if name.startswith("gray") else np.stack([pixels] * 3, axis=2)
    assert cv2.imwrite(str(tmp_path / name), shown)
    expected = np.repeat((pixels // 2 ** (bits - 8))[..., None], 3, axis=2)
    for options in ({}, {"color_type": "unchanged"}, {"bit_depth": bits}):
        loaded = load(tmp_path / name, **options)
        assert loaded.dtype == np.uint8
        assert np.array_equal(loaded, expected), options
    assert load(tmp_path / name, to_float32=True).dtype == np.float32
    wider = load(tmp_path / name, bit_depth=16)
    assert np.array_equal(wider, np.repeat((pixels // 256)[..., None], 3, axis=2))
    assert load(tmp_path / name, bit_depth=8).max() == 255, "what is out of range is white"


def test_floating_point_files_are_refused(tmp_path: Path) -> None:
    Image.fromarray(np.linspace(0, 1, 48, dtype=np.float32).reshape(6, 8)).save(tmp_path / "x.tif")
    with pytest.raises(UserInputError, match=r"cannot read image .*x.tif"):
        load(tmp_path / "x.tif")


@pytest.mark.parametrize(("min_side", "factor"), [(None, 1), (100, 2), (51, 2), (50, 4), (26, 4), (25, 8), (101, 1)])
@pytest.mark.parametrize("orientation", [1, 6])
def test_large_jpegs_are_decoded_smaller(min_side: int | None, factor: int, orientation: int, tmp_path: Path) -> None:
    """As small as the short side allows, upright, and near the mean of the pixels."""
    gradient = np.add.outer(np.arange(200), np.arange(400)) / 600 * 255
    rgb = np.stack([gradient, 255 - gradient, gradient[::-1]], axis=2).astype(np.uint8)
    exif = Image.Exif()
    exif[0x0112] = orientation
    Image.fromarray(rgb).save(tmp_path / "x.jpg", exif=exif, quality=95)
    upright = np.rot90(rgb, -1) if orientation == 6 else rgb
    loaded = load(tmp_path / "x.jpg", min_side=min_side)
    height, width = upright.shape[0] // factor, upright.shape[1] // factor
    assert loaded.shape == (height, width, 3)
    means = upright.reshape(height, factor, width, factor, 3).mean(axis=(1, 3))[..., ::-1]
    assert np.abs(loaded - means).max() < 6
    Image.fromarray(rgb).save(tmp_path / "x.png")
    assert load(tmp_path / "x.png", min_side=min_side).shape == (200, 400, 3), "no other format can"


@pytest.mark.parametrize("options", [{"min_side": 0}, {"min_side": 2.5}, {"bit_depth": 9}, {"bit_depth": "12"}])
def test_arguments_out_of_range(options: dict[str, Any]) -> None:
    with pytest.raises(UserInputError, match=f"{next(iter(options))}=.* of LoadImage must be"):
        LoadImage(**options)


@pytest.mark.parametrize("dtype", [np.uint16, np.float32, np.float64, np.int64, bool])
def test_arrays_of_other_numbers_are_refused(dtype: type) -> None:
    with pytest.raises(UserInputError, match=rf"the array img holds {np.dtype(dtype)} values from 0 to 1, expected"):
        LoadImage()({"img": np.arange(12).reshape(2, 2, 3) % 2 == 0 if dtype is bool else np.eye(3, dtype=dtype)})


@pytest.mark.parametrize("shape", [(4,), (4, 4, 2), (4, 4, 5), (2, 4, 4, 3), (0, 4, 3)])
def test_arrays_that_are_no_image_are_refused(shape: tuple[int, ...]) -> None:
    with pytest.raises(UserInputError, match=r"the array img has shape \(.*, expected \(height, width, 3\)"):
        LoadImage()({"img": np.zeros(shape, dtype=np.uint8)})


def test_options_of_mmcv_stay(tmp_path: Path) -> None:
    Image.fromarray(random_pixels(6, 8, 3)).save(tmp_path / "x.png")
    assert load(tmp_path / "x.png", to_float32=True).dtype == np.float32
    assert np.array_equal(load(tmp_path / "x.png", imdecode_backend="pillow"), load(tmp_path / "x.png"))
    assert LoadImage(ignore_empty=True)({"img_path": str(tmp_path / "none.png")}) is None


@pytest.mark.parametrize("content", [None, b"", b"no image"])
def test_unreadable(tmp_path: Path, content: bytes | None) -> None:
    path = tmp_path / "x.jpg"
    if content is not None:
        path.write_bytes(content)
    with pytest.raises(UserInputError, match=r"cannot read image .*x.jpg .*tools/check_data.py CONFIG"):
        LoadImage()({"img_path": str(path)})
