"""Images are read in order, by any number of processes, a few batches at a time."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from mmengine.dataset import Compose
from PIL import Image

from lt_plugins.errors import UserInputError
from lt_plugins.prediction.image_reader import choose_workers, read_batches
from lt_plugins.registry import TRANSFORMS

PIPELINE = Compose([TRANSFORMS.build({"type": name}) for name in ("LoadImage", "PackInputs")])


def write(path: Path, mode: str = "RGB", size: tuple[int, int] = (6, 4), **options: Any) -> np.ndarray:
    """Write random pixels, and give them as RGB."""
    channels = {"RGB": 3, "RGBA": 4, "L": 1}[mode]
    pixels = np.random.default_rng(0).integers(0, 256, (size[1], size[0], channels), dtype=np.uint8)
    Image.fromarray(pixels.squeeze(), mode).save(path, **options)
    return pixels


@pytest.mark.parametrize("workers", [0, 2])
def test_order_sizes_and_broken_images(workers: int, tmp_path: Path) -> None:
    names = [f"{number:02d}.png" for number in range(11)]
    pixels = {name: write(tmp_path / name, size=(6, 4) if int(name[:2]) % 3 else (5, 5)) for name in names}
    whole = (tmp_path / "04.png").read_bytes()
    (tmp_path / "04.png").write_bytes(whole[: len(whole) // 2])
    (tmp_path / "07.png").unlink()
    (tmp_path / "08.png").write_text("no image")
    paths = [str(tmp_path / name) for name in names]
    batches = [*read_batches(iter(paths), PIPELINE, 4, workers)]
    assert [path for batch in batches for path in batch.paths] == paths
    named = [pair for batch in batches for pair in zip(batch.paths, batch.problems, strict=True)]
    problems = {Path(path).name: why for path, why in named if why}
    assert problems == {"04.png": "cannot be decoded", "07.png": "is missing", "08.png": "is in no known image format"}
    read: dict[str, torch.Tensor] = {}
    for batch in batches:
        for positions, images in batch.groups:
            read |= {Path(batch.paths[p]).name: image for p, image in zip(positions, images, strict=True)}
    assert {*read} == {*names} - {*problems}
    for name, image in read.items():
        assert torch.equal(image, torch.from_numpy(pixels[name][..., ::-1].transpose(2, 0, 1).copy())), "BGR, as loaded"


def test_images_as_training_sees_them(tmp_path: Path) -> None:
    """Gray ones have three channels, alpha goes, EXIF turns."""
    gray = write(tmp_path / "gray.png", "L")
    alpha = write(tmp_path / "alpha.png", "RGBA")
    exif = Image.Exif()
    exif[0x0112] = 6
    turned = write(tmp_path / "turned.png", exif=exif)
    paths = [str(tmp_path / f"{name}.png") for name in ("gray", "alpha", "turned")]
    [batch] = read_batches(paths, PIPELINE, 8, 0)
    (_, plain), (_, rotated) = batch.groups
    assert torch.equal(plain[0], torch.from_numpy(gray).permute(2, 0, 1).expand(3, -1, -1))
    assert torch.equal(plain[1].flip(0), torch.from_numpy(alpha[..., :3]).permute(2, 0, 1))
    assert torch.equal(rotated[0].flip(0), torch.from_numpy(np.rot90(turned, -1).copy()).permute(2, 0, 1))


@pytest.mark.parametrize(("workers", "ahead"), [(0, 1), (2, 5)])
def test_no_more_than_a_few_batches_are_taken(workers: int, ahead: int, tmp_path: Path) -> None:
    """Each worker has two batches before it, one of a million is not more."""
    write(tmp_path / "a.png")
    taken = 0

    def paths() -> Iterator[str]:
        nonlocal taken
        for _ in range(1_000_000):
            taken += 1
            yield str(tmp_path / "a.png")

    batches = read_batches(paths(), PIPELINE, 4, workers)
    for number in range(1, 6):
        next(batches)
        assert taken <= 4 * (number + ahead)
    del batches


def test_workers() -> None:
    assert choose_workers(3) == 3
    assert 1 <= choose_workers(None) <= 8
    with pytest.raises(UserInputError, match="--workers -1 must be 0 or more"):
        choose_workers(-1)
