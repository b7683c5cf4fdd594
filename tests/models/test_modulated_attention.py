"""Modulated attention: location by location, what it starts as, and maps of another size."""

from __future__ import annotations

import math
from typing import Any

import pytest
import torch
from mmpretrain.models import GlobalAveragePooling
from torch import Tensor, nn

from lt_plugins.errors import UserInputError
from lt_plugins.models.necks import ModulatedAttention
from tests.battery import noise

IMAGES, CHANNELS, HEIGHT, WIDTH = 3, 4, 2, 3
LOCATIONS = [(y, x) for y in range(HEIGHT) for x in range(WIDTH)]


def make(**settings: Any) -> ModulatedAttention:
    torch.manual_seed(0)
    return ModulatedAttention(**{"in_channels": CHANNELS, "map_size": (HEIGHT, WIDTH), **settings})


def maps() -> Tensor:
    return noise(IMAGES, CHANNELS, HEIGHT, WIDTH)


def project(layer: nn.Conv2d, at: list[float]) -> list[float]:
    """A 1 x 1 convolution at one location."""
    bias = [0.0] * layer.out_channels if layer.bias is None else layer.bias.tolist()
    return [
        sum(w * x for w, x in zip(row, at, strict=True)) + b
        for row, b in zip(layer.weight.flatten(1).tolist(), bias, strict=True)
    ]


def softmax(values: list[float]) -> list[float]:
    return [math.exp(value) / sum(map(math.exp, values)) for value in values]


def slow_pooled(neck: ModulatedAttention, feature_map: Tensor) -> list[float]:
    """The attention of the docstring, one location after the other, and the mean over locations."""
    at = [feature_map[:, y, x].tolist() for y, x in LOCATIONS]
    whole = [feature_map[c, y, x].item() for c in range(CHANNELS) for y, x in LOCATIONS]
    scores = zip(neck.fc.weight.tolist(), neck.fc.bias.tolist(), strict=True)
    gate = softmax([sum(w * x for w, x in zip(row, whole, strict=True)) + b for row, b in scores])
    keys, values = [project(neck.phi, v) for v in at], [project(neck.g, v) for v in at]
    total = [0.0] * CHANNELS
    for place, v in enumerate(at):
        query = project(neck.theta, v)
        weights = softmax([sum(q * k for q, k in zip(query, key, strict=True)) for key in keys])
        gathered = [sum(w * value[d] for w, value in zip(weights, values, strict=True)) for d in range(len(query))]
        for channel, attended in enumerate(project(neck.mask, gathered)):
            total[channel] += v[channel] + gate[place] * attended
    return [value / len(LOCATIONS) for value in total]


@pytest.mark.parametrize("reduction", [1, 2, 4])
@pytest.mark.parametrize("channels_last", [False, True])
def test_it_is_the_formula(reduction: int, channels_last: bool) -> None:
    neck = make(reduction=reduction).double()
    nn.init.normal_(neck.mask.weight)
    images = maps().double()
    (pooled,) = neck((noise(1, 1), images.to(memory_format=torch.channels_last) if channels_last else images))
    for row, feature_map in zip(pooled.tolist(), images, strict=True):
        assert row == pytest.approx(slow_pooled(neck, feature_map), rel=1e-12)


def test_at_first_it_only_pools() -> None:
    """So the first features of stage 2 are those of stage 1, which pools alone; a step changes it."""
    neck, images = make(), maps()
    assert torch.equal(neck.attend(images), images)
    torch.testing.assert_close(neck((images,)), GlobalAveragePooling()((images,)))
    neck((images,))[0].square().sum().backward()
    assert neck.mask.weight.grad is not None and bool(neck.mask.weight.grad.any())
    for layer in (neck.theta, neck.phi, neck.g):
        assert layer.bias is not None and not layer.bias.any()


def test_queries_keys_and_values_start_as_in_the_released_code() -> None:
    neck = ModulatedAttention(128, 2)
    for layer in (neck.theta, neck.phi, neck.g):
        assert float(layer.weight.detach().std()) == pytest.approx(math.sqrt(2 / 128), rel=0.05)


def test_maps_of_another_size_are_refused() -> None:
    with pytest.raises(UserInputError, match=r"map_size=\(2, 3\), and the maps of the backbone are \(3, 2\)"):
        make()((maps().transpose(2, 3),))


def test_settings_without_meaning_are_refused() -> None:
    for settings in ({"in_channels": 0}, {"map_size": 0}, {"map_size": (2, -3)}, {"reduction": 0}, {"reduction": 5}):
        with pytest.raises(UserInputError, match=r"in_channels=.* and map_size=.* must be positive, and reduction="):
            make(**settings)
