"""Exported classifiers answer as the models that they were made from, in any number of images."""

from __future__ import annotations

import importlib
import io
import json
from pathlib import Path
from typing import Any

import onnx
import onnxruntime
import pytest
import torch

from lt_plugins.checkpoints.safetensors_file import pack_safetensors
from lt_plugins.errors import UserInputError
from lt_plugins.prediction.classifier import ImageClassifier, open_classifier
from lt_plugins.prediction.export import FORMATS, compare, describe_classifier
from lt_plugins.prediction.pixel_classifier import PixelClassifier, find_input_size
from tests.prediction.networks import small_config, write_checkpoint

SIZE = (32, 32)
NAMES = [f"蝶 {number}" for number in range(10)]
# Heads, necks and backbones that compute in a way of their own.
TRACED = (
    *("balpoe/balpoe", "bbn/bbn", "fslwf/fslwf", "glmc/glmc", "isda/isda", "lcreg/lcreg", "lws/lws", "oltr/oltr"),
    *("paco/paco", "shike/shike", "ssd/ssd", "tde/tde"),
)


def open_kind(name: str, folder: Path, **overrides: Any) -> ImageClassifier:
    write_checkpoint(small_config(name, **overrides), folder / "epoch_1.pth", NAMES)
    classifier = open_classifier(small_config(name, **overrides), folder / "epoch_1.pth", "cpu")
    classifier.temperature = 1.7
    return classifier


def pack(form: str, classifier: ImageClassifier, gives_logits: bool = False) -> bytes:
    module = PixelClassifier(classifier, gives_logits).eval().requires_grad_(False)
    metadata = describe_classifier(classifier, SIZE, gives_logits, is_calibrated=True)
    return FORMATS[form].pack(module, torch.zeros(2, 3, *SIZE, dtype=torch.uint8), metadata)


def difference(form: str, classifier: ImageClassifier, gives_logits: bool = False) -> float:
    by, opened = FORMATS[form].open(pack(form, classifier, gives_logits), classifier)
    return compare(opened, by, classifier, SIZE, gives_logits).difference


@pytest.mark.parametrize("name", TRACED)
def test_graphs_and_weights(name: str, tmp_path: Path) -> None:
    classifier = open_kind(name, tmp_path)
    assert difference("torchscript", classifier) < 1e-6
    assert difference("safetensors", classifier) < 1e-6


