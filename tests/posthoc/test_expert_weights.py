"""Test-time weights of experts: a slow loop with gradients by differences, and what they do on shifted test sets."""

from __future__ import annotations

import math

import pytest
import torch
from torch import Tensor

from lt_plugins.errors import UserInputError
from lt_plugins.models.losses import BalPoELoss
from lt_plugins.posthoc import (
    AffineClassifier,
    ExpertViews,
    TrainedClassifier,
    check_experts_of,
    fit_expert_weights,
    target_prior,
    view_similarity,
    weigh_experts,
)
from lt_plugins.posthoc.methods import METHODS

MEANS = 2 * torch.eye(4, dtype=torch.float64)
HEAD, TAIL = [0.55, 0.3, 0.1, 0.05], [0.05, 0.1, 0.3, 0.55]


def slow_softmax(row: list[float]) -> list[float]:
    total = math.fsum(math.exp(value) for value in row)
    return [math.exp(value) / total for value in row]


def slow_similarity(first: list[list[float]], second: list[list[float]], u: list[float]) -> float:
    """Cosine for one image, expert by expert and class by class."""
    weights = slow_softmax(u)
    predictions = []
    for experts in (first, second):
        mixed = [sum(a * row[c] for a, row in zip(weights, experts, strict=True)) for c in range(len(experts[0]))]
        predictions.append(slow_softmax(mixed))
    dot = math.fsum(p * q for p, q in zip(*predictions, strict=True))
    return dot / math.prod(math.sqrt(math.fsum(p * p for p in one)) for one in predictions)


def slow_fit(first: Tensor, second: Tensor, order: list[list[int]], lr: float, decay: float) -> list[float]:
    """SGD with Nesterov momentum in lists; gradients by central differences."""
    u = [1 / first.shape[1]] * first.shape[1]
    velocity: list[float] | None = None
    for batch in order:

        def objective(values: list[float], batch: list[int] = batch) -> float:
            images = [slow_similarity(first[i].tolist(), second[i].tolist(), values) for i in batch]
            return -sum(images) / len(images)

        gradient = []
        for k in range(len(u)):
            up, down = ([value + step * (j == k) for j, value in enumerate(u)] for step in (1e-5, -1e-5))
            gradient.append((objective(up) - objective(down)) / 2e-5 + decay * u[k])
        velocity = gradient if velocity is None else [0.9 * v + g for v, g in zip(velocity, gradient, strict=True)]
        u = [value - lr * (g + 0.9 * v) for value, g, v in zip(u, gradient, velocity, strict=True)]
    return slow_softmax(u)


def test_equals_the_slow_loop() -> None:
    generator = torch.Generator().manual_seed(0)
    first, second = (2 * torch.randn(10, 3, 4, generator=generator, dtype=torch.float64) for _ in range(2))
    generator = torch.Generator().manual_seed(5)
    order = [rows.tolist() for _ in range(2) for rows in torch.randperm(10, generator=generator).split(4)]
    found = fit_expert_weights(first, second, lr=0.5, weight_decay=0.01, batch_size=4, max_epochs=2, seed=5)
    assert found.weights.tolist() == pytest.approx(slow_fit(first, second, order, 0.5, 0.01), abs=1e-8)
    for weights, expected in (([1 / 3] * 3, found.similarities[0]), (found.weights.tolist(), found.similarities[-1])):
        u = [math.log(weight) for weight in weights]
        slow = sum(slow_similarity(first[i].tolist(), second[i].tolist(), u) for i in range(10)) / 10
        assert slow == pytest.approx(expected, rel=1e-9)


def experts_on(prior: list[float], size: int = 1000) -> tuple[Tensor, Tensor, Tensor]:
    """Two noisy views of images, by Bayes classifiers for head-heavy, even and tail-heavy classes; and the labels."""
    generator = torch.Generator().manual_seed(1)
    labels = torch.multinomial(torch.tensor(prior), size, replacement=True, generator=generator)
    points = MEANS[labels] + 0.8 * torch.randn(size, 4, generator=generator, dtype=torch.float64)
    priors = torch.tensor([HEAD, [0.25] * 4, TAIL], dtype=torch.float64)
    views = []
    for _ in range(2):
        view = points + 0.6 * torch.randn(size, 4, generator=generator, dtype=torch.float64)
        scores = view @ MEANS.T - MEANS.square().sum(dim=1) / 2
        views.append(scores[:, None] + 2 * priors.log())
    return views[0], views[1], labels


@pytest.mark.parametrize(("prior", "best"), [(HEAD, 0), (TAIL, 2)])
def test_the_expert_for_the_classes_of_the_test_set_gains(prior: list[float], best: int) -> None:
    first, second, labels = experts_on(prior)
    found = fit_expert_weights(first, second, lr=0.2, batch_size=32)
    assert int(found.weights.argmax()) == best
    assert found.similarities[-1] > found.similarities[0]

    def accuracy(weights: Tensor) -> float:
        return float((torch.einsum("k,mkc->mc", weights, first).argmax(dim=1) == labels).double().mean())

    assert accuracy(found.weights) > accuracy(torch.full((3,), 1 / 3, dtype=torch.float64)) + 0.01


def test_it_stops_after_the_epoch_in_which_an_expert_is_left_out() -> None:
    """A weight that rounds to less than 0.05 ends it; without the rule it goes on, from the same weights."""
    first, second, _ = experts_on(HEAD)
    stopped = fit_expert_weights(first, second, lr=1.0, batch_size=32)
    assert len(stopped.similarities) - 1 < 5
    assert round(float(stopped.weights.min()), 2) < 0.05
    free = fit_expert_weights(first, second, lr=1.0, batch_size=32, min_weight=0.0)
    assert len(free.similarities) - 1 == 5
    epochs = len(stopped.similarities) - 1
    assert free.similarities[: epochs + 1] == stopped.similarities
    same = fit_expert_weights(first, second, lr=1.0, batch_size=32, max_epochs=epochs, min_weight=0.0)
    assert torch.equal(same.weights, stopped.weights)


