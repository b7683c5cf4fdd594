"""What a scan says of image files, and its cache."""

from __future__ import annotations

import os
import threading
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from lt_plugins.datasets import image_scan
from lt_plugins.datasets.duplicates import fingerprint_file
from lt_plugins.datasets.image_scan import ScannedImage, scan_image, scan_images


def photo(size: tuple[int, int] = (120, 80), seed: int = 0) -> Image.Image:
    small = np.random.default_rng(seed).integers(0, 256, (6, 6, 3), dtype=np.uint8)
    return Image.fromarray(small).resize(size, Image.Resampling.BICUBIC)


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Images of all kinds, and an empty cache."""
    monkeypatch.setenv("LT_PLUGINS_CACHE", str(tmp_path / "cache"))
    root = tmp_path / "images"
    root.mkdir()
    image = photo()
    image.save(root / "a.jpg")
    image.convert("CMYK").save(root / "b.jpg")
    image.convert("RGBA").save(root / "c.png")
    Image.fromarray(np.asarray(image.convert("L")).astype(np.uint16) * 16).save(root / "d.png")
    exif = Image.Exif()
    exif[0x0112] = 8
    image.save(root / "e.jpg", exif=exif)
    image.convert("L").save(root / "f.gif")
    photo((2048, 1536)).save(root / "g.jpg", quality=95)
    (root / "h.jpg").write_bytes((root / "g.jpg").read_bytes()[:-3000])
    (root / "i.jpg").write_bytes(b"")
    (root / "j.jpg").symlink_to("nowhere")
    image.save(root / "Дом 日本 é.webp")
    return root


def scan(folder: Path) -> dict[str, ScannedImage]:
    paths = sorted(folder.iterdir())
    return dict(zip([path.name for path in paths], scan_images([str(path) for path in paths]), strict=True))


def as_plain(image: ScannedImage) -> Any:
    fingerprint = image.fingerprint
    return (fingerprint.sha256, fingerprint.perceptual.tolist(), fingerprint.thumbnail.tolist(), fingerprint.problem), (
        image[1:]
    )


def test_what_it_finds(folder: Path) -> None:
    found = scan(folder)
    shown = {name: image[1:] for name, image in found.items() if not image.fingerprint.problem}
    assert shown == {
        "a.jpg": (120, 80, "RGB", "JPEG", False),
        "b.jpg": (120, 80, "CMYK", "JPEG", False),
        "c.png": (120, 80, "RGBA", "PNG", False),
        "d.png": (120, 80, "I;16", "PNG", False),
        "e.jpg": (80, 120, "RGB", "JPEG", True),
        "f.gif": (120, 80, "P" if found["f.gif"].mode == "P" else "L", "GIF", False),
        "g.jpg": (2048, 1536, "RGB", "JPEG", False),
        "Дом 日本 é.webp": (120, 80, "RGB", "WEBP", False),
    }
    problems = {name: image.fingerprint.problem for name, image in found.items() if image.fingerprint.problem}
    assert problems["h.jpg"].startswith("OSError: ") and "truncated" in problems["h.jpg"]
    assert problems["i.jpg"] == "is empty"
    assert problems["j.jpg"] == "is a link to nowhere, which does not exist"
    whole = fingerprint_file(folder / "g.jpg")
    small = found["g.jpg"].fingerprint
    assert small.sha256 == whole.sha256
    assert np.unpackbits(small.perceptual ^ whole.perceptual).sum() <= 2, "decoded at a quarter of its size"
    assert np.abs(small.thumbnail.astype(int) - whole.thumbnail).max() <= 2


def test_the_cache(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    first = {name: as_plain(image) for name, image in scan(folder).items()}
    read: list[str] = []

    def noting(path: str, max_pixels: int) -> ScannedImage:
        read.append(Path(path).name)
        return scan_image(path, max_pixels)

    monkeypatch.setattr(image_scan, "scan_image", noting)
    assert {name: as_plain(image) for name, image in scan(folder).items()} == first
    assert read == ["j.jpg"], "only what is no file is looked at again"
    read.clear()
    photo(seed=1).save(folder / "a.jpg")
    photo(seed=2).save(folder / "new.jpg")
    status = (folder / "c.png").stat()
    os.utime(folder / "c.png", ns=(status.st_atime_ns, status.st_mtime_ns + 1))
    again = scan(folder)
    assert sorted(read) == ["a.jpg", "c.png", "j.jpg", "new.jpg"]
    assert as_plain(again["a.jpg"]) != first["a.jpg"] and as_plain(again["c.png"]) == first["c.png"]
    [file] = (Path(os.environ["LT_PLUGINS_CACHE"]) / "scans").glob("*.npz")
    for content in (b"", b"no archive", file.read_bytes()[:-50]):
        file.write_bytes(content)
        read.clear()
        assert {name: as_plain(image) for name, image in scan(folder).items()}.items() >= {
            name: value for name, value in first.items() if name != "a.jpg"
        }.items()
        assert len(read) == len(first) + 1, "a damaged cache is none"


def test_one_of_several_reads(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Runs side by side, or the processes of one."""
    (folder / "j.jpg").unlink()
    read: list[str] = []

    def noting(path: str, max_pixels: int) -> ScannedImage:
        read.append(path)
        return scan_image(path, max_pixels)

    monkeypatch.setattr(image_scan, "scan_image", noting)
    threads = [threading.Thread(target=scan, args=(folder,)) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(read) == len(set(read)) == len(list(folder.iterdir()))


def test_no_place_for_a_cache(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (folder.parent / "file").write_text("x")
    monkeypatch.setenv("LT_PLUGINS_CACHE", str(folder.parent / "file"))
    assert len(scan(folder)) == 11
    assert scan_images([]) == []
