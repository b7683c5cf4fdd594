"""The meta sampler against the Gumbel-softmax over all images, its noise, and Adam."""

from __future__ import annotations

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor

from lt_plugins.errors import UserInputError
from lt_plugins.models.structures.learned_sampling import LearnedSampling, soft_selection

COUNTS = torch.tensor([6, 3, 1])
CLASSES = torch.repeat_interleave(torch.arange(3), COUNTS)


def noise(*shape: int, seed: int = 0) -> Tensor:
    return torch.rand(*shape, dtype=torch.float64, generator=torch.Generator().manual_seed(seed))


def test_soft_probability_is_that_of_the_straight_through_gumbel_softmax() -> None:
    """As in the released code: the softmax over all images, and the entry of the one that was drawn."""
    logits = torch.tensor([0.4, -0.3, 1.2], dtype=torch.float64, requires_grad=True)
    gumbel = -(-noise(7, 10).log()).log()
    perturbed = torch.sigmoid(logits)[CLASSES].log() + gumbel
    chosen = perturbed.argmax(dim=1)
    expected = F.softmax(perturbed, dim=1)[torch.arange(7), chosen]
    exponentials = gumbel.exp()
    sums = torch.stack([exponentials[:, c == CLASSES].sum(dim=1) for c in range(3)], dim=1)
    actual = soft_selection(logits, CLASSES[chosen], exponentials[torch.arange(7), chosen], sums)
    torch.testing.assert_close(actual, expected)
    weights = noise(7, seed=1)
    gradients = [torch.autograd.grad(weights @ value, logits, retain_graph=True)[0] for value in (actual, expected)]
    torch.testing.assert_close(*gradients)


def test_noise_is_that_of_the_gumbel_softmax_given_the_drawn_class() -> None:
    """Quantiles of the soft probability, of 20,000 draws a side."""
    sampling, draws = LearnedSampling(3), 20000
    sampling.logits.copy_(torch.tensor([0.0, 1.0, 2.0]))
    sampling.begin_epoch(COUNTS)
    torch.manual_seed(0)
    gumbel = -torch.empty(draws, 10).exponential_().log()
    perturbed = sampling.weights[CLASSES].log() + gumbel
    chosen = perturbed.argmax(dim=1)
    shares = torch.bincount(CLASSES[chosen], minlength=3) / draws
    expected_shares = sampling.weights * COUNTS / (sampling.weights * COUNTS).sum()
    assert torch.allclose(shares, expected_shares, atol=0.015)
    direct = F.softmax(perturbed, dim=1)
    labels = CLASSES[chosen]
    afterwards = soft_selection(sampling.drawn, labels, *sampling.draw_noise(labels))
    levels = torch.linspace(0.1, 0.9, 9)
    for label in range(3):
        rows = (labels == label).nonzero()[:, 0]
        expected = direct[rows, chosen[rows]].quantile(levels)
        assert torch.allclose(afterwards[rows].quantile(levels), expected, atol=0.025), label


def test_chunks_of_the_noise_are_rows_of_it(monkeypatch: pytest.MonkeyPatch) -> None:
    sampling = LearnedSampling(3)
    sampling.begin_epoch(COUNTS)
    labels = torch.tensor([0, 2, 1, 0, 1])
    torch.manual_seed(3)
    expected = sampling.draw_noise(labels)
    monkeypatch.setattr("lt_plugins.models.structures.learned_sampling.MAX_NUMBERS", 20)
    torch.manual_seed(3)
    for one, other in zip(sampling.draw_noise(labels), expected, strict=True):
        torch.testing.assert_close(one, other)


def test_steps_are_those_of_adam() -> None:
    sampling = LearnedSampling(3, lr=0.05).double()
    reference = torch.zeros(3, dtype=torch.float64, requires_grad=True)
    adam = torch.optim.Adam([reference], lr=0.05)
    for seed in range(4):
        gradient = noise(3, seed=seed) - 0.5
        reference.grad = gradient
        adam.step()
        sampling.step(gradient)
        before = {name: value.clone() for name, value in sampling.named_buffers()}
        sampling.step(torch.tensor([1.0, float("inf"), 0.0], dtype=torch.float64))
        assert all(torch.equal(value, before[name]) for name, value in sampling.named_buffers())
    torch.testing.assert_close(sampling.logits, reference.detach(), rtol=1e-12, atol=1e-14)
    assert torch.equal(sampling.drawn, torch.zeros(3, dtype=torch.float64)), "the draws of an epoch stay as they are"
    sampling.begin_epoch(COUNTS)
    assert torch.equal(sampling.drawn, sampling.logits)


def test_initial_weights_fall_with_class_size() -> None:
    sampling = LearnedSampling(3, init_power=0.3)
    sampling.begin_epoch(COUNTS)
    raw = (COUNTS / COUNTS.sum()) ** -0.3
    torch.testing.assert_close(sampling.weights, raw / (raw.min() + raw.max()))
    sampling.step(torch.ones(3))
    learned = sampling.logits.clone()
    sampling.begin_epoch(COUNTS)
    assert torch.equal(sampling.logits, learned), "once learned, they stay"
    equal = LearnedSampling(3)
    equal.begin_epoch(COUNTS)
    assert equal.weights.tolist() == [0.5] * 3


def test_errors() -> None:
    with pytest.raises(UserInputError, match="init_power=-1 of the meta sampler must be 0 or more"):
        LearnedSampling(3, init_power=-1)
    with pytest.raises(UserInputError, match="the meta sampler does not know the epoch"):
        LearnedSampling(3).draw_noise(torch.tensor([0]))
