"""Methods under their one signature: what they read, in which order they adjust, and where one steps in for another."""

from __future__ import annotations

import dataclasses

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor

from lt_plugins.errors import UserInputError
from lt_plugins.posthoc import (
    AffineClassifier,
    LabelledFeatures,
    TrainedClassifier,
    bbse_prior,
    check_prior_of,
    class_priors,
    em_prior,
    fit_temperature,
    joint_confusion,
    target_prior,
    temperature_scaling,
)
from lt_plugins.posthoc.methods import METHODS

COUNTS = torch.tensor([600, 250, 100, 50])
PRIORS = class_priors(COUNTS)
MEANS = 2 * torch.eye(4, dtype=torch.float64)
EXACT = AffineClassifier(MEANS, -MEANS.square().sum(dim=1) / 2 + PRIORS.log())
"""The classifier of Bayes for unit Gaussians around ``MEANS``."""
SURE = AffineClassifier(3 * EXACT.weight, 3 * EXACT.bias)


def draw(prior: list[float], size: int, seed: int) -> LabelledFeatures:
    generator = torch.Generator().manual_seed(seed)
    labels = torch.multinomial(torch.tensor(prior), size, replacement=True, generator=generator)
    return LabelledFeatures(MEANS[labels] + torch.randn(size, 4, generator=generator, dtype=torch.float64), labels)


TEST = draw([0.1, 0.2, 0.3, 0.4], 4000, 0)
TRAINED = TrainedClassifier(
    SURE, COUNTS, PRIORS, train=draw(PRIORS.tolist(), 2000, 1), held_out=draw([0.25] * 4, 4000, 2), unlabelled=TEST[0]
)


def accuracy(logits: Tensor) -> float:
    return float((logits.argmax(dim=1) == TEST.labels).double().mean())


@pytest.mark.parametrize("name", ["em", "bbse"])
def test_a_test_prior_makes_up_for_what_changed(name: str) -> None:
    """Of a network that is three times too sure: calibrated first, it is as good as Bayes' rule with the truth."""
    adjusted = METHODS[name].fit(TRAINED, METHODS[name].default)
    best = accuracy(target_prior(EXACT, PRIORS, [0.1, 0.2, 0.3, 0.4]).logits(TEST.features))
    assert accuracy(adjusted.logits(TEST.features)) == pytest.approx(best, abs=0.005)
    assert best > accuracy(SURE.logits(TEST.features)) + 0.05
    assert "T = 3.0" in adjusted.note or "T = 2.9" in adjusted.note


def test_em_calibrates_under_the_prior_that_the_model_answers_for() -> None:
    assert TRAINED.held_out is not None
    temperature = fit_temperature(SURE.logits(TRAINED.held_out.features), TRAINED.held_out.labels, PRIORS)
    calibrated = temperature_scaling(SURE, temperature)
    prior = em_prior(calibrated.logits(TEST.features), PRIORS).prior
    expected = target_prior(calibrated, PRIORS, prior)
    torch.testing.assert_close(METHODS["em"].fit(TRAINED, 1.0).classifier.bias, expected.bias)


def test_bbse_gives_way_to_em_where_a_class_is_never_predicted() -> None:
    silent = SURE._replace(bias=SURE.bias - torch.tensor([0.0, 0, 0, 1e4]))
    trained = dataclasses.replace(TRAINED, classifier=silent)
    found = METHODS["bbse"].fit(trained, 1e-6)
    assert "by EM instead" in found.note
    torch.testing.assert_close(found.classifier.bias, METHODS["em"].fit(trained, 1.0).classifier.bias)
    held_out = trained.held_out
    assert held_out is not None
    confusion = joint_confusion(silent.logits(held_out.features).softmax(dim=1), held_out.labels, PRIORS)
    assert bbse_prior(confusion, torch.full((4,), 0.25), PRIORS).condition > 1e6


def test_temperature_takes_the_held_out_images_as_they_are() -> None:
    held_out = draw(PRIORS.tolist(), 4000, 3)
    found = METHODS["temperature"].fit(dataclasses.replace(TRAINED, held_out=held_out), 1.0)
    ratio = float(SURE.weight[0, 0] / found.classifier.weight[0, 0])
    assert ratio == pytest.approx(fit_temperature(SURE.logits(held_out.features), held_out.labels))
    assert ratio == pytest.approx(3.0, rel=0.1)


def test_ncm_of_features_and_of_directions() -> None:
    """Centred and normalised; features that are directions already are taken as they are."""
    train = TRAINED.train
    assert train is not None
    plain = METHODS["ncm"].fit(TRAINED, 1.0)
    torch.testing.assert_close(plain.centre, train.features.mean(dim=0))
    directions = F.normalize(train.features)
    unit = dataclasses.replace(TRAINED, has_unit_features=True, train=LabelledFeatures(directions, train.labels))
    found = METHODS["ncm"].fit(unit, 1.0)
    assert found.centre is not None and not found.centre.any()
    torch.testing.assert_close(found.classifier.weight[0], directions[train.labels == 0].mean(dim=0))
    assert METHODS["tau-norm"].fit(unit, 1.0).centre is not None, "of the directions too"
    assert METHODS["tau-norm"].fit(TRAINED, 1.0).centre is None


def test_a_prior_is_taken_out_once() -> None:
    even = dataclasses.replace(TRAINED, prior=torch.full((4,), 0.25))
    assert even.is_balanced and not TRAINED.is_balanced
    for name in METHODS:
        check_prior_of(name, TRAINED)
        if name == "logit-adjustment":
            with pytest.raises(UserInputError, match="would favour rare classes"):
                check_prior_of(name, even)
        else:
            check_prior_of(name, even)


@pytest.mark.parametrize("name", ["ncm", "temperature", "em", "bbse"])
def test_what_is_missing_is_named(name: str) -> None:
    with pytest.raises(UserInputError, match="this method needs"):
        METHODS[name].fit(TrainedClassifier(SURE, COUNTS, PRIORS), 1.0)
