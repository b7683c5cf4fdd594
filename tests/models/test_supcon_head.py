import pytest
import torch
import torch.nn.functional as F

from lt_plugins.models.heads import SupConHead
from lt_plugins.models.losses import SupConLoss
from tests.models.reference import two_view_contrast

COUNTS = [50, 10, 1]


def make(**kwargs):
    torch.manual_seed(0)
    head = SupConHead(num_classes=3, in_channels=4, **{"loss": dict(type="SupConLoss"), **kwargs})
    head.init_weights()
    head.class_distribution.set_counts(COUNTS)
    return head


def standardised(feats):
    return (feats - feats.mean(dim=0)) / (feats.var(dim=0, unbiased=False) + 1e-5).sqrt()


def test_the_probe_is_balanced_softmax_on_standardised_features_and_does_not_reach_the_encoder():
    head, contrast = make(), two_view_contrast(dtype=torch.float32)
    feats = torch.randn(12, 4, requires_grad=True)
    losses = head.loss((feats,), [], contrast)
    logits = F.linear(standardised(feats), head.fc.weight, head.fc.bias)
    prior = torch.tensor(COUNTS).float() / sum(COUNTS)
    expected = F.cross_entropy(logits + prior.log(), contrast.anchor_labels)
    assert float(losses["loss_probe"]) == pytest.approx(float(expected), rel=1e-5)
    losses["loss_probe"].backward()
    assert feats.grad is None
    assert head.fc.weight.grad.abs().sum() > 0


def test_prediction_is_the_probe_without_the_prior():
    head = make()
    feats = torch.randn(500, 4) * 3 + 1
    for _ in range(200):  # the running statistics converge to those of the features
        head((feats,))
    head.eval()
    scores = torch.stack([sample.pred_score for sample in head.predict((feats,))])
    assert torch.allclose(scores, head.fc(standardised(feats)).softmax(dim=1), atol=1e-3)


def test_a_batch_of_one_is_standardised_by_the_running_statistics():
    head = make()
    head.standardise.running_mean.fill_(2.0)
    assert torch.allclose(head.pre_logits((torch.full((1, 4), 3.0),)), torch.ones(1, 4), atol=1e-4)


def test_warms_up_until_the_loss_is_ready():
    head = make(loss=dict(type="SBCLLoss"), warmup_loss=dict(type="SupConLoss", temperature=0.3))
    contrast = two_view_contrast(dtype=torch.float32)
    feats = (torch.randn(12, 4),)
    warm = head.loss(feats, [], contrast)["loss_contrast"]
    assert torch.equal(warm, SupConLoss(0.3)(contrast))
    head.loss_module.set_subclasses(torch.arange(20))
    assert torch.equal(head.loss(feats, [], contrast)["loss_contrast"], head.loss_module(contrast))
    assert not torch.equal(head.loss_module(contrast), warm)
