"""Our metrics take the predictions of a batch as a whole, others one dict an image, and all numbers are the same."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import pytest
import torch
from mmengine.evaluator import BaseMetric, Evaluator
from mmengine.runner import Runner
from mmpretrain.evaluation import Accuracy
from mmpretrain.structures import DataSample

from lt_plugins.errors import UserInputError
from lt_plugins.evaluation.batch_evaluator import BatchEvaluator
from lt_plugins.evaluation.calibration_error import CalibrationError
from lt_plugins.evaluation.shot_accuracy import ShotAccuracy
from lt_plugins.models.structures import LabelBatch
from lt_plugins.runs.quiet_runner import QuietRunner
from tests.small_runs import MakeRunner

from .samples import make_scores

SIZE, COUNTS = 23, [200, 50, 30, 10, 5]


class Keep(BaseMetric):
    """A metric of somebody else that keeps what it is given."""

    def process(self, data_batch: Any, data_samples: Sequence[Any]) -> None:
        """Keep."""
        self.results.append((data_batch, data_samples))

    def compute_metrics(self, results: list[Any]) -> dict[str, float]:
        """Number of batches."""
        return {"batches": float(len(results))}


def batches(from_tensors: bool, size: int = 5) -> list[LabelBatch]:
    scores, label = make_scores(SIZE, len(COUNTS))
    given = LabelBatch(label, sample_idx=torch.arange(SIZE), pred_score=scores)
    if not from_tensors:
        samples = [DataSample(metainfo={"sample_idx": i}).set_gt_label(int(y)) for i, y in enumerate(label)]
        given = LabelBatch.from_samples(samples).with_predictions(scores)
    return [given[start : start + size] for start in range(0, SIZE, size)]


def metrics() -> list[BaseMetric]:
    return [ShotAccuracy((1, 2), class_counts=COUNTS), CalibrationError(), Accuracy(topk=(1, 3))]


@pytest.mark.parametrize("from_tensors", [True, False])
def test_numbers_are_those_of_mmengines_evaluator(from_tensors):
    results = []
    for evaluator in (Evaluator(metrics()), BatchEvaluator(metrics())):
        for batch in batches(from_tensors):
            evaluator.process(batch)
        results.append(evaluator.evaluate(SIZE))
    assert results[0] == results[1]
    assert {"shot/accuracy_top1", "calibration/ece", "accuracy/top3"} <= set(results[0])


def test_no_image_is_looked_at_for_our_metrics():
    evaluator, given = BatchEvaluator(metrics()[:2]), batches(from_tensors=True)
    for batch in given:
        evaluator.process(batch)
    assert not any(batch._built for batch in given)


def test_other_metrics_get_what_mmengine_gives_them():
    kept, theirs = Keep(), Keep()
    BatchEvaluator([CalibrationError(), kept]).process(batches(from_tensors=True)[0], {"inputs": 1})
    Evaluator([theirs]).process(list(batches(from_tensors=True)[0]), {"inputs": 1})
    (data, found), (other_data, expected) = kept.results[0], theirs.results[0]
    assert data == other_data == {"inputs": 1}
    for one, other in zip(found, expected, strict=True):
        assert isinstance(one, dict) and one.keys() == other.keys()
        assert all(torch.equal(torch.as_tensor(one[key]), torch.as_tensor(other[key])) for key in one)


def test_lists_of_samples_are_taken():
    results = []
    for as_list in (True, False):
        evaluator = BatchEvaluator(metrics())
        for batch in batches(from_tensors=False):
            evaluator.process(list(batch) if as_list else batch)
        results.append(evaluator.evaluate(SIZE))
    assert results[0] == results[1]


@pytest.mark.parametrize(
    ("batch", "message"),
    [
        (LabelBatch(torch.tensor([1, 0])), r"needs the class scores, but the model gives only \['gt_label'\]"),
        (LabelBatch(pred_score=torch.eye(2)), "exactly one gt_label a sample, got None"),
    ],
)
def test_incomplete_predictions_are_one_line(batch, message):
    with pytest.raises(UserInputError, match=message):
        BatchEvaluator(CalibrationError()).process(batch)


def test_the_runner_of_the_tools_has_it_and_mmengines_gives_the_same(make_runner: MakeRunner) -> None:
    """Labels, scores and positions come through the whole test of a model, with either runner."""
    shots = dict(type="ShotAccuracy", topk=(1, 2), class_counts=[200] * 5 + [5] * 5)
    ours = make_runner(test_evaluator=[shots, dict(type="Accuracy")])
    assert isinstance(ours, QuietRunner) and type(ours.test_evaluator) is BatchEvaluator
    cfg = ours.cfg.copy()
    cfg.experiment_name += "_plain"
    theirs = Runner.from_cfg(cfg)
    assert type(theirs.test_evaluator) is Evaluator
    theirs.model.load_state_dict(ours.model.state_dict())
    assert ours.test() == theirs.test()
