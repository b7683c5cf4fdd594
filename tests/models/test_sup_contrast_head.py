import pytest
import torch
import torch.nn.functional as F

from lt_plugins.models.heads import SupContrastHead
from lt_plugins.models.losses import SupConLoss
from tests.models.reference import two_view_contrast

COUNTS = [50, 10, 1]


def make(**kwargs):
    torch.manual_seed(0)
    head = SupContrastHead(num_classes=3, in_channels=4, **{"loss": dict(type="SupConLoss"), **kwargs})
    head.init_weights()
    head.class_distribution.set_counts(COUNTS)
    return head


def test_the_probe_is_balanced_softmax_on_unit_features_and_does_not_reach_the_encoder():
    head, contrast = make(), two_view_contrast(dtype=torch.float32)
    feats = torch.randn(12, 4, requires_grad=True)
    losses = head.loss((feats,), [], contrast)
    logits = F.linear(F.normalize(feats, dim=1), head.fc.weight, head.fc.bias)
    prior = torch.tensor(COUNTS).float() / sum(COUNTS)
    expected = F.cross_entropy(logits + prior.log(), contrast.anchor_labels)
    assert float(losses["loss_probe"]) == pytest.approx(float(expected), rel=1e-5)
    losses["loss_probe"].backward()
    assert feats.grad is None
    assert head.fc.weight.grad.abs().sum() > 0


def test_prediction_is_the_probe_without_the_prior():
    head = make()
    feats = torch.randn(5, 4)
    scores = torch.stack([sample.pred_score for sample in head.predict((feats,))])
    assert torch.allclose(scores, head.fc(F.normalize(feats, dim=1)).softmax(dim=1))


def test_warms_up_until_the_loss_is_ready():
    head = make(loss=dict(type="SBCLLoss"), warmup_loss=dict(type="SupConLoss", temperature=0.3))
    contrast = two_view_contrast(dtype=torch.float32)
    feats = (torch.randn(12, 4),)
    warm = head.loss(feats, [], contrast)["loss_contrast"]
    assert torch.equal(warm, SupConLoss(0.3)(contrast))
    head.loss_module.set_subclasses(torch.arange(20))
    assert torch.equal(head.loss(feats, [], contrast)["loss_contrast"], head.loss_module(contrast))
    assert not torch.equal(head.loss_module(contrast), warm)