def test_onnx(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Of two experts."""
    classifier = open_kind("bbn/bbn", tmp_path)
    data = pack("onnx", classifier)
    by, opened = FORMATS["onnx"].open(data, classifier)
    assert by == f"onnxruntime {onnxruntime.__version__}"
    parity = compare(opened, by, classifier, SIZE, False)
    assert parity.difference < 1e-5 and parity.holds
    model = onnx.load_model_from_string(data)
    onnx.checker.check_model(model)
    metadata = {entry.key: entry.value for entry in model.metadata_props}
    assert json.loads(metadata["classes"]) == NAMES
    assert metadata["input"] == "images: RGB pixels, uint8 (batch, 3, 32, 32)"
    assert json.loads(metadata["input_size"]) == [32, 32] and float(metadata["temperature"]) == 1.7
    assert json.loads(metadata["model"])["head"]["type"] == classifier.cfg.model.head.type
    [graph_input] = model.graph.input
    assert graph_input.type.tensor_type.shape.dim[0].dim_param, "any number of images"

    real = importlib.import_module
    monkeypatch.setattr(importlib, "import_module", lambda name: real("gone" if name == "onnxruntime" else name))
    by, opened = FORMATS["onnx"].open(data, classifier)
    assert by == "the reference evaluator of onnx (onnxruntime is not installed)"
    images = torch.randint(0, 256, (3, 3, *SIZE), dtype=torch.uint8)
    torch.testing.assert_close(opened(images).double(), classifier.probabilities(images.flip(1)), atol=1e-5, rtol=0)
    monkeypatch.setattr(importlib, "import_module", lambda name: real("gone" if name == "onnxscript" else name))
    with pytest.raises(
        UserInputError, match=r"--to onnx needs onnxscript \(No module named 'gone'\); run: pip install"
    ):
        pack("onnx", classifier)


def test_torchscript_metadata_and_logits(tmp_path: Path) -> None:
    classifier = open_kind("ce/ce", tmp_path)
    data = pack("torchscript", classifier, gives_logits=True)
    extra = {"metadata.json": ""}
    module = torch.jit.load(io.BytesIO(data), _extra_files=extra)
    metadata = json.loads(extra["metadata.json"])
    assert json.loads(metadata["classes"]) == NAMES and metadata["output"] == "logits"
    images = torch.randint(0, 256, (3, 3, *SIZE), dtype=torch.uint8)
    model: Any = classifier.model
    with torch.no_grad():
        expected = model(model.data_preprocessor({"inputs": images.flip(1)})["inputs"], mode="tensor") / 1.7
        torch.testing.assert_close(module(images), expected)
    assert difference("torchscript", classifier, gives_logits=True) < 1e-6


def test_bgr_and_no_normalisation(tmp_path: Path) -> None:
    overrides = {"data_preprocessor.to_rgb": False, "data_preprocessor.mean": None, "data_preprocessor.std": None}
    classifier = open_kind("ce/ce", tmp_path, **overrides)
    assert difference("torchscript", classifier) < 1e-6
    images = torch.randint(0, 256, (3, 3, *SIZE), dtype=torch.uint8)
    module = PixelClassifier(classifier).eval()
    assert not torch.equal(module(images), module(images.flip(1)))


def test_adjusted_head(tmp_path: Path) -> None:
    classifier = open_kind("ce/ce", tmp_path)
    before = classifier.probabilities(torch.zeros(1, 3, *SIZE, dtype=torch.uint8))
    classifier.model.head.adjust(torch.randn(10, 64), torch.randn(10), torch.zeros(64))
    assert not torch.allclose(classifier.probabilities(torch.zeros(1, 3, *SIZE, dtype=torch.uint8)), before)
    assert difference("torchscript", classifier) < 1e-6
    assert difference("safetensors", classifier) < 1e-6


def test_probabilities_of_each_class_by_itself(tmp_path: Path) -> None:
    classifier = open_kind("ce/ce", tmp_path)
    classifier.model.head.loss_module.link = "sigmoid"
    classifier.temperature = 1.0
    assert float(classifier.probabilities(torch.zeros(1, 3, *SIZE, dtype=torch.uint8)).sum()) > 1.5
    assert difference("torchscript", classifier) < 1e-6


def test_safetensors_are_a_checkpoint_with_names(tmp_path: Path) -> None:
    classifier = open_kind("paco/paco", tmp_path)
    path = tmp_path / "a.safetensors"
    path.write_bytes(pack("safetensors", classifier))
    other = open_classifier(small_config("paco/paco"), path, "cpu")
    assert other.trained.classes == tuple(NAMES)
    images = torch.randint(0, 256, (3, 3, *SIZE), dtype=torch.uint8)
    other.temperature = 1.7
    assert torch.equal(other.probabilities(images), classifier.probabilities(images))
    tensors = {key: value.clone() for key, value in classifier.model.state_dict().items()}
    for classes in ("nonsense", "{}", "[1]"):
        path.write_bytes(pack_safetensors(tensors, {"classes": classes}))
        assert open_classifier(small_config("paco/paco"), path, "cpu").trained.classes is None


def test_a_file_that_answers_otherwise_is_noticed(tmp_path: Path) -> None:
    classifier = open_kind("ce/ce", tmp_path)
    module = PixelClassifier(classifier).eval().requires_grad_(False)
    assert not compare(lambda images: module(images.flip(1)), "x", classifier, SIZE, False).holds
    with pytest.raises(UserInputError, match=r"gives \(1, 9\) for 1 images, expected \(1, 10\)"):
        compare(lambda images: module(images)[:, 1:], "x", classifier, SIZE, False)


def test_a_router_is_refused(tmp_path: Path) -> None:
    with pytest.raises(UserInputError, match=r"RoutedClassifier asks as many experts .* \(--stage 1\)"):
        PixelClassifier(open_kind("ride/ride-router", tmp_path))


def test_input_size(tmp_path: Path) -> None:
    classifier = open_kind("ce/ce", tmp_path)
    assert find_input_size(classifier) == (32, 32), "of a test image"
    assert find_input_size(classifier, (40, 48)) == (40, 48)
    classifier.cfg.test_dataloader.dataset = {"type": "ImageListDataset", "data_root": str(tmp_path / "gone")}
    with pytest.raises(UserInputError, match="say the size of the input, like --size 224 224"):
        find_input_size(classifier)
    resize = {"type": "Resize", "scale": (28, 24)}  # width, height
    cfg = small_config("ce/ce")
    cfg.test_dataloader.dataset.pipeline.insert(1, resize)
    assert find_input_size(ImageClassifier(cfg, classifier.trained)) == (24, 28)
