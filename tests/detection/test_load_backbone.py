"""The backbone of a classifier reaches the detector, all of it, or training stops."""

from __future__ import annotations

import re
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
import torch
from mmengine.config import Config
from torch import Tensor

from lt_plugins.checkpoints.backbone import Backbone, read_backbone, write_backbone
from lt_plugins.checkpoints.checkpoint import load_checkpoint
from lt_plugins.detection import LoadBackboneHook, load_backbone
from lt_plugins.errors import UserInputError
from lt_plugins.models.build import build_model
from lt_plugins.runs.quiet_runner import QuietRunner
from tests.detection.voc import build_classifier, small_cfg

CONFIGS = {
    "faster-rcnn_r18-c4_200i_voc07-part": 18,
    "faster-rcnn_r50-c4_24k_voc0712": 50,
    "faster-rcnn_r50-fpn_24k_voc0712": 50,
    "retinanet_r50-fpn_24k_voc0712": 50,
}


def build_detector(name: str) -> Any:
    """The detector of a config, in evaluation mode."""
    return build_model(Config.fromfile(f"configs/detection/{name}.py")).eval()


@pytest.mark.parametrize(("name", "depth"), CONFIGS.items(), ids=list(CONFIGS))
def test_features_equal_those_of_the_classifier(name: str, depth: int, classifiers: dict[int, Path]) -> None:
    """From the pixels of an image on: both normalise it in the same way."""
    classifier = build_classifier(depth).eval()
    classifier.load_state_dict(load_checkpoint(classifiers[depth])["state_dict"])
    detector = build_detector(name)
    load_backbone(detector, read_backbone(classifiers[depth]), "ce.pth")
    image = torch.randint(0, 256, (3, 64, 96), dtype=torch.uint8, generator=torch.Generator().manual_seed(0))
    for_classifier = classifier.data_preprocessor({"inputs": image[None]})["inputs"]
    for_detector = detector.data_preprocessor({"inputs": [image], "data_samples": None})["inputs"]
    assert torch.equal(for_classifier, for_detector)
    with torch.no_grad():
        expected: Tensor = classifier.backbone(for_classifier)[-1]
        found: Tensor = detector.backbone(for_detector)[-1]
        if "c4" in name:
            found = detector.roi_head.shared_head.layer4(found)
    assert expected.std() > 0
    assert torch.equal(found, expected)


def test_message_says_what_matched(classifiers: dict[int, Path]) -> None:
    detector = build_detector("faster-rcnn_r18-c4_200i_voc07-part")
    backbone = read_backbone(classifiers[18])
    extra = backbone._replace(weights={**backbone.weights, "deep_stem.weight": torch.zeros(2)})
    assert load_backbone(detector, extra, "ce.pth") == (
        "120 of 120 tensors matched in ce.pth (90 in backbone, 30 in roi_head.shared_head); "
        "1 of the file not used: deep_stem.weight"
    )


def test_the_extra_norm_is_new(classifiers: dict[int, Path]) -> None:
    detector = build_detector("faster-rcnn_r18-c4_200i_voc07-part")
    before = {key: value.clone() for key, value in detector.state_dict().items()}
    load_backbone(detector, read_backbone(classifiers[18]), "ce.pth")
    same = {key for key, value in detector.state_dict().items() if value.equal(before[key])}
    fresh = {key for key in before if key.startswith("roi_head.shared_head.norm.")}
    assert len(fresh) == 5
    assert fresh <= same
    counters = {key for key in before if key.endswith("num_batches_tracked")}
    assert {key for key in same - counters if key.startswith(("backbone.", "roi_head.shared_head.layer4"))} == set()


