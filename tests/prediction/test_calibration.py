"""The temperature is that of a grid search, and is kept beside the checkpoint for its weights."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from lt_plugins.analysis.trained_model import build_plain_dataset
from lt_plugins.datasets.labels import get_labels
from lt_plugins.errors import UserInputError
from lt_plugins.prediction.calibration import calibrate
from lt_plugins.prediction.classifier import ImageClassifier, open_classifier
from tests.prediction.networks import small_config, write_checkpoint

CE = "ce/ce"
VAL = [*range(0, 500, 2)]


def open_ce(checkpoint: Path, **overrides: Any) -> ImageClassifier:
    cfg = small_config(CE, **{"val_dataloader.dataset.indices": VAL, **overrides})
    if not checkpoint.exists():
        model: Any = write_checkpoint(cfg, checkpoint)
        fit(model)
        content = torch.load(checkpoint)
        torch.save({**content, "state_dict": model.state_dict()}, checkpoint)
    return open_classifier(cfg, checkpoint, "cpu")


def fit(model: Any) -> None:
    """Give a random network the classifier of ridge regression on other images, which is right of some images."""
    dataset = build_plain_dataset(small_config(CE), "test")
    images, labels = zip(*((dataset[i]["inputs"], get_labels(dataset)[i]) for i in range(1, 500, 2)), strict=True)
    with torch.no_grad():
        features = model.extract_feat(model.data_preprocessor({"inputs": torch.stack(images)})["inputs"])[-1].double()
        mean = features.mean(dim=0)
        gram = (features - mean).T @ (features - mean)
        targets = torch.nn.functional.one_hot(torch.tensor(labels), 10).double()
        ridge = 1e-4 * gram.trace() * torch.eye(len(gram))
        solved = 20 * torch.linalg.solve(gram + ridge, (features - mean).T @ targets)
        model.head.fc.weight.copy_(solved.T)
        model.head.fc.bias.copy_(-mean @ solved)


def test_fitted_once_and_kept(tmp_path: Path) -> None:
    classifier = open_ce(tmp_path / "epoch_1.pth")
    dataset = build_plain_dataset(classifier.cfg, "val")
    images = torch.stack([dataset[index]["inputs"] for index in range(len(VAL))])
    labels = get_labels(dataset)
    logits = classifier.probabilities(images).log().numpy()
    found, done = calibrate(classifier, 64, 0)
    path = tmp_path / "calibration_epoch_1.json"
    assert done == f"kept in {path}"
    assert (found.num_images, found.images) == (len(VAL), "validation images")

    def loss(temperature: float) -> float:
        z = logits / temperature
        return float(np.mean(np.log(np.exp(z).sum(axis=1)) - z[np.arange(len(z)), labels]))

    grid = np.exp(np.linspace(np.log(0.05), np.log(20), 2000))
    assert found.temperature == pytest.approx(grid[np.argmin([*map(loss, grid)])], rel=0.005)
    assert found.temperature == classifier.temperature != 1.0
    assert found.ece_after < found.ece_before
    # At the best temperature the logits of the true classes are as large as the model expects.
    expected = (classifier.probabilities(images).numpy() * logits).sum(axis=1).mean()
    assert logits[np.arange(len(labels)), labels].mean() == pytest.approx(expected, rel=1e-3)

    again = open_ce(tmp_path / "epoch_1.pth", **{"val_dataloader.dataset.indices": [0]})
    assert calibrate(again, 64, 0) == (found, f"read from {path}"), "no images are needed"
    assert again.temperature == found.temperature

    other = open_ce(tmp_path / "other" / "epoch_1.pth")
    for parameter in other.model.head.parameters():
        parameter.data.mul_(2)
    (tmp_path / "other" / path.name).write_bytes(path.read_bytes())
    assert calibrate(other, 64, 0)[0].temperature == pytest.approx(2 * found.temperature, rel=1e-3), "of other weights"


def test_at_most_so_many_images(tmp_path: Path) -> None:
    first = calibrate(open_ce(tmp_path / "epoch_1.pth"), 64, 0, max_images=60)[0]
    (tmp_path / "calibration_epoch_1.json").unlink()
    second = calibrate(open_ce(tmp_path / "epoch_1.pth"), 32, 0, max_images=60)[0]
    assert first.num_images == 60
    assert first.temperature == pytest.approx(second.temperature, rel=1e-5), "the same ones"


def test_images_that_are_those_of_the_test(tmp_path: Path) -> None:
    found = calibrate(open_ce(tmp_path / "a.pth", **{"test_dataloader.dataset.indices": VAL}), 64, 0)[0]
    assert found.images == "validation images, which are its test images"


def test_reasons_for_none(tmp_path: Path) -> None:
    classifier = open_ce(tmp_path / "epoch_1.pth", **{"val_dataloader.dataset.indices": [0, 1, 2]})
    with pytest.raises(UserInputError, match="there are 3 validation images, fewer than 10"):
        calibrate(classifier, 64, 0)
    classifier = open_ce(tmp_path / "epoch_1.pth")
    classifier.cfg.val_dataloader.dataset = {"type": "ImageListDataset", "data_root": str(tmp_path / "gone")}
    with pytest.raises(UserInputError, match=r"validation images are not here: .*gone"):
        calibrate(classifier, 64, 0)
    classifier = open_ce(tmp_path / "epoch_1.pth")
    labels = get_labels(build_plain_dataset(classifier.cfg, "val"))
    right = [index for index in range(len(labels)) if labels[index] == 0]
    classifier.cfg.val_dataloader.dataset.indices = [VAL[index] for index in right]
    classifier.model.head.fc.bias.data[0] += 100.0
    with pytest.raises(UserInputError, match=f"{len(right)} of {len(right)} validation images are right, which sets"):
        calibrate(classifier, 64, 0)
    classifier.model.head.loss_module.link = "sigmoid"
    with pytest.raises(UserInputError, match="sigmoids of each class by itself"):
        calibrate(classifier, 64, 0)
    assert classifier.temperature == 1.0
    assert not (tmp_path / "calibration_epoch_1.json").exists()


@pytest.mark.parametrize("text", ["{", '{"temperature": 1}', "[]"])
def test_a_damaged_file(text: str, tmp_path: Path) -> None:
    classifier = open_ce(tmp_path / "epoch_1.pth")
    path = tmp_path / "calibration_epoch_1.json"
    path.write_text(text)
    with pytest.raises(UserInputError, match="delete it, and the temperature is fitted again"):
        calibrate(classifier, 64, 0)
    path.unlink()
    calibrate(classifier, 64, 0)
    values = json.loads(path.read_text())
    path.write_text(json.dumps({**values, "temperature": -1.0}))
    with pytest.raises(UserInputError, match="delete it"):
        calibrate(classifier, 64, 0)
