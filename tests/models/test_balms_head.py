"""BALMS: meta-gradient of the sampling weights against a graph through the step, and what a step moves."""

from __future__ import annotations

import copy
from pathlib import Path
from typing import Any

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor

from lt_plugins.errors import UserInputError
from lt_plugins.models.heads import BALMSHead
from lt_plugins.models.structures import LabelBatch
from lt_plugins.models.structures.learned_sampling import LearnedSampling
from tests.gloo import run_gloo

CHANNELS, COUNTS = 4, [6, 3, 1]
LABELS = torch.tensor([0, 1, 0, 2, 2, 1, 0, 1])  # four drawn images, four of the meta set


def numbers(*shape: int, seed: int) -> Tensor:
    return torch.randn(*shape, dtype=torch.float64, generator=torch.Generator().manual_seed(seed))


FEATURES = numbers(8, CHANNELS, seed=1)
NOISE = numbers(4, 10, seed=2).exp()  # of every image in every draw, as exp(g)
ROWS = [0, 6, 4, 9]  # the drawn ones


def make(**settings: Any) -> tuple[BALMSHead, torch.optim.SGD]:
    """A head and an optimiser that has taken a step."""
    head = BALMSHead(3, CHANNELS, **settings).double().train()
    head.loss_module.class_distribution.set_counts(COUNTS)
    for place, parameter in enumerate(head.parameters()):
        parameter.data.copy_(numbers(*parameter.shape, seed=10 + place))
    optimizer = torch.optim.SGD(head.parameters(), lr=0.4, momentum=0.9, weight_decay=0.01)
    head.fc(FEATURES).square().mean().backward()
    optimizer.step()
    optimizer.zero_grad()
    head.set_optimizer(optimizer)
    head.sampling.logits.copy_(torch.tensor([0.3, -0.2, 0.7]))
    head.set_epoch(3, 10)
    return head, optimizer


def given_noise(rows: slice = slice(None)) -> tuple[Tensor, Tensor]:
    """The noise as the head draws it."""
    classes = torch.repeat_interleave(torch.arange(3), torch.tensor(COUNTS))
    sums = torch.stack([NOISE[:, classes == c].sum(dim=1) for c in range(3)], dim=1)
    return NOISE[torch.arange(4), torch.tensor(ROWS)][rows], sums[rows]


def test_meta_gradient_is_that_through_the_step(monkeypatch: pytest.MonkeyPatch) -> None:
    """The released algorithm with its (draw, image) matrix, a graph through SGD with momentum and weight decay."""
    head, optimizer = make()
    monkeypatch.setattr(LearnedSampling, "draw_noise", lambda self, labels: given_noise())
    classes = torch.repeat_interleave(torch.arange(3), torch.tensor(COUNTS))
    logits = head.sampling.logits.clone().requires_grad_()
    soft = F.softmax(torch.sigmoid(logits)[classes].log() + NOISE.log(), dim=1)
    hard = F.one_hot(torch.tensor(ROWS), 10) - soft.detach() + soft
    weight, bias = head.fc.weight, head.fc.bias
    adjusted = F.linear(FEATURES[:4], weight, bias) + torch.tensor(COUNTS, dtype=torch.float64).log()
    losses = F.cross_entropy(adjusted, LABELS[:4], reduction="none")
    inner = (losses[:, None] * hard.detach() * hard).sum(dim=1).mean()
    ahead = []
    for parameter, gradient in zip(
        (weight, bias), torch.autograd.grad(inner, (weight, bias), create_graph=True), strict=True
    ):
        velocity = 0.9 * optimizer.state[parameter]["momentum_buffer"] + gradient + 0.01 * parameter
        ahead.append(parameter - 0.4 * velocity)
    (expected,) = torch.autograd.grad(F.cross_entropy(F.linear(FEATURES[4:], *ahead), LABELS[4:]), logits)
    torch.testing.assert_close(head.sampling_gradient(FEATURES, LABELS), expected, rtol=1e-10, atol=1e-14)
    assert float(expected.abs().max()) > 1e-5


def test_a_step_learns_and_the_loss_is_balanced_softmax_of_the_drawn_images() -> None:
    head, _ = make()
    twin = copy.deepcopy(head)
    twin.set_optimizer(torch.optim.SGD(twin.parameters(), lr=0.4))
    loss = head.loss((FEATURES,), LabelBatch(LABELS))["loss"]
    expected = head.loss_module(head.fc(FEATURES[:4]), LABELS[:4])
    assert torch.equal(loss, expected)
    assert int(head.sampling.num_steps) == 1
    assert not torch.equal(head.sampling.logits, twin.sampling.logits)
    assert torch.equal(head.sampling.drawn, twin.sampling.drawn), "the draws of this epoch follow the weights before"
    twin.repeats_batch = True
    twin.loss((FEATURES,), LabelBatch(LABELS))
    assert int(twin.sampling.num_steps) == 0


def test_meta_batches_of_several_parts() -> None:
    head, _ = make(num_meta_parts=3)
    loss = head.loss((FEATURES,), LabelBatch(LABELS))["loss"]
    assert torch.equal(loss, head.loss_module(head.fc(FEATURES[:2]), LABELS[:2]))


def gradient_of_rank() -> Tensor:
    rank = torch.distributed.get_rank()
    own = slice(rank * 2, rank * 2 + 2)
    head, _ = make()
    LearnedSampling.draw_noise = lambda self, labels: given_noise(own)  # type: ignore[method-assign]
    rows = torch.arange(8).view(2, 2, 2)[:, rank].flatten()
    return head.sampling_gradient(FEATURES[rows], LABELS[rows])


def test_two_processes_equal_one(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    head, _ = make()
    monkeypatch.setattr(LearnedSampling, "draw_noise", lambda self, labels: given_noise())
    expected = head.sampling_gradient(FEATURES, LABELS)
    for actual in run_gloo(gradient_of_rank, folder=tmp_path):
        torch.testing.assert_close(actual, expected, rtol=1e-12, atol=1e-15)


def test_prior_of_the_logits_follows_the_draws() -> None:
    head, _ = make()
    natural = torch.tensor(COUNTS, dtype=torch.float64) / 10
    torch.testing.assert_close(head.trained_prior(natural), torch.sigmoid(head.sampling.logits) / 10)


def test_errors() -> None:
    with pytest.raises(UserInputError, match="num_meta_parts=0 must be 1 or more"):
        BALMSHead(3, CHANNELS, num_meta_parts=0)
    with pytest.raises(
        UserInputError, match="BALMSHead weighs the loss of each image, which CrossEntropyLoss does not"
    ):
        BALMSHead(3, CHANNELS, loss={"type": "CrossEntropyLoss"})
    with pytest.raises(UserInputError, match="the class counts are not known yet"):
        BALMSHead(3, CHANNELS).set_epoch(0, 10)
