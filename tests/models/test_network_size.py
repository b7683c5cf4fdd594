"""The size of a network is that of what predicts."""

from __future__ import annotations

import pytest
import torch
from mmpretrain.registry import MODELS

from lt_plugins.models.build import build_model
from lt_plugins.models.network_size import count_predicting_parameters
from lt_plugins.runs.config import read_stages
from tests.tool_process import ROOT

IMAGE = torch.zeros(1, 3, 32, 32)


@pytest.mark.parametrize(
    ("config", "millions"),
    [
        # Conv, batch norm and classifier, as the papers count.
        ("ce/ce_r32_cifar100-lt.py", 0.470),
        ("ce/ce_r32_cifar10-lt.py", 0.464),
        ("ce/ce_r50_imagenet-lt.py", 25.56),
        ("ce/ce_x50_imagenet-lt.py", 25.03),
        # Projector, key encoder and attribute tables are those of training.
        ("lpa/lpa_r32_cifar100-lt.py", 0.470),
        # A frozen backbone counts.
        ("kcl/kcl_r32_cifar100-lt.py", 0.470),
    ],
)
def test_known_networks(config: str, millions: float) -> None:
    model = build_model(read_stages(str(ROOT / "configs" / config))[-1])
    digits = len(str(millions).partition(".")[2])
    assert round(count_predicting_parameters(model, IMAGE) / 1e6, digits) == millions
    assert model.training


# METHODS_BEYOND 0.1; experts of RIDE and SADE have three quarters of the width, those of BalPoE all of it.
MULTI_EXPERT = [
    ({"type": "CIFARResNet", "num_experts": 3, "expert_width": 0.75}, 48, 100, 0.784),
    ({"type": "CIFARResNet", "num_experts": 3}, 64, 100, 1.362),
    ({"type": "CIFARResNet", "num_experts": 1}, 64, 100, 0.470),
    ({"type": "MultiExpertResNeXt", "depth": 50}, 2048, 1000, 72.3),
    ({"type": "MultiExpertResNet", "depth": 50}, 2048, 1000, 73.8),
    ({"type": "MultiExpertResNet", "depth": 50}, 2048, 8142, 117.7),
]


@pytest.mark.parametrize(("backbone", "channels", "num_classes", "millions"), MULTI_EXPERT)
def test_known_multi_expert_networks(backbone: dict, channels: int, num_classes: int, millions: float) -> None:
    model = MODELS.build(
        {
            "type": "ImageClassifier",
            "backbone": backbone,
            "neck": {"type": "GlobalAveragePooling"},
            "head": {
                "type": "MultiExpertHead",
                "num_classes": num_classes,
                "in_channels": channels,
                "num_experts": backbone.get("num_experts", 3),
            },
        }
    )
    digits = len(str(millions).partition(".")[2])
    count = count_predicting_parameters(model, IMAGE)
    assert count == sum(parameter.numel() for parameter in model.parameters())
    assert round(count / 1e6, digits) == millions


def test_counts_what_is_read_once() -> None:
    """Not what nothing reads, and not a second time what is read twice."""
    model = MODELS.build(
        {
            "type": "ImageClassifier",
            "backbone": {"type": "CIFARResNet", "depth": 20},
            "neck": {"type": "GlobalAveragePooling"},
            "head": {"type": "LinearHead", "num_classes": 5, "in_channels": 64},
        }
    )
    plain = count_predicting_parameters(model, IMAGE)
    assert plain == sum(parameter.numel() for parameter in model.parameters())
    model.head.unused = torch.nn.Linear(98, 1)
    model.head.same = model.head.fc
    model.head.pre_logits = lambda feats: feats[-1] + 0 * model.head.same(feats[-1]).sum()
    assert count_predicting_parameters(model, IMAGE) == plain
