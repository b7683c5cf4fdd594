"""A classifier beside the trained one: which heads take it, what it computes, and that it follows the checkpoint."""

from __future__ import annotations

import copy
from typing import Any

import pytest
import torch
import torch.nn.functional as F
from mmengine.runner.checkpoint import load_state_dict as mmengine_load
from torch import Tensor

from lt_plugins.checkpoints.checkpoint_fit import check_checkpoint_fit
from lt_plugins.errors import UserInputError
from lt_plugins.models.heads import AdjustedClassifier, CosineClsHead, LinearHead, LWSClsHead
from tests import battery
from tests.battery import CHANNELS, NUM_CLASSES, noise

HEADS = sorted(
    name for name, cls in battery.registered("MODELS").items() if isinstance(cls, type) and issubclass(cls, LinearHead)
)
WEIGHT, BIAS = noise(NUM_CLASSES, CHANNELS, seed=5), noise(NUM_CLASSES, seed=6)
CENTRE = noise(CHANNELS, seed=7)


def build(name: str) -> Any:
    entry = battery.MODULES[name]
    torch.manual_seed(0)
    settings = {**entry.required, **entry.small}
    if name == "BBNHead":  # classifies two features in a row
        settings["in_channels"] = CHANNELS // 2
    head: Any = battery.registered("MODELS")[name](**settings)
    entry.prepare(head)
    with torch.no_grad():
        for parameter in head.parameters():
            parameter.add_(0.1 * torch.randn_like(parameter))
    return head.eval()


def feats_of(name: str) -> tuple[Tensor, ...]:
    shape = (5, CHANNELS, 2, 3) if name == "LCRegHead" else (5, CHANNELS)
    features = noise(*shape, seed=8)
    return features.chunk(2, dim=1) if name == "BBNHead" else (features,)


@pytest.mark.parametrize("name", HEADS)
def test_affine_is_the_trained_classifier(name: str) -> None:
    head, feats = build(name), feats_of(name)
    features = head.pre_logits(feats)
    if head.has_unit_features:
        features = F.normalize(features)
    with torch.no_grad():
        torch.testing.assert_close(F.linear(features, *head.affine()), head(feats), atol=1e-5, rtol=1e-5)


@pytest.mark.parametrize("centre", [None, CENTRE], ids=["features", "directions"])
@pytest.mark.parametrize("name", HEADS)
def test_an_adjusted_classifier_answers(name: str, centre: Tensor | None) -> None:
    head, feats = build(name), feats_of(name)
    trained = head(feats)
    head.adjust(WEIGHT, BIAS, centre)
    features = head.pre_logits(feats)
    if centre is not None:
        features = (features - centre) / (features - centre).norm(dim=1, keepdim=True)
    torch.testing.assert_close(head(feats), features @ WEIGHT.T + BIAS)
    head.adjusted = None
    assert torch.equal(head(feats), trained), "the trained one is untouched"


@pytest.mark.parametrize("load", [torch.nn.Module.load_state_dict, mmengine_load], ids=["torch", "mmengine"])
@pytest.mark.parametrize("name", ["LinearHead", "CosineClsHead", "LWSClsHead"])
def test_comes_and_goes_with_the_checkpoint(name: str, load: Any) -> None:
    head, feats = build(name), feats_of(name)
    plain = copy.deepcopy(head.state_dict())
    assert not any("adjusted" in key for key in plain)
    for centre in (None, CENTRE):
        head.adjust(WEIGHT, BIAS, centre)
        other = build(name)
        load(other, copy.deepcopy(head.state_dict()), strict=True)
        assert torch.equal(other(feats), head(feats))
        assert (other.adjusted.centre is None) == (centre is None)
        load(other, plain, strict=True)
        assert other.adjusted is None


def test_is_in_float32_under_autocast() -> None:
    classifier: Any = AdjustedClassifier(WEIGHT, BIAS)
    with torch.autocast("cpu", torch.bfloat16):
        logits = classifier(feats_of("LinearHead")[0].bfloat16())
    assert logits.dtype == torch.float32
    assert list(classifier.parameters()) == [], "nothing to train"


def test_is_not_trained_on() -> None:
    model: Any = torch.nn.Module()
    model.head = build("LinearHead")
    model.train()
    model.eval()
    model.head.adjust(WEIGHT, BIAS)
    model.eval()
    with pytest.raises(UserInputError, match="adjusted after its training"):
        model.train()


def test_fit_of_a_checkpoint_with_one() -> None:
    """It is one of this model, to test as well as to resume; another surplus tensor still is not."""
    model = torch.nn.Module()
    model.head = build("LinearHead")
    state = dict(copy.deepcopy(model).state_dict())
    state |= {"head.adjusted.weight": WEIGHT, "head.adjusted.bias": BIAS}
    check_checkpoint_fit(model, state, "it.pth", "test")
    check_checkpoint_fit(model, state, "it.pth", "resume")
    with pytest.raises(UserInputError, match=r"head\.other"):
        check_checkpoint_fit(model, {**state, "head.other": WEIGHT}, "it.pth", "resume")


def test_kinds() -> None:
    assert CosineClsHead.has_unit_features
    assert not LWSClsHead.has_unit_features
