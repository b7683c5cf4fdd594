"""``net = NAME``: any network in any classifier, and the widths of what reads its features."""

from __future__ import annotations

import importlib.util
import sys
from typing import Any

import pytest
import torch

from lt_plugins.errors import UserInputError
from lt_plugins.models.backbones import TimmFeatures
from lt_plugins.models.build import build_model
from lt_plugins.runs.config import load_stages, read_stages
from lt_plugins.runs.net import find_net
from tests.tool_process import ROOT

CE = str(ROOT / "configs/ce/ce_r50_imagenet-lt.py")
needs_timm = pytest.mark.skipif(importlib.util.find_spec("timm") is None, reason="timm is not installed")


@pytest.mark.parametrize(
    ("config", "net", "width", "neck"),
    [
        ("ce/ce_r50_imagenet-lt.py", "convnext-tiny", 768, []),
        ("paco/paco_r50_imagenet-lt.py", "convnext_tiny", 768, []),
        ("paco/paco_r50_imagenet-lt.py", "resnet18", 512, None),
        ("scl/scl_r32_digits.py", "mobilenet_v2_1x", 1280, None),
        ("crt/crt_r50_imagenet-lt.py", "swin_transformer/tiny_224", 768, {"type": "GlobalAveragePooling"}),
        pytest.param("paco/paco_r50_imagenet-lt.py", "timm/resnet18", 512, [], marks=needs_timm),
        pytest.param("ce/ce_r50_imagenet-lt.py", "timm/vit_tiny_patch16_224", 192, [], marks=needs_timm),
    ],
)
def test_features_reach_head_and_projector(config: str, net: str, width: int, neck: object) -> None:
    size = 224 if "224" in net else 64
    for cfg in load_stages(str(ROOT / "configs" / config), {"net": net}):
        assert "net" not in cfg
        assert cfg.model.get("neck") == neck or cfg.model.type == "FrozenBackboneClassifier"
        model: Any = build_model(cfg)
        model.eval()
        images = torch.zeros(2, 3, size, size)
        with torch.no_grad():
            feats = model.extract_feat(images)
            assert feats[-1].shape == (2, width)
            scores = model.head(feats)
            assert scores.shape == (2, model.head.num_classes)
            if hasattr(model, "projector"):
                assert model.extract_projections(images).shape[0] == 2


def test_an_override_of_the_backbone_is_followed_unless_the_width_is_given() -> None:
    assert load_stages(CE, {"model.backbone.depth": 18})[0].model.head.in_channels == 512
    both = {"model.backbone.depth": 18, "model.head.in_channels": 99}
    assert load_stages(CE, both)[0].model.head.in_channels == 99
    assert load_stages(CE, {"model.backbone.norm_eval": True})[0].model.head.in_channels == 2048


def test_a_head_that_reads_maps_keeps_them() -> None:
    for cfg in load_stages(str(ROOT / "configs/lcreg/lcreg_r32_digits.py"), {"model.backbone.depth": 20}):
        assert cfg.model.neck == []


def test_random_numbers_do_not_move() -> None:
    torch.manual_seed(0)
    expected = torch.rand(3)
    torch.manual_seed(0)
    load_stages(CE, {"net": "resnet18"})
    assert torch.equal(torch.rand(3), expected)


@pytest.mark.parametrize(
    ("config", "net", "message"),
    [
        ("ce/ce_r50_imagenet-lt.py", "convnext", r"net=convnext is no network .*did you mean 'convnext-tiny'"),
        ("ce/ce_r50_imagenet-lt.py", "tiny_224", r"could be hivit/tiny-224, swin-transformer/tiny-224; give one"),
        ("ride/ride_r50_imagenet-lt.py", "resnet18", r"needs its own backbone, MultiExpertResNet"),
        ("detection/faster-rcnn_r50-c4_24k_voc0712.py", "resnet18", r"no classifier with a backbone"),
    ],
)
def test_mistakes_are_one_line(config: str, net: str, message: str) -> None:
    with pytest.raises(UserInputError, match=message):
        load_stages(str(ROOT / "configs" / config), {"net": net})


def test_the_transformer_of_clip_has_its_activation_and_norms() -> None:
    backbone = find_net("clip_vit_b_16")
    assert (backbone["pre_norm"], backbone["norm_cfg"]["eps"]) == (True, 1e-5)
    assert backbone["layer_cfgs"]["act_cfg"]["type"] == "mmpretrain.QuickGELU"


def test_without_timm_a_line_says_so(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(importlib.util, "find_spec", lambda _: None)
    monkeypatch.delitem(sys.modules, "timm", raising=False)
    with pytest.raises(UserInputError, match=r"timm/resnet18 needs timm, which is not installed: pip install timm"):
        TimmFeatures("resnet18")
    [cfg] = read_stages(str(ROOT / "configs/finetune/timm.py"), {"pretrained": "x.pth"})
    assert cfg.model.backbone.type == "TimmFeatures"


@needs_timm
def test_features_are_those_that_the_classifier_of_timm_is_given() -> None:
    import timm

    for name in ("resnet18", "convnext_atto", "vit_tiny_patch16_224"):
        whole = timm.create_model(name, pretrained=False, num_classes=7).eval()
        backbone = TimmFeatures(name)
        theirs = {k: v for k, v in whole.state_dict().items() if k in backbone.network.state_dict()}
        backbone.network.load_state_dict(theirs)
        backbone.eval()
        images = torch.randn(2, 3, 224, 224)
        with torch.no_grad():
            expected = whole.forward_head(whole.forward_features(images), pre_logits=True)
            torch.testing.assert_close(backbone(images)[0], expected)
    with pytest.raises(UserInputError, match=r"has no model 'resnet51'; did you mean"):
        TimmFeatures("resnet51")
    with pytest.raises(UserInputError, match="which is no map"):
        TimmFeatures("vit_tiny_patch16_224", as_map=True)(torch.zeros(1, 3, 224, 224))
