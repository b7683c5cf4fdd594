from __future__ import annotations

import numpy as np
import pytest
from sklearn.datasets import load_digits

from lt_plugins.datasets.digits_dataset import DigitsDataset
from lt_plugins.errors import UserInputError


def test_split() -> None:
    train, test = DigitsDataset("train"), DigitsDataset("test")
    assert np.bincount(test.get_gt_labels()).tolist() == [50] * 10
    assert np.bincount(train.get_gt_labels()).tolist() == (np.bincount(load_digits().target) - 50).tolist()
    images = [{train.get_data_info(i)["img"].tobytes() for i in range(len(train))}]
    images += [{test.get_data_info(i)["img"].tobytes() for i in range(len(test))}]
    assert not images[0] & images[1], "a test image is in the training set"
    assert [len(part) for part in images] == [1297, 500], "an image is there twice"


def test_images() -> None:
    dataset = DigitsDataset("test")
    info = dataset.get_data_info(0)
    assert info["img"].shape == (32, 32, 3)
    assert info["img"].dtype == np.uint8
    assert (info["img"][..., :1] == info["img"]).all(), "three equal channels"
    # Bilinear enlargement keeps the mean (but for the edges) and the range of gray levels.
    original = load_digits()
    pixels = np.stack([dataset.get_data_info(i)["img"] for i in range(len(dataset))])
    assert pixels.mean() / 255 == pytest.approx(original.images.mean() / 16, rel=0.03)
    assert (pixels.min(), pixels.max()) == (0, 255)
    assert dataset.metainfo["classes"] == tuple("0123456789")
    assert "Split: \ttest" in repr(dataset)


def test_unknown_split() -> None:
    with pytest.raises(UserInputError, match="unknown split 'val'; choose one of train, test"):
        DigitsDataset("val")  # type: ignore[arg-type]
