"""TDE head: formula, reductions, and a running mean that follows steps and is the same on all processes."""

from __future__ import annotations

import math
from pathlib import Path
from typing import Any

import pytest
import torch
from mmpretrain.structures import DataSample
from torch import Tensor

from lt_plugins.distributed import rank_and_world_size
from lt_plugins.errors import UserInputError
from lt_plugins.models.heads import CosineClsHead, TDEHead
from tests.battery import noise
from tests.gloo import run_gloo

CLASSES, CHANNELS, IMAGES = 4, 6, 8


def make(**kwargs: Any) -> TDEHead:
    """A head with known weights and, unless it trains, a known mean of the features."""
    head = TDEHead(CLASSES, CHANNELS, **kwargs)
    with torch.no_grad():
        head.fc.weight.copy_(noise(CLASSES, CHANNELS, seed=1))
        head.feature_mean.copy_(noise(CHANNELS, seed=2))
    return head


def samples(number: int) -> list[DataSample]:
    """Annotations of some images."""
    return [DataSample().set_gt_label(i % CLASSES) for i in range(number)]


def slow_logits(
    x: list[float], weights: list[list[float]], mean: list[float], heads: int, scale: float, gamma: float, alpha: float
) -> list[float]:
    """The formula, one number after the other."""

    def norm(values: list[float]) -> float:
        return math.sqrt(sum(value * value for value in values))

    length = len(x) // heads
    logits = []
    for weight in weights:
        total = 0.0
        for k in range(heads):
            x_k, w_k, d_k = (row[k * length : (k + 1) * length] for row in (x, weight, mean))
            cosine = sum(a * b for a, b in zip(x_k, d_k, strict=True)) / (norm(x_k) * norm(d_k))
            for a, b, d in zip(x_k, w_k, d_k, strict=True):
                total += b / (norm(w_k) + gamma) * (a / norm(x_k) - alpha * cosine * d / norm(d_k))
        logits.append(scale / heads * total)
    return logits


@pytest.mark.parametrize(
    ("heads", "scale", "gamma", "alpha"), [(2, 16.0, 1 / 32, 1.5), (3, 8.0, 0.0, 3.0), (1, 1.0, 0.5, 0.0)]
)
@pytest.mark.parametrize("training", [False, True])
def test_logits_are_those_of_the_formula(heads: int, scale: float, gamma: float, alpha: float, training: bool) -> None:
    head = make(num_heads=heads, scale=scale, gamma=gamma, alpha=alpha).double().train(training)
    features = noise(IMAGES, CHANNELS).double()
    logits = head((features,))
    weights, mean = head.fc.weight.tolist(), head.feature_mean.tolist()
    for row, x in zip(logits.tolist(), features.tolist(), strict=True):
        expected = slow_logits(x, weights, mean, heads, scale, gamma, 0.0 if training else alpha)
        assert row == pytest.approx(expected, rel=1e-12)


def test_one_head_without_gamma_and_alpha_is_the_cosine_classifier() -> None:
    head = make(num_heads=1, gamma=0.0, alpha=0.0, scale=30.0).eval()
    cosine = CosineClsHead(CLASSES, CHANNELS, scale=30.0)
    cosine.fc.weight.data.copy_(head.fc.weight)
    torch.testing.assert_close(head((noise(IMAGES, CHANNELS),)), cosine((noise(IMAGES, CHANNELS),)))


def test_alpha_one_leaves_nothing_along_the_mean() -> None:
    """Features that lie in the mean direction say nothing; without alpha they do, and so before the first batch."""
    head = make(num_heads=1, alpha=1.0).eval()
    features = head.feature_mean * torch.tensor([[0.5], [2.0]])
    assert float(head((features,)).detach().abs().max()) < 1e-5
    deconfounded = make(num_heads=1, alpha=0.0).eval()
    plain = deconfounded((features,)).detach()
    assert float(plain.abs().max()) > 1
    head.feature_mean.zero_()
    torch.testing.assert_close(head((features,)), plain)


def test_prediction_is_affine_in_the_normalised_parts() -> None:
    """What post-hoc methods read and replace."""
    head, feats = make().eval(), (noise(IMAGES, CHANNELS),)
    weight, bias = head.affine()
    logits = head(feats).detach()
    torch.testing.assert_close(head.pre_logits(feats) @ weight.T + bias, logits)
    head.adjust(weight, bias + 1)
    torch.testing.assert_close(head(feats), logits + 1)


def test_half_precision_does_not_reach_the_logits() -> None:
    head, features = make().eval(), noise(IMAGES, CHANNELS).bfloat16()
    exact = head((features.float(),))
    with torch.autocast("cpu", torch.bfloat16):
        logits = head((features,))
    assert logits.dtype == torch.float32
    assert torch.equal(logits, exact)


