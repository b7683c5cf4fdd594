"""Open-set F-measure: image by image, its limits, and refused input."""

from __future__ import annotations

import pytest
import torch

from lt_plugins.errors import UserInputError
from lt_plugins.evaluation.open_set import open_set_f_measure


def slow(scores: list[list[float]], labels: list[int], threshold: float) -> dict[str, float]:
    """Each image is one of the cases of the docstring."""
    true_positive = false_positive = false_negative = rejected = 0
    for row, label in zip(scores, labels, strict=True):
        predicted = row.index(max(row)) if max(row) >= threshold else -1
        if label >= 0:
            true_positive += predicted == label
            false_positive += predicted != label
        else:
            false_negative += predicted != -1
            rejected += predicted == -1
    precision = true_positive / (true_positive + false_positive)
    recall = true_positive / (true_positive + false_negative)
    return {
        "f_measure": 100 * 2 * precision * recall / (precision + recall),
        "precision": 100 * precision,
        "recall": 100 * recall,
        "rejected": 100 * rejected / (rejected + false_negative),
    }


@pytest.mark.parametrize("threshold", [0.1, 0.4, 0.6])
def test_it_counts_image_by_image(threshold: float) -> None:
    generator = torch.Generator().manual_seed(0)
    labels = torch.randint(-1, 4, (200,), generator=generator)
    hint = 2.0 * torch.nn.functional.one_hot(labels.clamp(min=0), 4) * (labels >= 0)[:, None]
    scores = (torch.randn(200, 4, generator=generator, dtype=torch.float64) + hint).softmax(dim=1)
    found = open_set_f_measure(scores, labels, threshold)
    assert found == pytest.approx(slow(scores.tolist(), labels.tolist(), threshold))


def test_without_unknown_images_precision_is_the_accuracy() -> None:
    scores, labels = torch.eye(4)[[0, 1, 2, 0]], torch.tensor([0, 1, 2, 3])
    found = open_set_f_measure(scores, labels)
    assert found == {"f_measure": pytest.approx(600 / 7), "precision": 75.0, "recall": 100.0, "rejected": 0.0}


def test_a_classifier_that_rejects_everything_has_nothing() -> None:
    found = open_set_f_measure(torch.full((3, 4), 0.25), torch.tensor([0, 1, -1]), threshold=0.3)
    assert found == {"f_measure": 0.0, "precision": 0.0, "recall": 0.0, "rejected": 100.0}


def test_what_does_not_fit_is_refused() -> None:
    labels = torch.tensor([0, -1])
    for scores, bad, message in (
        (torch.rand(3, 4), labels, r"scores \(3, 4\) and labels \(2,\)"),
        (torch.rand(2, 4), torch.tensor([-1, -1]), "all 2 labels are -1"),
        (torch.rand(2, 4), torch.tensor([-2, 3]), r"labels -2\.\.3 must be -1 or in 0\.\.3"),
        (torch.rand(2, 4), torch.tensor([4, 3]), r"labels 3\.\.4 must be -1 or in 0\.\.3"),
        (torch.full((2, 4), 3.0), labels, "must be probabilities"),
    ):
        with pytest.raises(UserInputError, match=message):
            open_set_f_measure(scores, bad)
