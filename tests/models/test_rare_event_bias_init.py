"""A classifier by sigmoid starts with the probability 1 / C of each class, and keeps the weights of its other init."""

from __future__ import annotations

import math
from typing import Any

import pytest
import torch
from mmengine.model import initialize
from mmengine.optim import build_optim_wrapper
from torch import nn

import lt_plugins.plugins  # noqa: F401 (registers)
from lt_plugins.models.heads import CosineClsHead, LinearHead

KAIMING = dict(type="TorchDefaultInit", kaiming_weight=True, layer="Linear")
RARE = dict(type="RareEventBiasInit", layer="Linear")


def head_of(num_classes: int, init_cfg: list | dict) -> Any:
    torch.manual_seed(0)
    head = LinearHead(num_classes, 64, loss=dict(type="SigmoidFocalLoss"), init_cfg=init_cfg)
    head.init_weights()
    return head


@pytest.mark.parametrize("num_classes", [2, 10, 100])
def test_behind_the_initialisation_of_the_weights(num_classes: int) -> None:
    head, plain = head_of(num_classes, [KAIMING, RARE]), head_of(num_classes, KAIMING)
    assert torch.equal(head.fc.weight, plain.fc.weight)
    assert torch.sigmoid(head.fc.bias.detach()).tolist() == pytest.approx([1 / num_classes] * num_classes)
    assert head.fc.bias[0].item() == pytest.approx(-math.log(num_classes - 1), abs=1e-6)


def test_layers_of_other_classes_without_bias_and_by_name() -> None:
    module = nn.Sequential(nn.Conv2d(3, 5, 1), nn.Linear(4, 5, bias=False), nn.Linear(4, 1), nn.Linear(4, 5))
    before = [parameter.clone() for parameter in module.parameters()]
    initialize(module, RARE)
    changed = [not torch.equal(one, other) for one, other in zip(before, module.parameters(), strict=True)]
    assert changed == [False, False, False, False, True, False, True]
    initialize(module, dict(type="RareEventBiasInit", override=dict(type="RareEventBiasInit", name="0")))
    assert torch.equal(module[0].get_parameter("bias"), before[1]), "a convolution is none of its layers"


def test_a_head_without_bias_is_left_alone() -> None:
    head = CosineClsHead(4, 6, loss=dict(type="SigmoidFocalLoss"), init_cfg=RARE)
    head.init_weights()
    assert head.fc.bias is None


def test_its_parameters_group_has_no_weight_decay() -> None:
    head = head_of(10, [KAIMING, RARE])
    model = nn.ModuleDict({"head": head})
    optimiser = build_optim_wrapper(
        model,
        dict(
            optimizer=dict(type="SGD", lr=0.1, weight_decay=2e-4),
            paramwise_cfg=dict(custom_keys={"head.fc.bias": dict(decay_mult=0.0)}),
        ),
    ).optimizer
    decays = {id(parameter): group["weight_decay"] for group in optimiser.param_groups for parameter in group["params"]}
    assert (decays[id(head.fc.weight)], decays[id(head.fc.bias)]) == (2e-4, 0)
