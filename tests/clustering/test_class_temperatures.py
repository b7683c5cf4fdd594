"""Temperatures of classes against the formulas of the paper, by loops."""

from __future__ import annotations

import math

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from lt_plugins.clustering import class_temperatures
from lt_plugins.errors import UserInputError


def spreads(features: list[list[float]], labels: list[int], num_classes: int, alpha: float) -> dict[int, float]:
    """``phi`` of the classes with samples."""
    phi = {}
    for c in range(num_classes):
        members = []
        for vector, label in zip(features, labels, strict=True):
            if label == c:
                length = math.sqrt(math.fsum(x * x for x in vector))
                members.append([x / length for x in vector])
        if members:
            n = len(members)
            centroid = [math.fsum(column) / n for column in zip(*members, strict=True)]
            phi[c] = math.fsum(math.dist(v, centroid) for v in members) / (n * math.log(n + alpha))
    return phi


def percentile(values: list[float], share: float) -> float:
    """As numpy's: linear between the two nearest."""
    position = share * (len(values) - 1)
    low = math.floor(position)
    high = min(low + 1, len(values) - 1)
    return sorted(values)[low] + (position - low) * (sorted(values)[high] - sorted(values)[low])


def random_features(labels: list[int], seed: int = 0, dim: int = 6) -> torch.Tensor:
    """Vectors of any length, class ``c`` the more spread the higher ``c``."""
    generator = torch.Generator().manual_seed(seed)
    noise = torch.randn(len(labels), dim, generator=generator) * (torch.tensor(labels)[:, None] + 1) / 4
    return (torch.eye(dim)[torch.tensor(labels) % dim] + noise) * torch.empty(len(labels), 1).uniform_(
        0.1, 9, generator=generator
    )


@given(
    st.lists(st.integers(0, 6), min_size=1, max_size=60),
    st.integers(0, 1000),
    st.floats(0.01, 1),
    st.floats(0.1, 50),
)
@settings(max_examples=100, deadline=None)
def test_value_is_equation_6(labels: list[int], seed: int, temperature: float, alpha: float) -> None:
    features = random_features(labels, seed)
    # The last class never has samples.
    actual = class_temperatures(features, torch.tensor(labels), 8, temperature, alpha)
    phi = spreads(features.double().tolist(), labels, 8, alpha)
    mean = math.fsum(phi.values()) / len(phi)
    expected = [temperature * math.exp(phi[c] / mean if c in phi and mean > 1e-12 else 1) for c in range(8)]
    assert actual.dtype == torch.float64
    assert actual.tolist() == pytest.approx(expected, rel=1e-6)


def test_linear_is_the_public_code_with_clipped_spread() -> None:
    labels = [0] * 30 + [1] * 12 + [2] * 5 + [3] * 5 + [4] * 3 + [5] * 2
    features = random_features(labels)
    actual = class_temperatures(features, torch.tensor(labels), 7, 0.2, mode="linear")
    phi = spreads(features.double().tolist(), labels, 7, 10)
    low, high = percentile(list(phi.values()), 0.2), percentile(list(phi.values()), 0.8)
    clipped = {c: min(max(value, low), high) for c, value in phi.items()}
    assert clipped != phi
    mean = math.fsum(clipped.values()) / len(clipped)
    assert actual.tolist() == pytest.approx([*(0.2 * clipped[c] / mean for c in range(6)), 0.2], rel=1e-9)


@pytest.mark.parametrize("mode", ["exp", "linear"])
def test_classes_that_stay_whole_may_keep_the_base_temperature(mode: str) -> None:
    labels = [c for c in range(5) for _ in range(4 + c)]
    split = torch.tensor([True, True, False, True, False])
    arguments = (random_features(labels), torch.tensor(labels), 5)
    everywhere = class_temperatures(*arguments, mode=mode)
    actual = class_temperatures(*arguments, mode=mode, split=split)
    assert torch.equal(actual[split], everywhere[split])
    assert actual[~split].tolist() == pytest.approx([0.1, 0.1])


def test_more_spread_is_hotter_and_more_samples_are_colder() -> None:
    generator = torch.Generator().manual_seed(0)
    noise = torch.randn(300, 8, generator=generator)
    labels = torch.arange(3).repeat_interleave(torch.tensor([100, 100, 100]))
    tight, same, wide = class_temperatures(torch.eye(8)[0] + noise * (labels + 1)[:, None] / 10, labels, 3).tolist()
    assert 0.1 < tight < same < wide
    labels = torch.arange(2).repeat_interleave(torch.tensor([280, 20]))
    many, few = class_temperatures(torch.eye(8)[0] + 0.3 * noise, labels, 2).tolist()
    assert many < few


@pytest.mark.parametrize(("mode", "expected"), [("exp", 0.1 * math.e), ("linear", 0.1)])
@pytest.mark.parametrize("features", [torch.zeros(0, 4), torch.full((9, 4), 0.3), torch.zeros(9, 4)])
def test_without_any_spread_all_classes_are_average(features: torch.Tensor, mode: str, expected: float) -> None:
    actual = class_temperatures(features, torch.arange(len(features)) % 3, 4, mode=mode)
    assert actual.tolist() == pytest.approx([expected] * 4)


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
def test_length_order_and_chunks_do_not_matter(dtype: torch.dtype, monkeypatch: pytest.MonkeyPatch) -> None:
    labels = torch.arange(90) % 4
    features = random_features(labels.tolist()).to(dtype)
    expected = class_temperatures(features, labels, 4)
    shuffle = torch.randperm(90, generator=torch.Generator().manual_seed(0))
    monkeypatch.setitem(class_temperatures.__globals__, "CHUNK_SIZE", 7)
    assert torch.allclose(class_temperatures(4 * features[shuffle], labels[shuffle], 4), expected, rtol=1e-6)
    assert not class_temperatures(features.requires_grad_(), labels, 4).requires_grad


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (dict(features=torch.zeros(6)), r"got \(6,\) and \(6,\)"),
        (dict(labels=torch.zeros(5, dtype=torch.long)), r"got \(6, 2\) and \(5,\)"),
        (dict(labels=torch.full((6,), 3)), r"labels from 3 to 3 must be in 0\.\.2; set num_classes"),
        (dict(labels=torch.full((6,), -1)), "labels from -1"),
        (dict(features=torch.full((6, 2), math.nan)), "not finite"),
        (dict(features=torch.full((6, 2), math.inf)), "not finite"),
        (dict(temperature=0.0), r"temperature=0\.0 and alpha=10\.0 must be positive"),
        (dict(alpha=-1.0), "must be positive"),
        (dict(mode="cubic"), "mode='cubic' must be 'exp' or 'linear'"),
        (dict(split=torch.ones(2, dtype=torch.bool)), r"shape \(3,\), got torch.bool \(2,\)"),
        (dict(split=torch.ones(3)), "split must be a bool tensor"),
    ],
)
def test_what_cannot_be_is_refused(change: dict, message: str) -> None:
    arguments = dict(features=torch.ones(6, 2), labels=torch.zeros(6, dtype=torch.long), num_classes=3)
    with pytest.raises(UserInputError, match=message):
        class_temperatures(**{**arguments, **change})
