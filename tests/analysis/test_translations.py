"""Page of M2m's translations: seeds, translations and confidences are those of the model and its teacher."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch
from mmengine.config import Config
from PIL import Image

from lt_plugins.analysis.inspection import find_pages
from lt_plugins.analysis.trained_model import TrainedModel, build_plain_dataset, load_trained_model
from lt_plugins.analysis.translations import (
    NUM_IMAGES,
    TranslationPage,
    load_teacher,
    to_rgb_picture,
    translate_images,
)
from lt_plugins.datasets.labels import get_class_counts, get_labels
from lt_plugins.errors import UserInputError
from lt_plugins.models.build import build_model
from lt_plugins.models.classifiers import M2mClassifier
from lt_plugins.runs.config import load_stages
from tests.tool_process import ROOT
from tests.visualization.test_html import read

OPTIONS = {
    "model.backbone.depth": 20,
    "stage2.model.gamma": 0.1,
    "stage2.model.num_steps": 2,
    "stage2.model.beta": 0.5,
}


def make_run(folder: Path) -> tuple[dict[int, Config], TrainedModel]:
    """As a run in two stages leaves it, with random weights."""
    stages = dict(enumerate(load_stages(str(ROOT / "configs/m2m/m2m_r32_digits.py"), OPTIONS)))
    (folder / "stage1").mkdir(parents=True)
    counts = get_class_counts(build_plain_dataset(stages[0], "train"), 10)
    for index, path in enumerate((folder / "stage1/epoch_30.pth", folder / "epoch_30.pth")):
        torch.manual_seed(index)
        model: Any = build_model(stages[index])
        if isinstance(model, M2mClassifier):
            model.class_distribution.set_counts(counts)
        with torch.no_grad():
            model.head.fc.weight.mul_(20)  # logits that differ
        torch.save({"state_dict": model.state_dict(), "meta": {"epoch": 30}}, path)
        (path.parent / "last_checkpoint").write_text(str(path))
    return stages, load_trained_model(stages[1], folder / "epoch_30.pth")


def test_page_of_a_run(tmp_path: Path) -> None:
    stages, trained = make_run(tmp_path)
    found = find_pages(stages)
    assert (found.stage, [page.name for page in found.pages]) == (1, ["translations"])
    text = TranslationPage({"top": 3, "seed": 5}).write(stages[1], trained, "m2m/x")
    folder = tmp_path / "translations_epoch_30"
    assert text == f"wrote {folder / 'index.html'} and beside it accepted.png, refused.png"
    assert all(min(Image.open(folder / f"{name}.png").size) > 300 for name in ("accepted", "refused"))

    model, dataset = trained.model, build_plain_dataset(stages[1], "train")
    labels = torch.from_numpy(get_labels(dataset))
    batch = translate_images(model, dataset, labels, 5)
    reader = read(folder / "index.html")
    sure = batch.tried & (batch.teacher[:, 1] >= 0.1)
    counted = f"Of {int(batch.tried.sum())} translations {int(sure.sum())} reach a confidence of the teacher of 0.1"
    assert counted in reader.text and "from epoch 25 on" in reader.text
    assert 0 < int(batch.accepted.sum()) < int(batch.tried.sum()) < NUM_IMAGES
    for table, chosen in zip(reader.tables, (batch.accepted, batch.tried & ~batch.accepted), strict=True):
        best = batch.teacher[chosen, 1].sort(descending=True).values[:3]
        assert [float(row[2]) for row in table[1:]] == pytest.approx(best.tolist(), abs=0.0051)


@torch.no_grad()
def test_batch(tmp_path: Path) -> None:
    """Each class comes alike, seeds are training images, and confidences those of the networks."""
    stages, trained = make_run(tmp_path)
    model, dataset = trained.model, build_plain_dataset(stages[1], "train")
    teacher = load_teacher(stages[1], trained)
    assert not teacher.training
    saved = torch.load(tmp_path / "stage1/epoch_30.pth")["state_dict"]
    assert all(torch.equal(value, saved[name]) for name, value in teacher.state_dict().items())
    model.set_teachers([teacher])
    labels = torch.from_numpy(get_labels(dataset))
    batch = translate_images(model, dataset, labels, 0)
    assert all(4 <= number <= 25 for number in batch.classes.bincount(minlength=10).tolist())
    pixels = {bytes(dataset[place]["inputs"].numpy().tobytes()): int(labels[place]) for place in range(len(dataset))}
    for place in range(NUM_IMAGES):
        seed = (255 * batch.seeds[place]).round().byte()
        raw = seed.flip(0) if model.data_preprocessor.to_rgb else seed
        assert pixels[bytes(raw.numpy().tobytes())] == int(batch.seed_classes[place])
        if batch.tried[place]:
            assert (
                model.class_distribution.counts[batch.seed_classes[place]]
                > (model.class_distribution.counts[batch.classes[place]])
            )
    for images, column in ((batch.seeds, 0), (batch.translations, 1)):
        inputs = model._normalise(images)
        for network, wanted, known in (
            (teacher, batch.classes, batch.teacher),
            (model, batch.seed_classes, batch.own),
        ):
            scores = network.head.predict(network.extract_feat(inputs), None)
            expected = [float(score.pred_score[label]) for score, label in zip(scores, wanted, strict=True)]
            torch.testing.assert_close(known[:, column].double(), torch.tensor(expected).double(), rtol=0, atol=1e-3)
    again = translate_images(model, dataset, labels, 0)
    assert torch.equal(again.translations, batch.translations) and torch.equal(again.accepted, batch.accepted)
    assert not torch.equal(translate_images(model, dataset, labels, 1).classes, batch.classes)


def test_none_is_accepted(tmp_path: Path) -> None:
    stages, trained = make_run(tmp_path)
    trained.model.gamma = 1.01
    text = TranslationPage({"top": 1}).write(stages[1], trained, "m2m/x", tmp_path / "page")
    assert "refused.png" in text and "accepted.png" not in text
    assert "None in this batch." in read(tmp_path / "page/index.html").text


def test_colours() -> None:
    image = torch.tensor([1.0, 0.5, 0.0])[:, None, None].expand(3, 2, 1)
    assert to_rgb_picture(image, True)[0, 0].tolist() == [255, 128, 0]
    assert to_rgb_picture(image, False)[0, 0].tolist() == [0, 128, 255]


def test_what_cannot_be_shown(tmp_path: Path) -> None:
    with pytest.raises(UserInputError, match=r"--top 0 must be 1 or more"):
        TranslationPage({"top": 0})
    with pytest.raises(UserInputError, match=r"--seed -1 must be from 0"):
        TranslationPage({"seed": -1})
    stages, trained = make_run(tmp_path)
    (tmp_path / "stage1/epoch_30.pth").unlink()
    with pytest.raises(UserInputError, match=r"stage1.*epoch_30\.pth, which is gone"):
        TranslationPage().write(stages[1], trained, "m2m/x")
    stages[1].model.teachers = []
    with pytest.raises(UserInputError, match=r"model.teachers is empty"):
        TranslationPage().write(stages[1], trained, "m2m/x")
