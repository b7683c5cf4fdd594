"""OLTR head: the meta-embedding number by number, its limits, and what moves the centroids."""

from __future__ import annotations

import math
from typing import Any

import pytest
import torch
from torch import Tensor

from lt_plugins.errors import UserInputError
from lt_plugins.models.heads import CosineClsHead, OLTRHead
from lt_plugins.models.structures import LabelBatch
from tests.battery import noise

CLASSES, CHANNELS, IMAGES = 4, 6, 8
LABELS = torch.arange(IMAGES) % CLASSES


def make(**settings: Any) -> OLTRHead:
    """A head with known centroids."""
    torch.manual_seed(0)
    head = OLTRHead(CLASSES, CHANNELS, **settings)
    head.init_weights()
    head.centroid_loss.set_centroids(noise(CLASSES, CHANNELS, seed=5))
    return head


def dot(a: list[float], b: list[float]) -> float:
    return sum(x * y for x, y in zip(a, b, strict=True))


def slow_logits(head: OLTRHead, v: list[float]) -> list[float]:
    """Equations 1 to 4 of the paper and the squashing classifier, one number after the other."""
    memory = head.centroid_loss.centroids.tolist()
    hallucinator = zip(head.fc.weight.tolist(), head.fc.bias.tolist(), strict=True)
    hallucinated = [math.exp(dot(w, v) + b) for w, b in hallucinator]
    coefficients = [value / sum(hallucinated) for value in hallucinated]
    v_memory = [sum(o * row[d] for o, row in zip(coefficients, memory, strict=True)) for d in range(len(v))]
    selector = zip(head.selector.weight.tolist(), head.selector.bias.tolist(), strict=True)
    e = [math.tanh(dot(w, v) + b) for w, b in selector]
    distances = [math.sqrt(sum((x - m) ** 2 for x, m in zip(v, row, strict=True))) for row in memory]
    reach = head.reach / min(distances)
    meta = [reach * (x + gate * m) for x, gate, m in zip(v, e, v_memory, strict=True)]
    length = math.sqrt(dot(meta, meta))
    squashed = [length / (1 + length) * x / length for x in meta]
    return [head.scale * dot(w, squashed) / math.sqrt(dot(w, w)) for w in head.cosine.weight.tolist()]


@pytest.mark.parametrize("settings", [{}, {"scale": 3.0, "reach": 0.7}])
def test_logits_are_those_of_the_formula(settings: dict[str, Any]) -> None:
    head = make(**settings).double()
    features = noise(IMAGES, CHANNELS).double()
    for row, v in zip(head((features,)).tolist(), features.tolist(), strict=True):
        assert row == pytest.approx(slow_logits(head, v), rel=1e-12)


def test_without_memory_and_far_reach_it_is_the_cosine_classifier() -> None:
    head = make(scale=30.0, reach=1e6)
    torch.nn.init.zeros_(head.selector.weight)
    torch.nn.init.zeros_(head.selector.bias)
    cosine = CosineClsHead(CLASSES, CHANNELS, scale=30.0)
    cosine.fc.weight.data.copy_(head.cosine.weight)
    feats = (noise(IMAGES, CHANNELS),)
    torch.testing.assert_close(head(feats), cosine(feats), rtol=1e-5, atol=1e-4)


def test_reachability() -> None:
    """And what is a centroid, at distance 0, high and finite ones, with a finite gradient."""
    head = make()
    centroids = head.centroid_loss.centroids.detach()
    near = centroids[:2].clone().requires_grad_()
    logits = head((near,))
    logits.sum().backward()
    assert near.grad is not None and bool(near.grad.isfinite().all())
    assert head.pre_logits((near,)).norm(dim=1).tolist() == pytest.approx([1.0, 1.0], abs=1e-5)
    # Twice as far along one direction, half as reachable: the embedding of a far feature is as long as ``reach``.
    far = torch.stack([1e4 * centroids[0], 2e4 * centroids[0]])
    first, second = head.reachability(far).squeeze(1).tolist()
    assert (first < 0.01, first / second) == (True, pytest.approx(2, rel=1e-3))
    length = float(head.pre_logits((far[:1],)).detach().norm())
    assert length / (1 - length) == pytest.approx(head.reach, rel=1e-3)


def test_the_classification_does_not_move_the_centroids() -> None:
    head = make()
    losses = head.loss((noise(IMAGES, CHANNELS),), LabelBatch(LABELS))
    assert [*losses] == ["loss", "loss_centroid"]
    losses["loss"].backward()
    assert head.centroid_loss.centroids.grad is None
    assert all(layer.weight.grad is not None for layer in (head.fc, head.selector, head.cosine))
    losses["loss_centroid"].backward()
    assert head.centroid_loss.centroids.grad is not None


def test_the_centroid_loss_is_of_direct_features_and_sizes_of_the_head() -> None:
    head = make(centroid_loss={"hinge": "sample", "weights": 0.5, "num_classes": 77})
    features = noise(IMAGES, CHANNELS)
    value = head.loss((features,), LabelBatch(LABELS))["loss_centroid"]
    assert torch.equal(value, head.centroid_loss(features, torch.zeros(0), LabelBatch(LABELS)))
    assert (head.centroid_loss.hinge, head.centroid_loss.centroids.shape) == ("sample", (CLASSES, CHANNELS))


def test_prediction_is_affine_in_the_embedding() -> None:
    """What post-hoc methods read and replace."""
    head, feats = make().eval(), (noise(IMAGES, CHANNELS),)
    weight, bias = head.affine()
    logits = head(feats).detach()
    torch.testing.assert_close(head.pre_logits(feats) @ weight.T + bias, logits)
    head.adjust(weight, bias + 1)
    torch.testing.assert_close(head(feats).detach(), logits + 1)


def test_half_precision_does_not_reach_the_logits() -> None:
    head, features = make().eval(), noise(IMAGES, CHANNELS).bfloat16()
    exact = head((features.float(),))
    with torch.autocast("cpu", torch.bfloat16):
        logits = head((features,))
    assert logits.dtype == torch.float32
    assert torch.equal(logits, exact)


def test_layers_start_as_those_of_pytorch() -> None:
    head = OLTRHead(50, 64)
    head.init_weights()
    layers: list[Tensor] = [head.fc.weight, head.selector.weight, head.cosine.weight]
    for weight in layers:
        assert float(weight.detach().abs().max()) <= 1 / 8
        assert float(weight.detach().std()) == pytest.approx(1 / 8 / math.sqrt(3), rel=0.05)


def test_settings_without_meaning_are_refused() -> None:
    bad: list[dict[str, Any]] = [{"scale": 0.0}, {"reach": -1.0}]
    for settings in bad:
        with pytest.raises(UserInputError, match=r"scale=.* of the cosines and reach=.* must be positive"):
            OLTRHead(CLASSES, CHANNELS, **settings)
