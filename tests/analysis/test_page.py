from __future__ import annotations

from pathlib import Path

import cv2
import numpy as np
import pytest
import torch
from mmengine.config import Config

from lt_plugins.analysis.page import check_device, describe_origin, not_clustered_error
from lt_plugins.analysis.queries import check_numbers, find_label, load_image
from lt_plugins.analysis.subclasses import SubclassPage
from lt_plugins.analysis.trained_model import TrainedModel, build_plain_dataset
from lt_plugins.errors import UserInputError
from lt_plugins.runs.config import load_config
from tests.tool_process import ROOT


def test_classes_by_name_and_number() -> None:
    names = ["maple_tree", "1", "oak_tree", "3", "0"]
    assert [find_label(query, names) for query in ("oak_tree", "1", "0", "2")] == [2, 1, 4, 2]
    with pytest.raises(UserInputError, match="'mapel_tree' is no class of the dataset; did you mean maple_tree"):
        find_label("mapel_tree", names)
    with pytest.raises(UserInputError, match="'zebra' is no class of the dataset; there are maple_tree, 1, oak_tree"):
        find_label("zebra", names)
    for query in ("-1", "5"):
        with pytest.raises(UserInputError, match=f"--classes {query} is out of range; the model has classes 0 to 4"):
            find_label(query, names)


def test_page_beside_the_checkpoint(tmp_path: Path) -> None:
    trained = TrainedModel(None, tmp_path / "epoch_3.pth", 3)
    assert SubclassPage().open(trained, "t", None).out_dir == tmp_path / "subclasses_epoch_3"
    assert SubclassPage().open(trained, "t", tmp_path / "x/y").out_dir == tmp_path / "x/y"
    assert describe_origin(trained).startswith(f"{tmp_path / 'epoch_3.pth'}, after epoch 3, read on 20")
    assert describe_origin(trained._replace(epoch=None)).startswith(f"{tmp_path / 'epoch_3.pth'}, read on 20")


def test_no_clustering_yet() -> None:
    trained = TrainedModel(None, Path("epoch_3.pth"), 3)
    cfg = Config({"custom_hooks": [{"type": "EMAHook"}, {"type": "ReclusterHook", "start": 5}]})
    assert str(not_clustered_error(cfg, trained, "subclasses")) == (
        "epoch_3.pth (epoch 3) has no subclasses yet: ReclusterHook first clusters before epoch 6; use a checkpoint of "
        "that epoch or a later one."
    )
    message = str(not_clustered_error(Config({}), trained._replace(epoch=None), "subclasses"))
    assert message == "epoch_3.pth has no subclasses yet: the config has no ReclusterHook in custom_hooks."


def test_device(monkeypatch: pytest.MonkeyPatch) -> None:
    check_device("cpu")
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    with pytest.raises(UserInputError, match="use --device cpu"):
        check_device("cuda")


def test_numbers() -> None:
    check_numbers("--latents", [0, 4], 5)
    for number in (-1, 5):
        with pytest.raises(UserInputError, match=f"--latents {number} is out of range; the model has 0 to 4"):
            check_numbers("--latents", [0, number], 5)


def test_image_of_another_size(tmp_path: Path) -> None:
    """It gets the size of those in the dataset, as the mean of what falls together; one of that size stays."""
    dataset = build_plain_dataset(load_config(str(ROOT / "configs/ce/ce_r32_digits.py")), "test")
    assert dataset[0]["inputs"].shape == (3, 32, 32)
    image = np.random.default_rng(0).integers(0, 256, (64, 96, 3), dtype=np.uint8)
    assert cv2.imwrite(str(tmp_path / "large.png"), image)
    assert cv2.imwrite(str(tmp_path / "small.png"), image[:32, :32])
    np.testing.assert_array_equal(
        load_image(tmp_path / "small.png", dataset).numpy(), image[:32, :32].transpose(2, 0, 1)
    )
    means = image.reshape(32, 2, 32, 3, 3).mean(axis=(1, 3)).transpose(2, 0, 1)
    np.testing.assert_allclose(load_image(tmp_path / "large.png", dataset).numpy(), means, atol=1)
    with pytest.raises(UserInputError, match=r"gone.png does not exist"):
        load_image(tmp_path / "gone.png", dataset)
