"""A backbone alone: out of any checkpoint, into a file, and back."""

from __future__ import annotations

from collections import Counter
from pathlib import Path

import pytest
import torch
import torchvision  # type: ignore[import-untyped]
from mmengine.config import Config
from mmpretrain.registry import MODELS

from lt_plugins.checkpoints.backbone import find_torchvision_model, read_backbone, set_backbone, write_backbone
from lt_plugins.errors import UserInputError
from tests.small_runs import MakeRunner


@pytest.fixture
def resnet() -> torch.nn.Module:
    torch.manual_seed(0)
    return MODELS.build({"type": "ResNet", "depth": 18, "style": "pytorch"})


@pytest.fixture
def checkpoint(resnet: torch.nn.Module, tmp_path: Path) -> Path:
    """As a momentum classifier leaves it, from several processes: two encoders, projector, head, queue."""
    state_dict = {f"module.backbone.{key}": value for key, value in resnet.state_dict().items()}
    state_dict |= {f"module.key_encoder.backbone.{key}": value + 1 for key, value in resnet.state_dict().items()}
    state_dict |= {"module.head.fc.weight": torch.ones(2, 512), "module.queue.features": torch.ones(4, 8)}
    torch.save({"state_dict": state_dict, "meta": {"epoch": 7}, "optimizer": {}}, tmp_path / "epoch_7.pth")
    return tmp_path / "epoch_7.pth"


def test_the_trained_encoder_is_taken(checkpoint: Path, resnet: torch.nn.Module) -> None:
    backbone = read_backbone(checkpoint)
    assert backbone.weights.keys() == resnet.state_dict().keys()
    assert all(backbone.weights[key].equal(value) for key, value in resnet.state_dict().items())
    assert backbone.left_out == Counter(key_encoder=120, head=1, queue=1)
    assert backbone.describe() == (
        "120 tensors of the backbone (42.7 MB, trained for 7 epochs); "
        "left out: 1 of head, 120 of key_encoder, 1 of queue"
    )


@pytest.mark.parametrize("prefix", ["backbone.", ""], ids=["prefix", "bare"])
@pytest.mark.parametrize("suffix", [".pth", ".safetensors"])
def test_round_trip(suffix: str, prefix: str, checkpoint: Path, tmp_path: Path) -> None:
    backbone = read_backbone(checkpoint)
    write_backbone(backbone.weights, tmp_path / f"out{suffix}", prefix)
    again = read_backbone(tmp_path / f"out{suffix}")
    assert again.weights.keys() == backbone.weights.keys()
    assert all(again.weights[key].equal(value) for key, value in backbone.weights.items())
    assert not again.left_out
    assert (tmp_path / f"out{suffix}").stat().st_size < 1.01 * 4 * sum(v.numel() for v in backbone.weights.values())


@pytest.mark.parametrize("suffix", [".pth", ".safetensors"])
def test_mmpretrain_takes_the_file(suffix: str, checkpoint: Path, resnet: torch.nn.Module, tmp_path: Path) -> None:
    path = tmp_path / f"out{suffix}"
    write_backbone(read_backbone(checkpoint).weights, path)
    init_cfg = {"type": "Pretrained", "checkpoint": str(path), "prefix": "backbone."}
    other = MODELS.build({"type": "ResNet", "depth": 18, "style": "pytorch", "init_cfg": init_cfg})
    other.init_weights()
    assert all(value.equal(resnet.state_dict()[key]) for key, value in other.state_dict().items())


@pytest.mark.parametrize("suffix", [".pth", ".safetensors"])
def test_load_from_takes_the_file(suffix: str, make_runner: MakeRunner, tmp_path: Path) -> None:
    first = make_runner()
    write_backbone(first.model.backbone.state_dict(), tmp_path / f"out{suffix}")
    other = make_runner(load_from=str(tmp_path / f"out{suffix}"), **{"randomness.seed": 1})
    assert not other.model.backbone.conv1.weight.equal(first.model.backbone.conv1.weight)
    assert other.train_loop, "built, as in training"
    other.load_or_resume()
    expected = first.model.backbone.state_dict()
    assert all(value.equal(expected[key]) for key, value in other.model.backbone.state_dict().items())