def test_weights_start_as_those_of_a_linear_layer_without_bias() -> None:
    head = TDEHead(50, 64)
    head.init_weights()
    assert head.fc.bias is None
    assert float(head.fc.weight.detach().abs().max()) <= 1 / 8
    assert float(head.fc.weight.detach().std()) == pytest.approx(1 / 8 / math.sqrt(3), rel=0.05)


# ------------------------------------------------------------------------------------------------------ running mean


def step(head: TDEHead, features: Tensor) -> None:
    """Show the head a batch."""
    head.loss((features,), samples(len(features)))


def test_the_mean_is_a_moving_one_of_training_batches_alone() -> None:
    head = TDEHead(CLASSES, CHANNELS, momentum=0.9)
    first, second = noise(IMAGES, CHANNELS, seed=3), noise(3, CHANNELS, seed=4)
    step(head, first)
    step(head, second)
    expected = [0.9 * a + b for a, b in zip(first.mean(0).tolist(), second.mean(0).tolist(), strict=True)]
    assert head.feature_mean.tolist() == pytest.approx(expected, rel=1e-5)
    assert not head.feature_mean.requires_grad
    head((noise(IMAGES, CHANNELS),))  # a pass over features is no step
    step(head.eval(), first)
    assert head.feature_mean.tolist() == pytest.approx(expected, rel=1e-5)


def test_the_second_pass_of_a_step_does_not_enter_the_mean() -> None:
    head, features = TDEHead(CLASSES, CHANNELS), noise(IMAGES, CHANNELS)
    step(head, features)
    once = head.feature_mean.clone()
    head.repeats_batch = True
    step(head, features + 1)
    assert torch.equal(head.feature_mean, once)


def test_accumulated_batches_are_one_step() -> None:
    """The direction is that of steps with the whole batch."""
    whole, parts = TDEHead(CLASSES, CHANNELS), TDEHead(CLASSES, CHANNELS)
    for seed in (3, 4, 5):
        batch = noise(IMAGES, CHANNELS, seed=seed)
        step(whole, batch)
        for number, half in enumerate(batch.chunk(2)):
            parts.starts_step, parts.ends_step = number == 0, number == 1
            step(parts, half)
    torch.testing.assert_close(parts.feature_mean, 2 * whole.feature_mean)


def test_a_batch_that_overflowed_does_not_enter_the_mean() -> None:
    head, features = TDEHead(CLASSES, CHANNELS), noise(IMAGES, CHANNELS)
    step(head, features)
    known = head.feature_mean.clone()
    features[2, 3] = math.inf
    step(head, features)
    assert torch.equal(head.feature_mean, known)


def test_training_continues_exactly_where_it_stopped() -> None:
    through, stopped = make(), make()
    batches = [noise(IMAGES, CHANNELS, seed=seed) for seed in (3, 4)]
    step(through, batches[0])
    step(stopped, batches[0])
    resumed = TDEHead(CLASSES, CHANNELS)
    resumed.load_state_dict(stopped.state_dict())
    for head in (through, resumed):
        step(head, batches[1])
    assert torch.equal(through.feature_mean, resumed.feature_mean)
    features = (noise(IMAGES, CHANNELS),)
    assert torch.equal(through.eval()(features), resumed.eval()(features))


def mean_of_this_share() -> Tensor:
    """Running mean after two steps, the second with fewer images on the last process."""
    head = TDEHead(CLASSES, CHANNELS)
    rank, world_size = rank_and_world_size()
    for seed, images in ((3, IMAGES), (4, IMAGES - 3)):
        batch = noise(images, CHANNELS, seed=seed)
        step(head, batch.split(IMAGES // world_size)[rank])
    return head.feature_mean


def test_two_processes_have_the_mean_of_one(tmp_path: Path) -> None:
    alone = mean_of_this_share()
    ranks = run_gloo(mean_of_this_share, folder=tmp_path)
    assert torch.equal(ranks[0], ranks[1])
    torch.testing.assert_close(ranks[0], alone)


@pytest.mark.parametrize(
    ("bad", "message"),
    [
        ({"num_heads": 4}, "num_heads=4 must divide in_channels=6"),
        ({"num_heads": 0}, "num_heads=0"),
        ({"scale": 0.0}, r"scale=0.0 must be positive"),
        ({"gamma": -1.0}, r"gamma=-1.0"),
        ({"alpha": -0.5}, r"alpha=-0.5 0 or more"),
        ({"momentum": 1.0}, r"momentum=1.0 of the running mean"),
    ],
)
def test_settings_without_meaning_are_refused(bad: dict[str, Any], message: str) -> None:
    with pytest.raises(UserInputError, match=message):
        TDEHead(CLASSES, CHANNELS, **bad)
