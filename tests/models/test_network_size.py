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
