"""A frozen ResNet whose last block alone learns."""

import torch
from mmpretrain.registry import MODELS

from lt_plugins.models.backbones import LastBlockResNet
from lt_plugins.models.classifiers import FrozenBackboneClassifier
from tests.battery import samples

LAST = "layer4.2."


def build():
    torch.manual_seed(0)
    return LastBlockResNet(50, out_indices=(3,), style="pytorch")


def test_only_the_last_block_learns():
    backbone = build().train()
    before = {name: value.clone() for name, value in backbone.state_dict().items()}
    optimiser = torch.optim.SGD(backbone.parameters(), lr=0.1, weight_decay=0.1)
    backbone(torch.randn(2, 3, 64, 64))[-1].square().mean().backward()
    optimiser.step()
    changed = {name for name, value in backbone.state_dict().items() if not torch.equal(value, before[name])}
    assert changed == {name for name in before if name.startswith(LAST)}


def test_the_last_block_starts_anew_after_the_pretrained_weights(tmp_path):
    source = MODELS.build(dict(type="ResNet", depth=50))
    with torch.no_grad():
        for value in source.state_dict().values():
            value.fill_(7)
    torch.save({"state_dict": source.state_dict()}, tmp_path / "imagenet.pth")
    backbone = LastBlockResNet(50, init_cfg=dict(type="Pretrained", checkpoint=str(tmp_path / "imagenet.pth")))
    backbone.init_weights()
    for name, value in backbone.state_dict().items():
        assert bool((value == 7).all()) != name.startswith(LAST), name
    assert float(backbone.layer4[2].bn1.running_var.mean()) == 1
    assert 0 < float(backbone.layer4[2].conv1.weight.abs().mean()) < 0.1


def test_modes():
    backbone = build()
    for mode in (True, False):
        assert backbone.train(mode) is backbone
        assert backbone.training == mode
        for name, module in backbone.named_modules():
            if name:
                assert module.training == (mode and f"{name}.".startswith(LAST)), name


def test_batch_norm_that_a_second_stage_trains_is_that_of_the_last_block():
    head = dict(type="LinearClsHead", num_classes=3, in_channels=2048)
    model = FrozenBackboneClassifier(
        dict(type="LastBlockResNet", depth=50, out_indices=(3,)), head, norm_eval=False
    ).train()
    before = {name: value.clone() for name, value in model.state_dict().items()}
    model.loss(torch.randn(3, 3, 64, 64), samples(torch.tensor([0, 1, 2])))
    changed = {name for name, value in model.state_dict().items() if not torch.equal(value, before[name])}
    statistics = ("running_mean", "running_var", "num_batches_tracked")
    assert changed == {n for n in before if n.startswith(f"backbone.{LAST}") and n.endswith(statistics)}
