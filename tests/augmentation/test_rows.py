"""Images written into a batch."""

from __future__ import annotations

import pytest
import torch

from lt_plugins.augmentation.rows import put_rows, with_rows


@pytest.mark.parametrize("shape", [(3, 32, 32), (3, 5, 7), (3, 2, 7), (3, 2, 2)])  # of 8, 1, 2 and 4 bytes
def test_rows(shape: tuple[int, ...]) -> None:
    images = torch.randint(0, 256, (6, *shape), dtype=torch.uint8)
    changed = torch.randint(0, 256, (3, shape[1], shape[2], 3), dtype=torch.uint8).permute(0, 3, 1, 2)
    rows = torch.tensor([4, 0, 3])
    expected = images.clone()
    for row, image in zip(rows, changed, strict=True):
        expected[row] = image
    before = images.clone()
    assert torch.equal(with_rows(images, rows, changed), expected)
    assert torch.equal(images, before)
    assert put_rows(images, rows, changed) is images
    assert torch.equal(images, expected)


def test_batch_that_is_not_contiguous() -> None:
    images = torch.randint(0, 256, (4, 3, 8, 8), dtype=torch.uint8).contiguous(memory_format=torch.channels_last)
    found = with_rows(images, torch.tensor([1]), torch.zeros(1, 3, 8, 8, dtype=torch.uint8))
    assert torch.equal(found[[0, 2, 3]], images[[0, 2, 3]])
    assert not found[1].any()
