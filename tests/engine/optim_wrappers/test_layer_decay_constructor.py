"""Layer-wise learning rates: rates and decay of every parameter, against a table written out."""

from __future__ import annotations

from typing import Any

import mmpretrain.registry
import pytest
import torch
from mmengine.optim import build_optim_wrapper
from torch import nn

from lt_plugins.engine.optim_wrappers.layer_decay_constructor import layer_numbers
from lt_plugins.errors import UserInputError


class Backbone(nn.Module):
    """Stem, two numbered blocks, and a norm after them."""

    def __init__(self) -> None:
        super().__init__()
        self.stem = nn.Linear(2, 2)
        self.blocks = nn.ModuleList([nn.Linear(2, 2), nn.Linear(2, 2)])
        self.norm = nn.LayerNorm(2)


class Model(nn.Module):
    def __init__(self, backbone: nn.Module | None = None) -> None:
        super().__init__()
        self.backbone = Backbone() if backbone is None else backbone
        self.head = nn.Linear(2, 3)


def wrap(model: nn.Module, **paramwise: object) -> torch.optim.Optimizer:
    """Optimiser of a model by the constructor, with a rate of 1 and a decay of 0.1."""
    cfg = {
        "optimizer": {"type": "AdamW", "lr": 1.0, "weight_decay": 0.1},
        "constructor": "mmpretrain.LayerDecayConstructor",
        "paramwise_cfg": paramwise,
    }
    return build_optim_wrapper(model, cfg).optimizer


def settings(model: nn.Module, optimizer: torch.optim.Optimizer) -> dict[str, tuple[float, float]]:
    """Rate and decay by the name of the parameter."""
    names = {parameter: name for name, parameter in model.named_parameters()}
    groups = optimizer.param_groups
    return {names[p]: (group["lr"], group["weight_decay"]) for group in groups for p in group["params"]}


def test_rates_fall_from_the_head_to_the_stem() -> None:
    model = Model()
    found = settings(model, wrap(model, layer_decay_rate=0.5, norm_decay_mult=0.0, bias_decay_mult=0.0))
    rates = {"head": 1.0, "backbone.norm": 1 / 2, "backbone.blocks.1": 1 / 4, "backbone.blocks.0": 1 / 8}
    rates["backbone.stem"] = 1 / 16
    expected = {}
    for layer, rate in rates.items():
        expected[f"{layer}.weight"] = (rate, 0.0 if layer == "backbone.norm" else 0.1)
        expected[f"{layer}.bias"] = (rate, 0.0)
    assert found == expected


def test_one_is_the_default_constructor() -> None:
    model = Model()
    found = settings(model, wrap(model))
    assert found == dict.fromkeys(found, (1.0, 0.1))
    assert len(found) == len(list(model.parameters()))


def test_frozen_parameters_are_left_out_and_equal_ones_share_a_group() -> None:
    model = Model()
    model.backbone.stem.requires_grad_(False)
    optimizer = wrap(model, layer_decay_rate=0.5)
    assert "backbone.stem.weight" not in settings(model, optimizer)
    assert [len(group["params"]) for group in optimizer.param_groups] == [2, 2, 2, 2]
    model.requires_grad_(False)
    with pytest.raises(UserInputError, match="nothing to train"):
        wrap(model, layer_decay_rate=0.5)


def test_a_factor_of_the_config_multiplies() -> None:
    model = Model()
    found = settings(model, wrap(model, layer_decay_rate=0.5, custom_keys={"norm": {"lr_mult": 10.0}}))
    assert found["backbone.norm.weight"][0] == 5.0
    assert found["backbone.blocks.1.weight"][0] == 0.25


def test_a_backbone_that_knows_its_layers_is_asked() -> None:
    backbone = mmpretrain.registry.MODELS.build(
        {
            "type": "VisionTransformer",
            "arch": {"embed_dims": 8, "num_layers": 2, "num_heads": 2, "feedforward_channels": 8},
            "img_size": 32,
        }
    )
    model = Model(backbone)
    found = settings(model, wrap(model, layer_decay_rate=0.5))
    # Embedding, two layers, the norm after them, the head.
    assert found["head.weight"][0] == 1.0
    assert found["backbone.layers.1.ln1.weight"][0] == 0.5
    assert found["backbone.layers.0.ln1.weight"][0] == 0.25
    assert found["backbone.cls_token"][0] == found["backbone.pos_embed"][0] == 0.125


@pytest.mark.parametrize(
    ("names", "expected"),
    [
        (
            ["conv1.weight", "bn1.weight", "layer1.0.conv1.weight", "layer1.1.conv1.weight", "layer2.0.bn1.weight"],
            "00112",
        ),
        (["stem.conv.weight", "blocks.0.a.b", "blocks.0.a.c", "blocks.12.a.b", "last.conv.weight"], "01123"),
        (["timm_model.stem.w", "timm_model.stages.0.blocks.0.w", "timm_model.stages.1.blocks.0.w"], "012"),
        (["a.weight", "b.weight"], "00"),
    ],
)
def test_layers_by_name(names: list[str], expected: str) -> None:
    assert layer_numbers(names) == [int(digit) for digit in expected]


def test_a_resnet_18_which_does_not_know_its_layers_has_those_of_its_names() -> None:
    model: Any = nn.Module()
    model.backbone = mmpretrain.registry.MODELS.build({"type": "mmpretrain.ResNet", "depth": 18})
    settings = {
        "type": "OptimWrapper",
        "optimizer": {"type": "SGD", "lr": 1.0},
        "constructor": "mmpretrain.LayerDecayConstructor",
    }
    optimizer = build_optim_wrapper(model, {**settings, "paramwise_cfg": {"layer_decay_rate": 0.5}}).optimizer
    rates = {id(p): group["lr"] for group in optimizer.param_groups for p in group["params"]}
    assert rates[id(model.backbone.layer4[0].conv1.weight)] == 0.5
    assert rates[id(model.backbone.layer1[0].conv1.weight)] == 0.5**4
    assert rates[id(model.backbone.conv1.weight)] == 0.5**5


@pytest.mark.parametrize("rate", [0, 1.5, "0.7"])
def test_a_factor_out_of_range_is_refused(rate: object) -> None:
    with pytest.raises(UserInputError, match="layer_decay_rate"):
        wrap(Model(), layer_decay_rate=rate)


def test_a_model_without_a_backbone_is_refused() -> None:
    with pytest.raises(UserInputError, match="does not have"):
        wrap(nn.Linear(2, 2), layer_decay_rate=0.5)
