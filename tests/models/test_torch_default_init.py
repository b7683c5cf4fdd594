"""Initial weights are those that the released codes start from."""

from __future__ import annotations

import math

import pytest
import torch
from mmengine.model import BaseModule, initialize
from torch import Tensor, nn

import lt_plugins.plugins  # noqa: F401 (registers)


class Parts(BaseModule):
    """A linear layer and a convolution."""

    def __init__(self, init_cfg: dict) -> None:
        super().__init__(init_cfg)
        self.fc = nn.Linear(64, 4000)
        self.conv = nn.Conv2d(16, 64, 3)


def zeroed(init_cfg: dict) -> Parts:
    parts = Parts(init_cfg)
    for parameter in parts.parameters():
        nn.init.zeros_(parameter)
    torch.manual_seed(0)
    parts.init_weights()
    return parts


def is_uniform(values: Tensor, bound: float) -> bool:
    return float(values.detach().abs().max()) <= bound and float(values.detach().std()) == pytest.approx(
        bound / math.sqrt(3), rel=0.05
    )


def test_torch_default() -> None:
    parts = zeroed(dict(type="TorchDefaultInit", layer="Linear"))
    assert is_uniform(parts.fc.weight, 1 / 8)
    assert is_uniform(parts.fc.bias, 1 / 8)
    assert not parts.conv.weight.any(), "other layers are left alone"


def test_kaiming_weight_with_the_bias_of_torch() -> None:
    parts = zeroed(dict(type="TorchDefaultInit", kaiming_weight=True, layer=["Linear", "Conv2d"]))
    assert float(parts.fc.weight.detach().std()) == pytest.approx(math.sqrt(2 / 64), rel=0.02)
    assert float(parts.fc.weight.detach().abs().max()) > 3 * math.sqrt(2 / 64), "normal, not uniform"
    assert is_uniform(parts.fc.bias, 1 / 8)
    assert float(parts.conv.weight.detach().std()) == pytest.approx(math.sqrt(2 / 144), rel=0.05)
    assert float(parts.get_parameter("conv.bias").detach().abs().max()) <= 1 / 12


def test_one_layer_by_name_and_a_plain_module() -> None:
    named = dict(type="TorchDefaultInit", override=dict(type="TorchDefaultInit", kaiming_weight=True, name="conv"))
    parts = zeroed(named)
    assert not parts.fc.weight.any()
    assert parts.conv.weight.any()
    layer = nn.Linear(4, 4)
    nn.init.zeros_(layer.weight)
    initialize(nn.Sequential(layer), dict(type="TorchDefaultInit", layer="Linear"))
    assert layer.weight.any()
