"""Copies among images: exact, near, and the groups that they form."""

from __future__ import annotations

import hashlib
from itertools import combinations
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from lt_plugins.datasets.duplicates import (
    Fingerprint,
    connect,
    difference_hash,
    find_exact_duplicates,
    find_near_duplicates,
    fingerprint_file,
)
from lt_plugins.errors import UserInputError


def photograph(seed: int, size: int = 96) -> Image.Image:
    """A smooth random picture."""
    pixels = np.random.default_rng(seed).integers(0, 256, (6, 6, 3), dtype=np.uint8)
    return Image.fromarray(pixels).resize((size, size), Image.Resampling.BICUBIC)


def slow_hash(pixels: np.ndarray) -> list[int]:
    """Each place of the grid against its right and its lower neighbour."""
    grey = Image.fromarray(pixels).convert("L")
    wide, high = (np.asarray(grey.resize(size, Image.Resampling.BOX)).tolist() for size in ((9, 8), (8, 9)))
    bits = [int(wide[y][x + 1] > wide[y][x]) for y in range(8) for x in range(8)]
    return bits + [int(high[y + 1][x] > high[y][x]) for y in range(8) for x in range(8)]


def slow_pairs(found: list[Fingerprint], max_bits: int) -> list[list[int]]:
    """Every image against every other one."""
    pairs = []
    for i, j in combinations(range(len(found)), 2):
        bits = sum((int(a) ^ int(b)).bit_count() for a, b in zip(found[i].perceptual, found[j].perceptual, strict=True))
        colours = np.abs(found[i].thumbnail.astype(float) - found[j].thumbnail).mean()
        if bits <= max_bits and colours <= 8:
            pairs.append([i, j])
    return pairs


@pytest.mark.parametrize("seed", range(4))
def test_hash_is_that_of_the_neighbours(seed: int) -> None:
    pixels = np.asarray(photograph(seed, 37))
    assert np.unpackbits(difference_hash(pixels)).tolist() == slow_hash(pixels)


def test_a_recompressed_and_a_scaled_copy_are_near_and_another_picture_is_not(tmp_path: Path) -> None:
    photograph(0).save(tmp_path / "a.png")
    photograph(0).save(tmp_path / "b.jpg", quality=70)
    photograph(0).resize((64, 64)).save(tmp_path / "c.png")
    photograph(1).save(tmp_path / "d.png")
    found = [fingerprint_file(tmp_path / name) for name in ("a.png", "b.jpg", "c.png", "d.png")]
    assert connect(4, find_near_duplicates(found)).tolist() == [0, 0, 0, 3]
    assert len(find_exact_duplicates(found)) == 0


def test_the_hash_does_not_see_colours_and_the_thumbnail_does(tmp_path: Path) -> None:
    for name, colour in {"a": (200, 30, 30), "b": (30, 30, 200), "c": (203, 30, 30)}.items():
        Image.new("RGB", (20, 20), colour).save(tmp_path / f"{name}.png")
    found = [fingerprint_file(tmp_path / f"{name}.png") for name in "abc"]
    assert find_near_duplicates(found).tolist() == [[0, 2]]


@pytest.mark.parametrize("max_bits", [0, 1, 4, 15])
def test_no_pair_is_missed(max_bits: int) -> None:
    """Random hashes with a few bits turned over, against all pairs."""
    rng = np.random.default_rng(max_bits)
    found = []
    for _ in range(40):
        bits, thumbnail = rng.integers(0, 2, 128), rng.integers(0, 256, (8, 8, 3), dtype=np.uint8)
        for turned in (0, max_bits, max_bits + 1, 20):
            copy = bits.copy()
            copy[rng.choice(128, turned, replace=False)] ^= 1
            found.append(Fingerprint("", np.packbits(copy), thumbnail))
    pairs = find_near_duplicates(found, max_bits).tolist()
    assert pairs == slow_pairs(found, max_bits)
    assert len(pairs) >= 40


def test_pieces_that_many_share_are_passed_over() -> None:
    """Pictures on the same background: a pair is still found by a piece of its own, and not by the background alone."""
    generator = np.random.default_rng(0)
    hashes = np.zeros((40, 16), dtype=np.uint8)
    hashes[:, 4:8] = generator.integers(0, 256, (40, 4))
    hashes[0, 4:8] = hashes[1, 4:8]
    hashes[2, 4:8] = hashes[3, 4:8] ^ np.array([128, 1, 1, 1], dtype=np.uint8)  # in both pieces that differ
    nothing = np.zeros((8, 8, 3), dtype=np.uint8)
    found = [Fingerprint(str(index), row, nothing) for index, row in enumerate(hashes)]
    assert find_near_duplicates(found).tolist() == slow_pairs(found, 4) == [[0, 1], [2, 3]]
    assert find_near_duplicates(found, max_sharing=40).tolist() == [[0, 1], [2, 3]]
    assert find_near_duplicates(found, max_sharing=39).tolist() == [[0, 1]]


def test_exact_copies_and_groups(tmp_path: Path) -> None:
    for name, seed in {"a": 0, "b": 1, "c": 0, "d": 2, "e": 0}.items():
        photograph(seed).save(tmp_path / f"{name}.png")
    found = [fingerprint_file(tmp_path / f"{name}.png") for name in "abcde"]
    assert found[0].sha256 == hashlib.sha256((tmp_path / "a.png").read_bytes()).hexdigest()
    exact = find_exact_duplicates(found)
    assert exact.tolist() == [[0, 2], [0, 4]]
    assert connect(5, exact).tolist() == [0, 1, 0, 3, 0]


def test_groups_follow_chains() -> None:
    assert connect(6, np.array([[1, 4], [4, 5], [0, 3]])).tolist() == [0, 1, 2, 0, 1, 1]
    assert connect(2, np.empty((0, 2), np.int64)).tolist() == [0, 1]


def test_an_unreadable_image_says_why(tmp_path: Path) -> None:
    photograph(0).save(tmp_path / "a.png")
    cut = tmp_path / "cut.png"
    cut.write_bytes((tmp_path / "a.png").read_bytes()[:300])
    found = fingerprint_file(cut)
    assert found.problem and not found.sha256
    assert fingerprint_file(tmp_path / "none.png").problem == "is missing"


def test_bits_out_of_range() -> None:
    with pytest.raises(UserInputError, match=r"max_bits=16 .* from 0 to 15"):
        find_near_duplicates([], 16)
