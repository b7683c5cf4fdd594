"""Network of SHIKE: its size, which feature each expert adds, and where the product is taken."""

from __future__ import annotations

from typing import Any

import pytest
import torch
import torch.nn.functional as F

from lt_plugins.errors import UserInputError
from lt_plugins.models.backbones import SHIKEResNet
from tests.battery import noise
from tests.models.test_backbones import build


def test_sizes_as_published() -> None:
    """METHODS_BEYOND 0.1: 1.258 M with three cosine classifiers of 100 classes, 1.277 M with the released six."""
    size = sum(parameter.numel() for parameter in SHIKEResNet().parameters())
    assert size + 3 * 6400 == 1_257_808
    assert size + 6 * 6400 == 1_277_008


@torch.no_grad()
def test_each_expert_multiplies_its_stage_with_another_depth() -> None:
    """Written out: experts 0, 2 from the first stage by two convolutions, expert 1 from the second one by one."""
    model = build(type="SHIKEResNet", depth=20, num_experts=4)
    images = noise(2, 3, 32, 32)
    first = model.layer1(F.relu(model.bn1(model.conv1(images))))
    second = model.layer2(first)
    deep = [branch(second) for branch in model.layer3.experts]

    def convolve(branch: Any, x: torch.Tensor, conv: int) -> torch.Tensor:
        layer, norm = branch[conv], branch[conv + 1]
        assert (layer.kernel_size, layer.stride, layer.padding, layer.bias) == ((3, 3), (2, 2), (1, 1), None)
        x = F.conv2d(x, layer.weight, None, 2, 1)
        return F.batch_norm(x, norm.running_mean, norm.running_var, norm.weight, norm.bias)

    found = model(images)
    assert [tuple(one.shape) for one in found] == [(2, 64, 8, 8)] * 4
    for expert, branch in enumerate(model.shallow):
        if expert % 2:
            assert len(branch) == 3
            shallow = F.relu(convolve(branch, second, 0))
        else:
            assert len(branch) == 5
            shallow = convolve(branch, F.relu(convolve(branch, first, 0)), 3)
            assert (shallow < 0).any(), "no ReLU after the second convolution"
        torch.testing.assert_close(found[expert], deep[expert] * shallow, rtol=1e-5, atol=1e-5)


def test_experts_start_apart_and_shallow_branches_by_the_default_of_pytorch() -> None:
    model = build(type="SHIKEResNet")
    model.init_weights()
    weight = model.shallow[0][0].weight.detach()
    bound = 1 / (16 * 9) ** 0.5
    assert float(weight.abs().max()) <= bound
    assert float(weight.std()) == pytest.approx(bound / 3**0.5, rel=0.05)
    inner = model.layer3.experts[0][2].conv1.weight.detach()
    assert float(inner.std()) == pytest.approx((2 / (64 * 9)) ** 0.5, rel=0.05)
    assert not torch.equal(inner, model.layer3.experts[1][2].conv1.weight)


def test_no_router_can_choose_its_experts() -> None:
    with pytest.raises(UserInputError, match="read the maps of two stages"):
        SHIKEResNet(depth=20).trunk(noise(1, 3, 32, 32))


@pytest.mark.parametrize(
    ("settings", "message"),
    [({"num_experts": 1}, "num_experts=1 of SHIKEResNet must be 2 or more"), ({"depth": 18}, "depth=18 is not")],
)
def test_mistakes_are_refused(settings: dict, message: str) -> None:
    with pytest.raises(UserInputError, match=message):
        SHIKEResNet(**settings)