def test_one_expert_and_equal_experts_keep_equal_weights() -> None:
    first, second, _ = experts_on(TAIL, 200)
    assert fit_expert_weights(first[:, :1], second[:, :1]).weights.tolist() == [1.0]
    equal = fit_expert_weights(first[:, :1].expand(-1, 3, -1), second[:, :1].expand(-1, 3, -1))
    assert equal.weights.tolist() == pytest.approx([1 / 3] * 3, abs=1e-6)


def test_the_same_view_twice_is_perfectly_stable() -> None:
    first, _, _ = experts_on(TAIL, 50)
    weights = torch.tensor([0.2, 0.3, 0.5], dtype=torch.float64)
    torch.testing.assert_close(view_similarity(first, first, weights), torch.ones(50, dtype=torch.float64))


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16])
def test_half_precision_logits_are_computed_with_in_float32(dtype: torch.dtype) -> None:
    first, second, _ = experts_on(TAIL, 200)
    half = fit_expert_weights(first.to(dtype), second.to(dtype))
    single = fit_expert_weights(first.to(dtype).float(), second.to(dtype).float())
    assert torch.equal(half.weights, single.weights)


@pytest.mark.parametrize(
    ("shapes", "settings", "message"),
    [
        (((5, 3, 4), (5, 2, 4)), {}, r"shapes \(5, 3, 4\) and \(5, 2, 4\) must be \(M, K, C\)"),
        (((0, 3, 4), (0, 3, 4)), {}, "at least one image"),
        (((5, 3, 4), (5, 3, 4)), {"lr": 0}, "lr=0, weight_decay"),
        (((5, 3, 4), (5, 3, 4)), {"max_epochs": 0}, "max_epochs=0 must be positive"),
    ],
)
def test_mistakes_are_refused(shapes: tuple, settings: dict, message: str) -> None:
    with pytest.raises(UserInputError, match=message):
        fit_expert_weights(torch.zeros(shapes[0]), torch.zeros(shapes[1]), **settings)


def test_weighed_experts_are_their_weighted_mean() -> None:
    """Of three experts with biases, as one affine classifier of their features one behind the other."""
    generator = torch.Generator().manual_seed(2)
    weights, biases = (torch.randn(*shape, generator=generator).double() for shape in ((3, 4, 6), (3, 4)))
    features = torch.randn(5, 3, 6, generator=generator).double()
    shares = torch.tensor([0.7, 0.1, 0.2], dtype=torch.float64)
    mean = AffineClassifier(torch.cat([*(weights / 3)], dim=1), biases.mean(dim=0))
    logits = torch.einsum("kcd,nkd->nkc", weights, features) + biases
    found = weigh_experts(mean, biases, shares).logits(features.flatten(1))
    torch.testing.assert_close(found, torch.einsum("k,nkc->nc", shares, logits))
    torch.testing.assert_close(weigh_experts(mean, biases, torch.ones(3).double() / 3), mean)
    with pytest.raises(UserInputError, match=r"2 weights and biases of shape \(3, 4\) do not fit"):
        weigh_experts(mean, biases, torch.ones(2) / 2)


def test_the_method_answers_by_the_fitted_weights_and_says_them() -> None:
    first, second, _ = experts_on(TAIL)
    zeros = torch.zeros(3, 4, dtype=torch.float64)
    mean = AffineClassifier(torch.eye(4, dtype=torch.float64).repeat(1, 3) / 3, zeros[0])  # the logits are the features
    views = ExpertViews(first, second, zeros, lr=0.2, weight_decay=1e-3)
    trained = TrainedClassifier(mean, torch.tensor([9, 5, 2, 1]), torch.ones(4) / 4, num_experts=3, views=views)
    weights = fit_expert_weights(first, second, lr=0.2, weight_decay=1e-3).weights
    adjusted = METHODS["expert-weights"].fit(trained, 1.0)
    expected = torch.einsum("k,mkc->mc", weights, first)
    torch.testing.assert_close(adjusted.logits(first.flatten(1)), expected)
    assert " ".join(f"{weight:.2f}" for weight in weights.tolist()) in adjusted.note


def test_a_single_classifier_has_no_experts_to_weigh() -> None:
    single = TrainedClassifier(AffineClassifier(MEANS, MEANS[0]), torch.tensor([9, 5, 2, 1]), torch.ones(4) / 4)
    with pytest.raises(UserInputError, match="expert-weights weighs the experts of a model"):
        check_experts_of("expert-weights", single)
    check_experts_of("em", single)


def test_a_known_test_prior_after_balpoe() -> None:
    """Its mean of logits answers for a uniform prior, so the logarithm of the known one is all that is added."""
    counts, known = torch.tensor([90, 30, 10, 3]), torch.tensor(TAIL, dtype=torch.float64)
    loss = BalPoELoss((0, 1, 2))
    loss.class_distribution.set_counts(counts)
    prior = loss.trained_prior(counts.double() / counts.sum())
    classifier = AffineClassifier(MEANS, MEANS[1])
    adjusted = target_prior(classifier, prior, known)
    change = adjusted.bias - classifier.bias - known.log()
    torch.testing.assert_close(change, change[0].expand(4), rtol=0, atol=1e-12)
