"""Heads take the labels of a batch as one tensor and compute what mmpretrain's heads compute of a list of samples."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from mmpretrain.models.heads import LinearClsHead
from mmpretrain.registry import MODELS
from torch import Tensor

from lt_plugins.models.heads import LinearHead
from lt_plugins.models.structures import LabelBatch
from tests.battery import noise, samples

C, D = 4, 6
LABELS = torch.tensor([0, 3, 1, 2, 0])
SHARES = noise(5, C, seed=4).softmax(dim=1)
FEATS = (noise(5, D),)


def build(kind: type, **settings: Any) -> Any:
    torch.manual_seed(0)
    head = kind(num_classes=C, in_channels=D, **settings)
    head.init_weights()
    return head


def batch(mixed: bool = False) -> LabelBatch:
    found = LabelBatch.from_samples(samples(LABELS))
    return found.with_scores(SHARES) if mixed else found


def test_weights_are_those_of_mmpretrains_head():
    ours, theirs = (build(kind).state_dict() for kind in (LinearHead, LinearClsHead))
    assert ours.keys() == theirs.keys()
    assert all(torch.equal(ours[key], theirs[key]) for key in ours)


@pytest.mark.parametrize("as_list", [True, False])
@pytest.mark.parametrize(
    ("mixed", "settings"),
    [
        (False, {}),
        (True, {}),
        (False, {"cal_acc": True, "topk": (1, 3)}),
        (False, {"loss": {"type": "LabelSmoothLoss", "label_smooth_val": 0.1}}),
    ],
)
def test_the_loss_is_mmpretrains(mixed, settings, as_list):
    given = list(batch(mixed)) if as_list else batch(mixed)
    ours = build(LinearHead, **settings).loss(FEATS, given)
    theirs = build(LinearClsHead, **settings).loss(FEATS, list(batch(mixed)))
    assert ours.keys() == theirs.keys()
    for key in ours:
        assert torch.equal(torch.as_tensor(ours[key]), torch.as_tensor(theirs[key])), key


def test_one_k_is_a_number():
    losses = build(LinearHead, cal_acc=True, topk=2).loss(FEATS, batch())
    assert set(losses) == {"loss", "accuracy_top-2"}


@pytest.mark.parametrize("given", ["batch", "list", "nothing"])
def test_predictions_are_mmpretrains(given):
    ours, theirs = build(LinearHead).eval(), build(LinearClsHead).eval()
    data = {"batch": batch(), "list": samples(LABELS), "nothing": None}[given]
    found = ours.predict(FEATS, data)
    expected = theirs.predict(FEATS, None if given == "nothing" else samples(LABELS))
    assert isinstance(found, LabelBatch)
    for one, other in zip(found, expected, strict=True):
        assert set(one.keys()) == set(other.keys())
        assert torch.equal(one.pred_score, other.pred_score) and torch.equal(one.pred_label, other.pred_label)
        assert one.metainfo == other.metainfo
    assert torch.equal(found.pred_score, torch.stack([sample.pred_score for sample in expected]))


FOREIGN: dict[str, tuple[dict, tuple[Any, ...]]] = {
    "LinearClsHead": ({}, FEATS),
    "StackedLinearClsHead": ({"mid_channels": [5]}, FEATS),
    "VisionTransformerClsHead": ({}, ([None, FEATS[0]],)),
    "ArcFaceClsHead": ({"loss": {"type": "CrossEntropyLoss"}}, FEATS),
    "MultiLabelLinearClsHead": ({}, FEATS),
}


@pytest.mark.parametrize("name", FOREIGN)
def test_heads_of_mmpretrain_take_a_batch(name):
    settings, feats = FOREIGN[name]
    torch.manual_seed(0)
    head = MODELS.build({"type": name, "num_classes": C, "in_channels": D, **settings}).eval()

    def numbers(data: Any) -> list[Tensor]:
        predictions = head.predict(feats, data)
        return [head.loss(feats, data)["loss"], *(sample.pred_score for sample in predictions)]

    several = name == "MultiLabelLinearClsHead"  # which reads shares
    for one, other in zip(numbers(batch(several)), numbers(list(batch(several))), strict=True):
        assert torch.equal(one, other)


@pytest.mark.parametrize("labelled", [True, False])
def test_a_head_that_learns_by_sigmoid_predicts_by_sigmoid(labelled):
    head = build(LinearHead, loss={"type": "SigmoidFocalLoss"})
    logits = head(FEATS)
    found = head.predict(FEATS, batch() if labelled else None)
    assert torch.equal(found.pred_score, torch.sigmoid(logits)), "the probability that training fits, of each class"
    assert torch.equal(found.pred_label, logits.argmax(dim=1))
