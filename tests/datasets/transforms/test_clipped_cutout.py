"""The square hangs over all borders alike."""

from __future__ import annotations

import numpy as np
import pytest

from lt_plugins.datasets.transforms import ClippedCutout
from lt_plugins.errors import UserInputError


def erased(transform: ClippedCutout, height: int, width: int) -> np.ndarray:
    results = transform({"img": np.full((height, width, 3), 200, dtype=np.uint8)})
    assert len(np.unique(results["img"])) <= 2
    return (results["img"] != 200).all(axis=2)


def square(row: int, column: int, size: int, height: int, width: int) -> np.ndarray:
    """Pixel by pixel."""
    mask = np.zeros((height, width), dtype=bool)
    for y in range(row - size // 2, row - size // 2 + size):
        for x in range(column - size // 2, column - size // 2 + size):
            if 0 <= y < height and 0 <= x < width:
                mask[y, x] = True
    return mask


@pytest.mark.parametrize("size", [1, 3, 4, 16, 40])
def test_every_centre_erases_its_clipped_square(size: int, monkeypatch: pytest.MonkeyPatch) -> None:
    transform = ClippedCutout(size=size)
    for row in range(9):
        for column in range(7):
            monkeypatch.setattr(transform, "random_centre", lambda *_, place=(row, column): place)
            assert np.array_equal(erased(transform, 9, 7), square(row, column, size, 9, 7))


def test_mean_erased_area_of_16_on_32_pixels() -> None:
    """19.1 %, and at all four borders the same."""
    np.random.seed(0)  # noqa: NPY002 (what mmcv's transforms draw from)
    often = np.mean([erased(ClippedCutout(size=16), 32, 32) for _ in range(20_000)], axis=0)
    assert often.mean() == pytest.approx((14 / 32) ** 2, abs=0.002)
    covering = np.array([np.sum((np.arange(32) - 8 <= place) & (place < np.arange(32) + 8)) for place in range(32)])
    assert (covering.min(), covering.max(), covering.mean()) == (8, 16, 14)
    assert often == pytest.approx(np.outer(covering, covering) / 1024, abs=0.015)


def test_probability_and_value() -> None:
    np.random.seed(0)  # noqa: NPY002
    share = np.mean([erased(ClippedCutout(size=4, prob=0.25), 8, 8).any() for _ in range(2000)])
    assert share == pytest.approx(0.25, abs=0.03)
    assert not erased(ClippedCutout(prob=0.0), 8, 8).any()
    image = ClippedCutout(size=40, pad_val=7)({"img": np.zeros((8, 8, 3), dtype=np.uint8)})["img"]
    assert (image == 7).any()


@pytest.mark.parametrize("bad", [{"size": 0}, {"prob": 1.5}, {"prob": -0.1}])
def test_settings_without_meaning_are_refused(bad: dict[str, float]) -> None:
    ((name, value),) = bad.items()
    with pytest.raises(UserInputError, match=f"{name}={value}"):
        ClippedCutout(**bad)  # type: ignore[arg-type]