def test_counters_of_batches_may_be_missing(classifiers: dict[int, Path]) -> None:
    """Old weights of torchvision have none."""
    backbone = read_backbone(classifiers[18])
    weights = {key: value for key, value in backbone.weights.items() if not key.endswith("num_batches_tracked")}
    detector = build_detector("faster-rcnn_r18-c4_200i_voc07-part")
    assert load_backbone(detector, backbone._replace(weights=weights), "old.pth").startswith("100 of 120 tensors")


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (
            lambda weights: {f"encoder.{key}": value for key, value in weights.items()},
            r"only 0 of the 100 tensors .* are in x\.pth, the rest would stay random; first missing: conv1\.weight "
            r"\(\(64, 3, 7, 7\) in the model, not in the file\)",
        ),
        (
            lambda weights: {key: value for key, value in weights.items() if not key.startswith("layer4")},
            r"only 75 of the 100 .* first missing: layer4\.0\.conv1\.weight",
        ),
        (
            lambda weights: {**weights, "conv1.weight": torch.zeros(64, 3, 3, 3)},
            r"only 99 of the 100 .* conv1\.weight \(\(64, 3, 7, 7\) in the model, \(64, 3, 3, 3\) in the file\)",
        ),
    ],
    ids=["none", "no layer4", "another stem"],
)
def test_too_few_tensors(change: Any, message: str, classifiers: dict[int, Path]) -> None:
    backbone = read_backbone(classifiers[18])
    detector = build_detector("faster-rcnn_r18-c4_200i_voc07-part")
    before = {key: value.clone() for key, value in detector.state_dict().items()}
    with pytest.raises(UserInputError, match=message):
        load_backbone(detector, Backbone(change(backbone.weights), backbone.left_out, None), "x.pth")
    assert all(value.equal(before[key]) for key, value in detector.state_dict().items()), "nothing is half loaded"


def test_backbone_of_another_depth(classifiers: dict[int, Path]) -> None:
    with pytest.raises(UserInputError, match=r"only \d+ of the 265 tensors"):
        load_backbone(build_detector("faster-rcnn_r50-c4_24k_voc0712"), read_backbone(classifiers[18]), "ce_r18.pth")


def test_no_backbone_by_accident(devkit: Path, tmp_path: Path) -> None:
    cfg = small_cfg("configs/detection/faster-rcnn_r18-c4_200i_voc07-part.py", devkit, tmp_path)
    cfg.custom_hooks[0].checkpoint = None
    with pytest.raises(UserInputError, match=r"nothing initialises the backbone: .*--backbone CKPT.*--backbone random"):
        QuietRunner.from_cfg(cfg).train()


@pytest.mark.parametrize("state", [{"_resume": True, "_load_from": None}, {"_resume": False, "_load_from": "det.pth"}])
def test_weights_of_a_detector_are_kept(state: dict[str, Any]) -> None:
    lines: list[str] = []
    runner = SimpleNamespace(**state, logger=SimpleNamespace(info=lines.append), model=None)
    LoadBackboneHook(checkpoint="no_such_file.pth").before_train(runner)
    assert re.match("Backbone: as in (the checkpoint that is resumed|det.pth)", lines[0])


@pytest.mark.parametrize("suffix", [".pth", ".safetensors"])
@pytest.mark.parametrize("prefix", ["backbone.", ""])
def test_mmdet_takes_an_export_as_init_cfg(
    prefix: str, suffix: str, classifiers: dict[int, Path], tmp_path: Path
) -> None:
    """With the names of OpenMMLab, and with those of torchvision."""
    path = tmp_path / f"out{suffix}"
    weights = read_backbone(classifiers[18]).weights
    write_backbone(weights, path, prefix)
    init_cfg = {"type": "Pretrained", "checkpoint": str(path), **({"prefix": prefix} if prefix else {})}
    cfg = Config.fromfile("configs/detection/retinanet_r50-fpn_24k_voc0712.py")
    cfg.model.backbone.update(depth=18, init_cfg=init_cfg)
    cfg.model.neck.in_channels = [64, 128, 256, 512]
    detector: Any = build_model(cfg)
    detector.init_weights()
    expected = {key: value for key, value in weights.items() if key in detector.backbone.state_dict()}
    assert len(expected) > 100
    assert all(torch.equal(detector.backbone.state_dict()[key], value) for key, value in expected.items())
    cfg.model.backbone.depth = 34
    deeper: Any = build_model(cfg)
    with pytest.raises(UserInputError, match="tensors of the ResNet are in"):
        deeper.init_weights()