def test_a_part_of_a_tensor_is_written_alone(tmp_path: Path) -> None:
    """Not with the whole tensor that it is a view of, and a shared one twice."""
    whole = torch.zeros(1_000_000)
    for suffix in (".pth", ".safetensors"):
        write_backbone({"a": whole[:10], "b": whole[:10]}, tmp_path / f"out{suffix}")
        assert (tmp_path / f"out{suffix}").stat().st_size < 10_000


@pytest.mark.parametrize(
    ("cfg", "name"),
    [
        ({"type": "ResNet", "depth": 18}, "resnet18"),
        ({"type": "ResNet", "depth": 50}, "resnet50"),
        ({"type": "ResNeXt", "depth": 50, "groups": 32, "width_per_group": 4}, "resnext50_32x4d"),
    ],
    ids=["resnet18", "resnet50", "resnext50"],
)
def test_torchvision_computes_the_same(cfg: dict, name: str, tmp_path: Path) -> None:
    torch.manual_seed(0)
    ours = MODELS.build({"style": "pytorch", **cfg})
    ours.eval()  # mmpretrain's returns nothing
    assert find_torchvision_model(ours.state_dict()) == name
    write_backbone(ours.state_dict(), tmp_path / "out.pth", prefix="")
    model = torchvision.models.get_model(name, weights=None)
    model.fc = torch.nn.Identity()
    model.load_state_dict(torch.load(tmp_path / "out.pth", weights_only=True), strict=True)
    images = torch.randn(2, 3, 64, 64)
    with torch.no_grad():
        assert torch.allclose(model.eval()(images), ours(images)[-1].mean((2, 3)), atol=1e-5)


def test_torchvision_weights_are_read(tmp_path: Path) -> None:
    model = torchvision.models.resnet18()
    torch.save(model.state_dict(), tmp_path / "resnet18.pth")
    backbone = read_backbone(tmp_path / "resnet18.pth")
    assert len(backbone.weights) == 120
    assert backbone.left_out == Counter(fc=2)
    assert backbone.epoch is None


def test_torchvision_has_no_narrow_resnet() -> None:
    narrow = MODELS.build({"type": "CIFARResNet", "depth": 20})
    with pytest.raises(UserInputError, match="torchvision has no model with these"):
        find_torchvision_model(narrow.state_dict())


def test_mistakes(checkpoint: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "damaged.safetensors").write_bytes(b"\x08\0\0\0\0\0\0\0{broken}")
    torch.save({"state_dict": {"head.fc.weight": torch.ones(1)}}, tmp_path / "head.pth")
    experts = {
        "backbone.layer1.0.conv1.weight": torch.ones(1),
        "backbone.layer3.experts.1.0.conv1.weight": torch.ones(1),
    }
    torch.save({"state_dict": experts}, tmp_path / "experts.pth")
    cfg = Config({"custom_hooks": [{"type": "LoadBackboneHook"}]})
    for call, message in {
        lambda: read_backbone(tmp_path / "none.safetensors"): "none.safetensors does not exist",
        lambda: read_backbone(tmp_path / "none.pth"): "none.pth does not exist",
        lambda: read_backbone(tmp_path / "damaged.safetensors"): "cannot be read as a file of safetensors",
        lambda: read_backbone(tmp_path / "head.pth"): "holds no tensor of a backbone",
        lambda: read_backbone(
            tmp_path / "experts.pth"
        ): "experts.pth holds a backbone of several experts, .* num_experts=1",
        lambda: write_backbone({}, tmp_path / "out.bin"): r"out.bin must end in .pth or .safetensors",
        lambda: set_backbone(cfg, "none.pth"): "none.pth does not exist; give a checkpoint, or 'random'",
        lambda: set_backbone(Config(), "random"): "no dict.*LoadBackboneHook.* for detectors",
    }.items():
        with pytest.raises(UserInputError, match=message):
            call()
    monkeypatch.setitem(__import__("sys").modules, "safetensors.torch", None)
    for call in (
        lambda: write_backbone({}, tmp_path / "out.safetensors"),
        lambda: read_backbone(tmp_path / "damaged.safetensors"),
    ):
        with pytest.raises(UserInputError, match="pip install safetensors"):
            call()


def test_set_backbone() -> None:
    cfg = Config({"custom_hooks": [{"type": "Other"}, {"type": "LoadBackboneHook"}]})
    set_backbone(cfg, "random", allow_pickle=True)
    assert cfg.custom_hooks[1].to_dict() == {"type": "LoadBackboneHook", "checkpoint": "random", "allow_pickle": True}
