from itertools import pairwise

import pytest
import torch
from mmpretrain.registry import MODELS
from torch import nn

from lt_plugins.errors import UserInputError


def build(**kwargs):
    torch.manual_seed(0)
    return MODELS.build(dict(type="MLPProjector", in_channels=6, hidden_channels=10, out_channels=4, **kwargs))


@pytest.mark.parametrize("num_layers", [1, 2, 3, 4])
def test_linear_layers_with_relu_between_them(num_layers):
    projector = build(num_layers=num_layers)
    feats = (torch.randn(5, 99), torch.randn(5, 6))
    linears = [module for module in projector.modules() if isinstance(module, nn.Linear)]
    widths = [6] + [10] * (num_layers - 1) + [4]
    assert [(linear.in_features, linear.out_features) for linear in linears] == list(pairwise(widths))
    expected = feats[-1].clone()
    for number, linear in enumerate(linears):
        expected = expected @ linear.weight.T + linear.bias
        if number < num_layers - 1:
            expected = expected.clamp(min=0)
    (out,) = projector(feats)
    torch.testing.assert_close(out, expected)
    assert out.min() < 0  # the projection itself is not rectified


def test_by_default_it_is_the_three_layer_projector_of_gpaco():
    kinds = [type(module).__name__ for module in build().layers]
    assert kinds == ["Linear", "ReLU", "Linear", "ReLU", "Linear"]


def test_input_is_not_overwritten_and_gets_a_gradient():
    pooled = torch.randn(3, 6, requires_grad=True)
    kept = pooled.detach().clone()
    build()((pooled,))[0].sum().backward()
    assert torch.equal(pooled, kept)
    assert pooled.grad.abs().sum() > 0


def test_no_layer_is_refused():
    with pytest.raises(UserInputError, match="num_layers=0 must be at least 1"):
        build(num_layers=0)
