"""Multi-expert networks: each expert is a plain network of the shared blocks and its own."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import pytest
import torch
from mmpretrain.models import ResNet, ResNeXt
from torch import Tensor, nn

from lt_plugins.errors import UserInputError
from lt_plugins.models.backbones import CIFARResNet, MultiExpertResNet, MultiExpertResNeXt
from tests.battery import noise
from tests.models.test_backbones import build

IMAGES = noise(2, 3, 64, 48)
SMALL = {"stem_channels": 16, "base_channels": 16}
CIFAR = {"type": "CIFARResNet", "depth": 20}
LARGE = {"type": "MultiExpertResNet", "depth": 50, **SMALL}
NETWORKS: dict[str, dict[str, Any]] = {
    "RIDE": {**CIFAR, "num_experts": 3, "expert_width": 0.75},
    "BalPoE": {**CIFAR, "num_experts": 3},
    "SHIKE": {**CIFAR, "num_experts": 3, "shared_stages": 2, "shortcut": "B"},
    "BBN": {**CIFAR, "num_experts": 2, "shared_stages": 2, "shared_blocks": -1},
    "nothing shared": {**CIFAR, "num_experts": 2, "shared_stages": 0},
    "R50": {**LARGE, "expert_width": 0.75},
    "BBN-R50": {**LARGE, "num_experts": 2, "shared_stages": 3, "shared_blocks": -1},
    "X50": {**LARGE, "type": "MultiExpertResNeXt", "groups": 4, "expert_width": 0.75},
}


def plain_weights(state: dict[str, Tensor], expert: int) -> dict[str, Tensor]:
    """Weights of one expert under the names of the plain network."""
    blocks = [re.match(r"(layer\d)\.shared\.(\d+)\.", key) for key in state]
    num_shared = {match[1]: int(match[2]) + 1 for match in blocks if match}  # keys come in the order of the blocks
    found = {}
    for key, value in state.items():
        match = re.match(r"(layer\d)\.(shared|experts\.(\d+))\.(\d+)\.(.*)", key)
        if match is None:
            found[key] = value
        elif match[2] == "shared":
            found[f"{match[1]}.{match[4]}.{match[5]}"] = value
        elif int(match[3]) == expert:
            found[f"{match[1]}.{int(match[4]) + num_shared.get(match[1], 0)}.{match[5]}"] = value
    return found


@pytest.mark.parametrize("name", NETWORKS)
def test_each_expert_is_a_plain_network(name: str) -> None:
    settings = NETWORKS[name]
    model = build(**settings)
    plain = build(seed=1, **{**settings, "num_experts": 1})
    with torch.no_grad():
        maps = model(IMAGES)
        assert len(maps) == model.num_experts
        for expert, found in enumerate(maps):
            plain.load_state_dict(plain_weights(model.state_dict(), expert))
            (expected,) = plain(IMAGES)
            torch.testing.assert_close(found, expected, rtol=1e-5, atol=1e-5)
    assert not torch.equal(maps[0], maps[1]), "experts start from weights of their own"


def test_one_expert_is_the_plain_network_by_name() -> None:
    """A checkpoint of either loads into the other."""
    for single, plain in (
        (CIFARResNet(num_experts=1), CIFARResNet()),
        (MultiExpertResNet(50, num_experts=1, **SMALL), ResNet(50, **SMALL)),
        (MultiExpertResNeXt(50, num_experts=1, groups=4, **SMALL), ResNeXt(50, groups=4, **SMALL)),
    ):
        shapes = {key: value.shape for key, value in plain.state_dict().items()}
        assert {key: value.shape for key, value in single.state_dict().items()} == shapes


def test_widths() -> None:
    """Of RIDE: 24 and 48 channels of ResNet-32, 768 and 1536 of ResNet-50; a single expert is as narrow."""
    for experts in (1, 3):
        (*_, last) = CIFARResNet(num_experts=experts, expert_width=0.75)(torch.zeros(1, 3, 32, 32))
        assert last.shape == (1, 48, 8, 8)
    backbone = MultiExpertResNet(50, num_experts=2, expert_width=0.75)
    assert backbone.feat_dim == 1536
    assert backbone.layer3.experts[1][5].conv3.out_channels == 768
    grouped = MultiExpertResNeXt(50, num_experts=2, expert_width=0.75).layer3.experts[0][0].conv2
    assert (grouped.out_channels, grouped.groups) == (384, 32)


def test_bbn_duplicates_one_block() -> None:
    model = CIFARResNet(num_experts=2, shared_stages=2, shared_blocks=-1)
    assert (len(model.layer3.shared), [len(branch) for branch in model.layer3.experts]) == (4, [1, 1])
    more = sum(p.numel() for p in model.parameters()) - sum(p.numel() for p in CIFARResNet().parameters())
    assert more == 2 * (64 * 64 * 9 + 2 * 64)
    backbone = MultiExpertResNet(50, num_experts=2, shared_stages=3, shared_blocks=-1, **SMALL)
    assert (len(backbone.layer4.shared), [len(branch) for branch in backbone.layer4.experts]) == (2, [1, 1])


def test_initialisation_reaches_every_expert() -> None:
    for model in (CIFARResNet(num_experts=2), MultiExpertResNet(50, num_experts=2, **SMALL)):
        for parameter in model.parameters():
            torch.nn.init.zeros_(parameter)
        model.init_weights()
        for name, module in model.named_modules():
            assert not isinstance(module, nn.Conv2d) or bool(module.weight.any()), name


@pytest.mark.parametrize("name", ["RIDE", "BBN", "BBN-R50"])
def test_trunk_and_branches_by_themselves(name: str) -> None:
    """Of any of the images, and in training mode the statistics of the other branches stay."""
    model = build(**NETWORKS[name]).eval()
    maps, shared = model(IMAGES), model.trunk(IMAGES)
    for expert, expected in enumerate(maps):
        torch.testing.assert_close(model.branch(shared[1:], expert), expected[1:])
    before = {key: value.clone() for key, value in model.state_dict().items()}
    model.train().branch(model.trunk(IMAGES), 0)
    changed = {key for key, value in model.state_dict().items() if not torch.equal(value, before[key])}
    assert any("running_mean" in key for key in changed)
    assert not any(".experts.1." in key or ".experts.2." in key for key in changed)


@pytest.mark.parametrize("name", ["SHIKE", "BBN", "R50", "BBN-R50"])
def test_each_expert_starts_from_pretrained_weights_of_a_plain_network(name: str, tmp_path: Path) -> None:
    """As ResNet-152 on Places-LT from ImageNet; a checkpoint of the same experts is taken as it is."""
    settings = {**NETWORKS[name], "expert_width": 1.0}
    plain = build(**{**settings, "num_experts": 1}).state_dict()
    torch.save({"state_dict": plain}, tmp_path / "plain.pth")
    init_cfg = {"type": "Pretrained", "checkpoint": str(tmp_path / "plain.pth")}
    model = build(seed=1, **settings, init_cfg=init_cfg)
    model.init_weights()
    for expert in range(model.num_experts):
        found = plain_weights(model.state_dict(), expert)
        assert all(torch.equal(found[key], value) for key, value in plain.items()), expert
    other = build(seed=2, **settings).state_dict()
    torch.save(other, tmp_path / "experts.pth")
    model = build(seed=3, **settings, init_cfg={**init_cfg, "checkpoint": str(tmp_path / "experts.pth")})
    model.init_weights()
    assert all(torch.equal(value, other[key]) for key, value in model.state_dict().items())


def test_pretrained_weights_of_another_width_are_refused(tmp_path: Path) -> None:
    torch.save(build(**CIFAR).state_dict(), tmp_path / "plain.pth")
    init_cfg = {"type": "Pretrained", "checkpoint": str(tmp_path / "plain.pth")}
    with pytest.raises(UserInputError, match="plain"):
        build(**NETWORKS["RIDE"], init_cfg=init_cfg).init_weights()


def test_frozen_stages_count_those_of_experts() -> None:
    model = MultiExpertResNet(50, num_experts=2, frozen_stages=3, **SMALL).train()
    trained = {name.split(".")[0] for name, parameter in model.named_parameters() if parameter.requires_grad}
    assert trained == {"layer4"}
    assert not model.layer3.experts[1].training
    assert model.layer4.experts[1].training


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"num_experts": 0}, "num_experts=0 must be 1"),
        ({"shared_stages": 3}, "shared_stages=3 must be 0 to 2"),
        ({"shared_stages": -1}, "shared_stages=-1 must be 0 to 2"),
        ({"num_experts": 2, "shared_blocks": 5}, r"shared_blocks=5 of a stage of 5 blocks must leave one .* 0 to 4"),
        ({"num_experts": 2, "shared_blocks": -6}, "shared_blocks=-6"),
        ({"expert_width": 0.7}, "expert_width=0.7 makes 22.4 channels of 32"),
        ({"expert_width": 0.0}, "expert_width=0.0 makes 0 channels"),
    ],
)
def test_settings_without_meaning_are_refused(settings: dict[str, Any], message: str) -> None:
    with pytest.raises(UserInputError, match=message):
        CIFARResNet(**settings)


def test_settings_of_the_large_networks_are_refused() -> None:
    with pytest.raises(UserInputError, match=r"out_indices=\(2, 3\) of a multi-expert network must be \(3,\)"):
        MultiExpertResNet(50, out_indices=(2, 3))
    with pytest.raises(UserInputError, match="shared_stages=4 must be 0 to 3"):
        MultiExpertResNet(50, shared_stages=4)
    with pytest.raises(UserInputError, match="leaves a multiple of 4"):
        MultiExpertResNet(50, expert_width=0.501)
