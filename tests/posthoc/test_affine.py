"""Adjustments that need no fit: against numpy and plain Python, and what they reduce to."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch
from sklearn.neighbors import NearestCentroid
from torch import Tensor

from lt_plugins.errors import UserInputError
from lt_plugins.posthoc import (
    AffineClassifier,
    accuracy_under_prior,
    class_priors,
    logit_adjustment,
    nearest_class_mean,
    normalize_features,
    prior_power,
    target_prior,
    tau_norm,
    temperature_scaling,
)

COUNTS = [500, 50, 5, 1]
NUM_CLASSES, CHANNELS = len(COUNTS), 6


def noise(*shape: int, seed: int = 0) -> Tensor:
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)


@pytest.fixture
def classifier() -> AffineClassifier:
    return AffineClassifier(noise(NUM_CLASSES, CHANNELS), noise(NUM_CLASSES, seed=1))


FEATURES = noise(50, CHANNELS, seed=2)


@pytest.mark.parametrize("tau", [0.0, 0.5, 1.0, 2.0])
def test_logit_adjustment_is_that_of_the_formula(classifier: AffineClassifier, tau: float) -> None:
    logits = logit_adjustment(classifier, COUNTS, tau).logits(FEATURES)
    plain = classifier.logits(FEATURES).tolist()
    for row, expected in zip(logits.tolist(), plain, strict=True):
        for value, logit, count in zip(row, expected, COUNTS, strict=True):
            assert value == pytest.approx(logit - tau * math.log(count / sum(COUNTS)), abs=1e-12)


def test_logit_adjustment_by_equal_counts_changes_no_prediction(classifier: AffineClassifier) -> None:
    adjusted = logit_adjustment(classifier, [7] * NUM_CLASSES, 2.0)
    difference = adjusted.logits(FEATURES) - classifier.logits(FEATURES)
    torch.testing.assert_close(difference, difference[:1, :1].expand_as(difference))


def test_an_empty_class_counts_as_the_rarest(classifier: AffineClassifier) -> None:
    adjusted = logit_adjustment(classifier, [500, 50, 5, 0])
    expected = logit_adjustment(classifier, [500, 50, 5, 5])
    torch.testing.assert_close(adjusted.bias, expected.bias)


def test_uniform_target_is_logit_adjustment(classifier: AffineClassifier) -> None:
    moved = target_prior(classifier, class_priors(COUNTS), [1.0] * NUM_CLASSES)
    adjusted = logit_adjustment(classifier, COUNTS)
    posterior = moved.logits(FEATURES).softmax(dim=1)
    torch.testing.assert_close(posterior, adjusted.logits(FEATURES).softmax(dim=1))


def test_target_prior_is_bayes_rule(classifier: AffineClassifier) -> None:
    source, target = [0.7, 0.2, 0.05, 0.05], [0.1, 0.2, 0.3, 0.4]
    before = classifier.logits(FEATURES).softmax(dim=1).numpy()
    expected = before * np.array(target) / np.array(source)
    expected /= expected.sum(axis=1, keepdims=True)
    moved = target_prior(classifier, source, target)
    np.testing.assert_allclose(moved.logits(FEATURES).softmax(dim=1).numpy(), expected, rtol=1e-12)
    back = target_prior(moved, target, source)
    torch.testing.assert_close(back.bias, classifier.bias)


def test_a_class_that_does_not_occur_is_not_predicted_and_finite(classifier: AffineClassifier) -> None:
    moved = target_prior(classifier, class_priors(COUNTS), [1, 1, 1, 0])
    assert moved.bias.isfinite().all()
    assert 3 not in moved.logits(FEATURES).argmax(dim=1)


@pytest.mark.parametrize("tau", [0.0, 0.3, 1.0, 2.0])
def test_tau_norm_is_that_of_the_formula(classifier: AffineClassifier, tau: float) -> None:
    weight, bias = tau_norm(classifier, tau)
    for row, expected in zip(weight.tolist(), classifier.weight.tolist(), strict=True):
        length = math.sqrt(sum(value**2 for value in expected))
        assert row == pytest.approx([value / length**tau for value in expected])
    assert not bias.any()


def test_tau_norm_reductions(classifier: AffineClassifier) -> None:
    torch.testing.assert_close(tau_norm(classifier, 0.0).weight, classifier.weight)
    torch.testing.assert_close(tau_norm(classifier, 1.0).weight.norm(dim=1), torch.ones(NUM_CLASSES).double())
    empty = AffineClassifier(classifier.weight * torch.tensor([1.0, 1, 1, 0])[:, None], classifier.bias)
    assert tau_norm(empty, 2.0).weight[3].tolist() == [0.0] * CHANNELS


@pytest.mark.parametrize("is_normalized", [False, True])
def test_nearest_class_mean_is_that_of_scikit_learn(is_normalized: bool) -> None:
    labels = torch.arange(60) % NUM_CLASSES
    features = noise(60, CHANNELS, seed=3) + 2 * noise(NUM_CLASSES, CHANNELS, seed=4)[labels]
    test = noise(200, CHANNELS, seed=5) * 2
    if is_normalized:
        centre = features.mean(dim=0)
        features, test = normalize_features(features, centre), normalize_features(test, centre)
        torch.testing.assert_close(features.norm(dim=1), torch.ones(60).double())
    reference = NearestCentroid().fit(features.numpy(), labels.numpy())
    found = nearest_class_mean(features, labels, NUM_CLASSES)
    torch.testing.assert_close(found.weight, torch.from_numpy(reference.centroids_))
    assert found.logits(test).argmax(dim=1).tolist() == reference.predict(test.numpy()).tolist()


def test_a_class_without_images_is_never_the_nearest() -> None:
    found = nearest_class_mean(FEATURES, torch.arange(50) % 2, 3)
    assert found.bias.half().isfinite().all()
    assert 2 not in found.logits(100 * FEATURES).argmax(dim=1)
    with pytest.raises(UserInputError, match=r"labels 0\.\.2 must be in 0\.\.1"):
        nearest_class_mean(FEATURES, torch.arange(50) % 3, 2)
    with pytest.raises(UserInputError, match=r"must be \(N, D\) and \(N,\)"):
        nearest_class_mean(FEATURES, torch.arange(49), 50)


def test_temperature_divides_the_logits(classifier: AffineClassifier) -> None:
    torch.testing.assert_close(temperature_scaling(classifier, 2.5).logits(FEATURES), classifier.logits(FEATURES) / 2.5)
    with pytest.raises(UserInputError, match="temperature=0 must be positive"):
        temperature_scaling(classifier, 0)


def test_accuracy_under_prior() -> None:
    """As counted on images drawn with these frequencies."""
    labels = torch.tensor([0, 0, 0, 0, 1, 1, 2, 2])
    correct = torch.tensor([1, 1, 1, 0, 1, 0, 0, 0]).double()
    recalls = [float(correct[labels == c].mean()) for c in range(3)]
    repeated = torch.cat([correct[:4], correct[4:6].repeat(2), correct[6:8].repeat(6)])  # 4, 4 and 12 images
    assert accuracy_under_prior(recalls, [0.2, 0.2, 0.6]) == pytest.approx(float(repeated.mean()))
    assert accuracy_under_prior([50.0, math.nan, 100.0], [1, 1, 1]) == pytest.approx(75.0)
    with pytest.raises(UserInputError, match="no class with a share has test images"):
        accuracy_under_prior([1.0, math.nan], [0, 1])
    with pytest.raises(UserInputError, match="2 recalls and 3 shares"):
        accuracy_under_prior([1.0, 1.0], [1, 1, 1])


@pytest.mark.parametrize("power", [-1.0, 0.0, 0.5, 1.0])
def test_prior_power_is_recovered(power: float) -> None:
    assert prior_power(class_priors(COUNTS) ** power, COUNTS) == pytest.approx(power)


def test_prior_power_of_a_balanced_set() -> None:
    assert prior_power([0.25] * 4, [9] * 4) == 1.0


def test_sizes_and_priors_are_checked(classifier: AffineClassifier) -> None:
    with pytest.raises(UserInputError, match=r"counts of shape \(3,\) does not fit weights of 4"):
        logit_adjustment(classifier, [1, 2, 3])
    for bad in (torch.tensor([1.0, -1, 1, 1]), [math.nan, 1, 1, 1], [0.0] * 4, torch.ones(1, 1)):
        with pytest.raises(UserInputError, match=r"target .* must be one share a class"):
            target_prior(classifier, class_priors(COUNTS), bad)
