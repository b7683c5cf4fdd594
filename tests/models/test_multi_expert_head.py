"""Head of several experts: what trains, what predicts, and that post-hoc methods see one classifier."""

from __future__ import annotations

import math
from typing import Any

import pytest
import torch
import torch.nn.functional as F
from mmpretrain.registry import MODELS
from torch import Tensor

from lt_plugins.errors import UserInputError
from lt_plugins.models.heads import CosineClsHead, MultiExpertHead
from lt_plugins.models.losses import RIDELoss
from lt_plugins.models.structures import LabelBatch
from lt_plugins.posthoc import AffineClassifier
from lt_plugins.posthoc.tau_norm import tau_norm
from tests.battery import noise, samples

LABELS = torch.tensor([0, 1, 2, 3, 0])
FEATS = tuple(noise(5, 6, seed=seed) for seed in range(3))
EXPERTS = ["CosineClsHead", "LWSClsHead", "LinearHead"]


def build(expert: str = "CosineClsHead", num_experts: int = 3, **kwargs: Any) -> MultiExpertHead:
    torch.manual_seed(0)
    settings = {"num_classes": 4, "in_channels": 6, "num_experts": num_experts, "expert": {"type": expert}}
    head: MultiExpertHead = MODELS.build({"type": "MultiExpertHead", **settings, **kwargs})
    head.init_weights()
    with torch.no_grad():
        for parameter in head.parameters():
            parameter.add_(0.3 * torch.randn_like(parameter))
    head.loss_module.class_distribution.set_counts([100, 30, 5, 2])
    return head.eval()


def test_cosine_experts_written_out() -> None:
    """Logits of each expert by loops, and their mean."""
    head = build()
    weights = [expert.fc.weight.tolist() for expert in head.experts]

    def cosine(x: list[float], w: list[float]) -> float:
        return sum(a * b for a, b in zip(x, w, strict=True)) / math.hypot(*x) / math.hypot(*w)

    expected = [
        [[30 * cosine(FEATS[k][i].tolist(), weights[k][c]) for c in range(4)] for k in range(3)] for i in range(5)
    ]
    logits = head.train()(FEATS)
    torch.testing.assert_close(logits, torch.tensor(expected), rtol=1e-4, atol=1e-4)
    torch.testing.assert_close(head.eval()(FEATS), torch.tensor(expected).mean(dim=1), rtol=1e-4, atol=1e-4)


@pytest.mark.parametrize("expert", EXPERTS)
def test_loss_of_the_experts_and_prediction_of_their_mean(expert: str) -> None:
    head = build(expert, loss={"type": "RIDELoss", "class_weight": "inverse"})
    logits = head.train()(FEATS)
    assert logits.shape == (5, 3, 4)
    assert torch.equal(head.loss(FEATS, samples(LABELS))["loss"], head.loss_module(logits, LABELS))
    predicted = head.eval().predict(FEATS, samples(LABELS))
    assert isinstance(predicted, LabelBatch)
    torch.testing.assert_close(predicted.pred_score, logits.mean(dim=1).softmax(dim=1))


def test_one_expert_is_its_head() -> None:
    head = build(num_experts=1)
    single = CosineClsHead(4, 6)
    single.load_state_dict({"fc.weight": head.experts[0].fc.weight})
    assert torch.equal(head(FEATS[:1]), single(FEATS[:1]))


@pytest.mark.parametrize("expert", EXPERTS)
def test_affine_is_the_mean_of_the_experts(expert: str) -> None:
    head = build(expert)
    features = head.affine_features(head.pre_logits(FEATS))
    assert features.shape == (5, 18)
    with torch.no_grad():
        torch.testing.assert_close(F.linear(features, *head.affine()), head(FEATS), atol=1e-5, rtol=1e-5)
    if head.has_unit_features:
        torch.testing.assert_close(features.norm(dim=1), torch.ones(5))


@pytest.mark.parametrize("expert", EXPERTS)
def test_an_adjusted_classifier_answers(expert: str) -> None:
    """The trained one, put beside itself, predicts the same; another one its own, also after loading."""
    head = build(expert)
    expected, classifier = head(FEATS), AffineClassifier(*head.affine())
    centre = torch.zeros(18) if head.has_unit_features else None
    head.adjust(*classifier, centre)
    torch.testing.assert_close(head(FEATS), expected, atol=1e-4, rtol=1e-4)
    other = tau_norm(classifier, 0.5)
    head.adjust(*other, centre)
    found = head(FEATS)
    torch.testing.assert_close(found, other.logits(head.affine_features(head.pre_logits(FEATS))), atol=1e-4, rtol=1e-4)
    fresh = build(expert)
    fresh.load_state_dict(head.state_dict())
    assert torch.equal(fresh(FEATS), found)
    with pytest.raises(UserInputError, match="was adjusted after its training"):
        fresh.train()


def test_experts_start_from_weights_of_their_own() -> None:
    head = MultiExpertHead(num_classes=4, in_channels=6)
    head.init_weights()
    assert not torch.equal(head.experts[0].fc.weight, head.experts[1].fc.weight)
    for expert in head.experts:
        torch.testing.assert_close(expert.fc.weight.norm(dim=1), torch.ones(4))


def test_prior_is_that_of_the_loss() -> None:
    head = build(loss={"type": "RIDELoss", "class_weight": [1.0, 2.0, 3.0, 4.0]})
    assert head.trained_prior(torch.ones(4)).tolist() == [1.0, 2.0, 3.0, 4.0]


def soft(labels: Tensor, share: float) -> LabelBatch:
    one_hot = F.one_hot(labels, 4).float()
    return LabelBatch(labels=None, scores=share * one_hot + (1 - share) * one_hot.roll(1, dims=0))


def test_mixed_images() -> None:
    head = build().train()
    loss = head.loss(FEATS, soft(LABELS, 0.3))["loss"]
    expected = head.loss_module(head(FEATS), soft(LABELS, 0.3).target)
    assert torch.equal(loss, expected)


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"num_experts": 0}, "num_experts=0 must be 1 or more"),
        ({"loss": {"type": "LDAMLoss"}}, "LDAMLoss is a loss on the logits of one classifier"),
        ({"loss": {"type": "CrossEntropyLoss"}}, "CrossEntropyLoss is a loss on the logits of one classifier"),
        ({"expert": {"type": "LinearHead", "loss": {"type": "LDAMLoss"}}}, "remove expert.loss"),
        ({"expert": {"type": "TDEHead"}}, "a TDEHead cannot be the classifier of an expert"),
        ({"expert": {"type": "LCRegHead"}}, "a LCRegHead cannot be the classifier of an expert"),
        ({"expert": {"type": "CosineClsHead", "scale": 16.0}}, "told scale=30.0, but the head multiplies .* 16.0"),
    ],
)
def test_settings_without_meaning_are_refused(settings: dict[str, Any], message: str) -> None:
    with pytest.raises(UserInputError, match=message):
        MODELS.build({"type": "MultiExpertHead", "num_classes": 4, "in_channels": 6, **settings})


def test_maps_must_be_as_many_as_experts() -> None:
    with pytest.raises(
        UserInputError, match=r"gives 2 feature\(s\) of an image, but MultiExpertHead has num_experts=3"
    ):
        build()(FEATS[:2])
    assert isinstance(build().loss_module, RIDELoss)
