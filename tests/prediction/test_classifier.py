"""Images in files get the probabilities that a test gives them, from all kinds of classifiers."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch
from mmpretrain.registry import DATASETS, MODELS

from lt_plugins.checkpoints.safetensors_file import pack_safetensors
from lt_plugins.errors import UserInputError
from lt_plugins.models import classifiers, heads
from lt_plugins.models.build import build_model
from lt_plugins.prediction.classifier import choose_device, load_run_config, open_classifier, read_model_config
from lt_plugins.prediction.image_reader import ImageBatch, read_batches
from tests.prediction.networks import DIGITS, KINDS, small_config, write_checkpoint, write_digits

CE = "ce/ce"


STAGES = [*((name, 0) for name in KINDS), ("scl/scl", 1), ("byol/byol", 1), ("lfme/lfme", 2)]


def test_stages_are_of_all_kinds() -> None:
    """Each head and classifier of this package is among them, but for what none on digits has."""
    models = [small_config(name, stage).model for name, stage in STAGES]
    found = {part.type for model in models for part in (model, model.head)}
    registered = {*heads.__all__, *classifiers.__all__} & {*MODELS.module_dict}
    missing = {name for name in registered if name.endswith(("Head", "Classifier"))} - found
    assert missing <= {"ContrastCosineHead", "ProbeHead"}, missing


@pytest.mark.parametrize(("name", "stage"), STAGES)
def test_equal_to_a_test(name: str, stage: int, tmp_path: Path) -> None:
    cfg = small_config(name, stage)
    model: Any = write_checkpoint(cfg, tmp_path / "epoch_1.pth")
    dataset = DATASETS.build(cfg.test_dataloader.dataset)
    items = [dataset[index] for index in range(6)]
    with torch.no_grad():
        tested = model.test_step({key: [item[key] for item in items] for key in ("inputs", "data_samples")})
    classifier = open_classifier(small_config(name, stage), tmp_path / "epoch_1.pth", "cpu")
    paths = write_digits(tmp_path / "images", 6, dataset)
    [batch] = read_batches(paths, classifier.pipeline, 6, 0)
    predictions = classifier.predict_batch(batch, topk=10)
    for one, sample, path in zip(predictions, tested, paths, strict=True):
        assert one.path == path and not one.error
        order = sample.pred_score.argsort(descending=True, stable=True)
        assert list(one.confidence) == sample.pred_score[order].tolist()
        assert one.classes[0] == DIGITS[int(sample.pred_label)]


def test_temperature_divides_the_logits(tmp_path: Path) -> None:
    model: Any = write_checkpoint(small_config(CE), tmp_path / "epoch_1.pth")
    classifier = open_classifier(small_config(CE), tmp_path / "epoch_1.pth", "cpu")
    images = torch.randint(0, 256, (4, 3, 32, 32), dtype=torch.uint8)
    logits = model(model.data_preprocessor({"inputs": images})["inputs"], mode="tensor").double()
    classifier.temperature = 2.5
    torch.testing.assert_close(classifier.probabilities(images), (logits / 2.5).softmax(dim=1), atol=1e-6, rtol=1e-5)


def test_images_of_other_sizes_are_predicted_by_themselves(tmp_path: Path) -> None:
    """They are not padded to the largest of their batch."""
    write_checkpoint(small_config(CE), tmp_path / "epoch_1.pth")
    classifier = open_classifier(small_config(CE), tmp_path / "epoch_1.pth", "cpu")
    small, large = torch.zeros(1, 3, 32, 32, dtype=torch.uint8), torch.full((2, 3, 40, 36), 90, dtype=torch.uint8)
    batch = ImageBatch(("a", "b", "c", "d"), ("", "", "broken", ""), (([1], small), ([0, 3], large)))
    found = classifier.predict_batch(batch, 1)
    assert [one.path for one in found] == ["a", "b", "c", "d"]
    assert found[2].error == "broken" and not found[2].classes
    assert found[0].confidence == found[3].confidence
    assert found[1].confidence[0] == classifier.probabilities(small).max()


def test_the_checkpoint_says_how_many_classes_there_are_and_what_they_are_called(tmp_path: Path) -> None:
    """As after a training with ``--data``, which is not needed here."""
    names = ["Käfer", "蝶", "ant/worker"]
    write_checkpoint(small_config(CE, **{"model.head.num_classes": 3}), tmp_path / "epoch_1.pth", names)
    classifier = open_classifier(small_config(CE), tmp_path / "epoch_1.pth", "cpu")
    assert classifier.probabilities(torch.zeros(1, 3, 32, 32, dtype=torch.uint8)).shape == (1, 3)
    assert [classifier.class_name(label) for label in range(4)] == [*names, "3"]


def test_a_checkpoint_without_names(tmp_path: Path) -> None:
    write_checkpoint(small_config(CE), tmp_path / "epoch_1.pth", None)
    assert open_classifier(small_config(CE), tmp_path / "epoch_1.pth", "cpu").class_name(7) == "7"
    state = torch.load(tmp_path / "epoch_1.pth")["state_dict"]
    (tmp_path / "a.safetensors").write_bytes(pack_safetensors({key: value.clone() for key, value in state.items()}))
    assert open_classifier(small_config(CE), tmp_path / "a.safetensors", "cpu").trained.classes is None


def test_errors(tmp_path: Path) -> None:
    path = tmp_path / "epoch_1.pth"
    write_checkpoint(small_config(CE), path)
    cfg = small_config(CE)
    for loop in ("val", "test"):
        cfg.pop(f"{loop}_dataloader")
    with pytest.raises(UserInputError, match="prediction needs transforms without augmentation"):
        open_classifier(cfg, path, "cpu")
    cfg = small_config(CE)
    cfg.model.head = None
    torch.save({"state_dict": build_model(cfg).state_dict()}, path)
    with pytest.raises(UserInputError, match="without a classifier, as of a stage that learns features"):
        open_classifier(cfg, path, "cpu")
    with pytest.raises(UserInputError, match="none; give cpu, cuda"):
        choose_device("tpu")
    if not torch.cuda.is_available():
        with pytest.raises(UserInputError, match="needs a CUDA device"):
            choose_device("cuda:3")
        assert choose_device(None) == "cpu"


def test_scores_that_are_not_finite(tmp_path: Path) -> None:
    write_checkpoint(small_config(CE), tmp_path / "epoch_1.pth")
    classifier = open_classifier(small_config(CE), tmp_path / "epoch_1.pth", "cpu")
    classifier.model.head.fc.bias.data[0] = float("nan")
    with pytest.raises(UserInputError, match=r"epoch_1.pth are not finite"):
        classifier.probabilities(torch.zeros(1, 3, 32, 32, dtype=torch.uint8))


def test_config_of_a_work_dir(tmp_path: Path) -> None:
    """It is parsed; a line that would run code stays text, and is refused."""
    cfg = small_config(CE)
    start = tmp_path / "20260101_000000" / "vis_data"
    start.mkdir(parents=True)
    cfg.dump(str(start / "config.py"))
    assert load_run_config(tmp_path).model == cfg.model
    assert read_model_config(str(tmp_path), {"model.head.num_classes": 4}).model.head.num_classes == 4
    with pytest.raises(UserInputError, match="is a work dir, which names its data"):
        read_model_config(str(tmp_path), data="photos")
    marker = tmp_path / "executed"
    (start / "config.py").write_text(f"model = __import__('pathlib').Path({str(marker)!r}).touch()\n")
    with pytest.raises(UserInputError):
        load_run_config(tmp_path)
    assert not marker.exists()
