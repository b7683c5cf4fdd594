"""Metrics as functions: of tensors and arrays, against loops and against the metric classes."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from lt_plugins.errors import UserInputError
from lt_plugins.evaluation.functional import (
    class_accuracy,
    expected_calibration_error,
    label_ranks,
    mean_class_accuracies,
    shot_accuracy,
    topk_accuracy,
)
from lt_plugins.evaluation.shot_accuracy import ShotAccuracy

from .samples import feed, make_scores, reference, reference_ece

COUNTS = [500, 101, 100, 50, 20, 19, 1]


@pytest.mark.parametrize("convert", [lambda x: x, np.asarray, lambda x: x.tolist()], ids=["tensor", "array", "list"])
def test_shot_accuracy_equals_the_loops_and_the_metric(convert) -> None:
    scores, labels = make_scores(200, 7)
    found = shot_accuracy(convert(scores), convert(labels), COUNTS, topk=(1, 3))
    assert found == pytest.approx(reference(scores, labels, COUNTS, (1, 3)), rel=1e-12)
    metric = ShotAccuracy(topk=(1, 3), class_counts=COUNTS)
    feed(metric, scores, labels, range(200))
    assert metric.evaluate(200) == {f"shot/{name}": value for name, value in found.items()}


def test_thresholds_and_unknown_counts() -> None:
    scores, labels = make_scores(200, 7)
    expected = reference(scores, labels, COUNTS, (1,), many=40, few=30)
    assert shot_accuracy(scores, labels, COUNTS, many_threshold=40, few_threshold=30) == pytest.approx(expected)
    del expected["many"], expected["few"]
    assert shot_accuracy(scores, labels) == pytest.approx(expected)


def test_logits_give_what_probabilities_give() -> None:
    scores, labels = make_scores(50, 4)
    assert shot_accuracy(scores.log().half(), labels, topk=2) == shot_accuracy(
        scores.log().half().double(), labels, topk=2
    )


def test_ranks_of_equal_scores() -> None:
    scores = torch.tensor([[0.5, 0.5, 0.0]]).repeat(3, 1)
    assert label_ranks(scores, torch.tensor([0, 1, 2])).tolist() == [0, 1, 2]


def test_a_class_without_samples_is_left_out() -> None:
    accuracy = class_accuracy(torch.tensor([True, False, True]), torch.tensor([0, 0, 2]), 3)
    assert accuracy == pytest.approx([50, np.nan, 100], nan_ok=True)
    assert mean_class_accuracies(accuracy)["balanced"] == 75
    assert mean_class_accuracies(accuracy, np.array(["many", "few", "many"])).keys() == {
        "many", "balanced", "geometric_mean", "harmonic_mean",
    }  # fmt: skip


def test_calibration_takes_tensors_with_gradient() -> None:
    scores, labels = make_scores(100, 5)
    confidence, predicted = scores.requires_grad_().max(dim=1)
    expected = reference_ece(confidence.tolist(), (predicted == labels).tolist(), 15)
    assert expected_calibration_error(confidence, predicted == labels) == pytest.approx(expected)
    low = confidence.bfloat16()
    assert expected_calibration_error(low, predicted == labels) == expected_calibration_error(
        low.tolist(), (predicted == labels).tolist()
    )


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ((torch.zeros(2, 3), torch.tensor([0, 3])), r"labels 0\.\.3, but the model scores 3 classes"),
        ((torch.zeros(2, 3), torch.tensor([0])), r"scores of shape \(2, 3\) and labels of shape \(1,\)"),
        ((torch.zeros(2), torch.tensor([0, 1])), r"scores of shape \(2,\) .* must be \(N, C\) and \(N,\)"),
        ((torch.zeros(2, 3), torch.tensor([0.0, 1.0])), "one integer a sample"),
        ((torch.full((1, 3), torch.nan), torch.tensor([0])), "not finite"),
        ((torch.zeros(0, 3), torch.zeros(0, dtype=torch.int64)), "at least one sample"),
        ((torch.zeros(1, 3), torch.tensor([0]), [3, 2]), r"class counts of shape \(2,\) do not fit"),
        ((torch.zeros(1, 3), torch.tensor([0]), None, 4), r"topk=\(4,\) exceeds the 3 classes"),
        ((torch.zeros(1, 3), torch.tensor([0]), None, ()), r"topk=\(\) must hold numbers"),
        ((torch.zeros(1, 3), torch.tensor([0]), [3, 2, 1], 1, 5), "few_threshold=20 and many_threshold=5"),
    ],
)
def test_what_does_not_fit_is_refused(arguments: tuple, message: str) -> None:
    with pytest.raises(UserInputError, match=message):
        shot_accuracy(*arguments)


def test_topk_of_ranks() -> None:
    assert topk_accuracy([0, 1, 4, 0], (1, 2), 5) == {"accuracy_top1": 50.0, "accuracy_top2": 75.0}
