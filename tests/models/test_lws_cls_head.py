"""Learnable weight scaling: what is scaled, and by what."""

import pytest
import torch
from mmengine.optim import build_optim_wrapper
from mmpretrain.models.heads import LinearClsHead
from mmpretrain.structures import DataSample

from lt_plugins.models.heads import LWSClsHead

FEATURES = torch.randn(5, 6, generator=torch.Generator().manual_seed(1))
SAMPLES = [DataSample().set_gt_label(label) for label in (0, 3, 1, 2, 0)]


def make(cls, **kwargs):
    torch.manual_seed(0)
    head = cls(num_classes=4, in_channels=6, **kwargs)
    head.init_weights()
    with torch.no_grad():
        head.fc.bias.copy_(torch.arange(4.0))
    return head


@pytest.mark.parametrize("half", [False, True], ids=["float32", "bfloat16"])
def test_equals_a_linear_head_while_the_scale_is_one(half):
    head, linear = make(LWSClsHead), make(LinearClsHead)
    assert torch.equal(head.scale, torch.ones(1, 4))
    assert torch.equal(head.fc.weight, linear.fc.weight), "the same draws of the initialisation"
    with torch.autocast("cpu", torch.bfloat16, enabled=half):
        assert torch.equal(head((FEATURES,)), linear((FEATURES,)).float())
        assert torch.equal(head.loss((FEATURES,), SAMPLES)["loss"], linear.loss((FEATURES,), SAMPLES)["loss"])


def test_the_scale_multiplies_weight_and_bias():
    head = make(LWSClsHead)
    scale = [0.5, 1.0, 2.0, -1.0]
    with torch.no_grad():
        head.scale.copy_(torch.tensor([scale]))
    logits = head((torch.zeros(2, 6), FEATURES)).tolist()
    for i, row in enumerate(logits):
        for c, value in enumerate(row):
            expected = scale[c] * (float(head.fc.weight[c].detach() @ FEATURES[i]) + c)
            assert value == pytest.approx(expected, rel=1e-5, abs=1e-6)


def test_scale_and_linear_layer_learn_at_rates_of_their_own():
    """As MiSLAS trains them, with the option that the head's docstring names."""
    head = make(LWSClsHead, loss=dict(type="LabelAwareSmoothLoss"))
    head.loss_module.class_distribution.set_counts([40, 30, 20, 10])
    before = {name: value.detach().clone() for name, value in head.named_parameters()}
    optim = build_optim_wrapper(
        torch.nn.ModuleDict({"head": head}),
        dict(optimizer=dict(type="SGD", lr=0.1), paramwise_cfg=dict(custom_keys={"head.fc": dict(lr_mult=0.2)})),
    )
    head.loss((FEATURES,), SAMPLES)["loss"].backward()
    optim.step()
    for name, value in head.named_parameters():
        rate = 0.1 if name == "scale" else 0.02
        assert value.grad.abs().max() > 0
        assert torch.allclose(value, before[name] - rate * value.grad), name


def test_lws_itself_learns_the_scales_alone():
    head = make(LWSClsHead, learn_linear=False)
    before = {name: value.detach().clone() for name, value in head.named_parameters()}
    optim = build_optim_wrapper(head, dict(optimizer=dict(type="SGD", lr=0.1, weight_decay=0.5)))
    for _ in range(2):
        optim.update_params(head.loss((FEATURES,), SAMPLES)["loss"])
    changed = [name for name, value in head.named_parameters() if not torch.equal(value, before[name])]
    assert changed == ["scale"]
    assert torch.equal(head((FEATURES,)), head.scale * (FEATURES @ before["fc.weight"].T + before["fc.bias"]))
