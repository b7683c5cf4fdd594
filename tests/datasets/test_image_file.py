"""Files are looked at before they are decoded: kind, bytes, and pixels by the header."""

from __future__ import annotations

import io
import os
import struct
import zlib
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from lt_plugins.datasets.image_file import (
    IMAGE_SUFFIXES,
    ImageFileError,
    encoded_image_size,
    probe_image_file,
    read_image_file,
)
from lt_plugins.datasets.integrity import decode_image
from lt_plugins.datasets.transforms import LoadImage
from lt_plugins.errors import UserInputError

FORMATS = {".jpg": "JPEG", ".png": "PNG", ".webp": "WEBP", ".bmp": "BMP", ".ppm": "PPM", ".tif": "TIFF", ".gif": "GIF"}


def encoded(kind: str, size: tuple[int, int] = (40, 30), **options: object) -> bytes:
    buffer = io.BytesIO()
    pixels = np.random.default_rng(0).integers(0, 256, (size[1], size[0], 3), dtype=np.uint8)
    Image.fromarray(pixels).save(buffer, format=kind, **options)
    return buffer.getvalue()


def bomb() -> bytes:
    """The beginning of a PNG of 30000 x 30000 pixels; of a whole one nothing more is read."""

    def chunk(kind: bytes, data: bytes) -> bytes:
        return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))

    header = struct.pack(">IIBBBBB", 30_000, 30_000, 8, 0, 0, 0, 0)
    return b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", header) + chunk(b"IDAT", zlib.compress(bytes(300_010)))


@pytest.mark.parametrize("kind", [*FORMATS.values(), "AVIF", "JPEG2000"])
def test_sizes_of_all_formats(kind: str) -> None:
    assert encoded_image_size(encoded(kind)) == (40, 30)


@pytest.mark.parametrize(
    "options", [{"progressive": True}, {"exif": b"Exif\0\0" + b"\xff\xc0" * 50}, {"comment": b"\xff\xc2\xff" * 9}]
)
def test_sizes_of_jpegs_with_other_segments(options: dict) -> None:
    assert encoded_image_size(encoded("JPEG", **options)) == (40, 30)


@pytest.mark.parametrize(
    "data", [b"", b"no image", b"\xff\xd8", b"\xff\xd8" + b"\xff" * 40, b"\x89PNG\r\n\x1a\n", b"\0" * 99]
)
def test_no_image_has_no_size(data: bytes) -> None:
    assert encoded_image_size(data) is None


def test_a_decompression_bomb_is_not_decoded(tmp_path: Path) -> None:
    path = tmp_path / "bomb.png"
    path.write_bytes(bomb())
    message = "has 30000 x 30000 pixels, more than max_pixels=134217728 allows"
    with pytest.raises(UserInputError, match=rf"cannot read image .*bomb.png \({message}\)"):
        LoadImage()({"img_path": str(path)})
    for look in (decode_image, probe_image_file, read_image_file):
        with pytest.raises(ImageFileError, match=message):
            look(path)


@pytest.mark.parametrize("suffix", FORMATS)
def test_the_limit_can_be_set(tmp_path: Path, suffix: str) -> None:
    path = tmp_path / f"x{suffix}"
    path.write_bytes(encoded(FORMATS[suffix]))
    assert LoadImage(max_pixels=1200)({"img_path": str(path)})["img"].shape == (30, 40, 3)
    with pytest.raises(UserInputError, match="40 x 30 pixels, more than max_pixels=1199"):
        LoadImage(max_pixels=1199)({"img_path": str(path)})
    with pytest.raises(UserInputError, match="max_pixels='many' must be a positive integer"):
        LoadImage(max_pixels="many")  # type: ignore[arg-type]


def test_pillows_own_limit_does_not_count(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "x.png").write_bytes(encoded("PNG"))
    monkeypatch.setattr(Image, "MAX_IMAGE_PIXELS", 100)
    assert decode_image(tmp_path / "x.png").shape == (30, 40, 3)
    assert Image.MAX_IMAGE_PIXELS == 100


def make_odd(path: Path, kind: str) -> None:
    """Something that is called like an image and is none."""
    if kind == "pipe":
        os.mkfifo(path)
    elif kind == "folder":
        path.mkdir()
    elif kind == "dangling link":
        path.symlink_to("nowhere.png")
    elif kind == "link to itself":
        path.symlink_to(path.name)
    elif kind == "device":
        path.symlink_to("/dev/zero")
    elif kind == "huge":
        with path.open("wb") as file:
            file.truncate(10**13)


@pytest.mark.parametrize(
    ("kind", "message"),
    [
        ("pipe", "is a pipe, not a regular file"),
        ("folder", "is a folder, not a regular file"),
        ("dangling link", "is a link to nowhere.png, which does not exist"),
        ("link to itself", "cannot be opened: Too many levels of symbolic links"),
        ("device", "is a device, not a regular file"),
        ("huge", "has 10000000000000 bytes, more than an image of max_pixels=134217728 needs"),
    ],
)
def test_only_regular_files_are_read(tmp_path: Path, kind: str, message: str) -> None:
    path = tmp_path / "x.png"
    make_odd(path, kind)
    for look in (read_image_file, probe_image_file):
        with pytest.raises(ImageFileError, match=message):
            look(path)
    with pytest.raises(UserInputError, match=message):
        LoadImage()({"img_path": str(path)})


@pytest.mark.parametrize("name", ["x" * 300, "x\0y", "file.png/x.png"])
def test_impossible_names(tmp_path: Path, name: str) -> None:
    (tmp_path / "file.png").write_bytes(b"")
    with pytest.raises(UserInputError, match="cannot read image"):
        LoadImage()({"img_path": f"{tmp_path}/{name}"})
    assert LoadImage(ignore_empty=True)({"img_path": f"{tmp_path}/{name}"}) is None


def test_probe_turns_upright(tmp_path: Path) -> None:
    exif = Image.Exif()
    exif[0x0112] = 6
    (tmp_path / "x.jpg").write_bytes(encoded("JPEG", exif=exif))
    assert probe_image_file(tmp_path / "x.jpg") == (30, 40)
    assert LoadImage()({"img_path": str(tmp_path / "x.jpg")})["img"].shape == (40, 30, 3)


def test_every_ending_can_be_read(tmp_path: Path) -> None:
    kinds = {**FORMATS, ".avif": "AVIF", ".jp2": "JPEG2000", ".dib": "BMP", ".pgm": "PPM", ".pbm": "PPM", ".pnm": "PPM"}
    for suffix in IMAGE_SUFFIXES:
        kind = kinds.get(suffix) or {"j": "JPEG", "t": "TIFF"}[suffix[1]]
        (tmp_path / f"x{suffix}").write_bytes(encoded(kind))
        assert decode_image(tmp_path / f"x{suffix}").shape == (30, 40, 3), suffix
        assert LoadImage()({"img_path": str(tmp_path / f"x{suffix}")})["img"].shape == (30, 40, 3), suffix
