from __future__ import annotations

import json
import logging
from pathlib import Path

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from mmengine.logging import MMLogger
from mmpretrain.registry import METRICS

from lt_plugins.errors import UserInputError
from lt_plugins.evaluation.class_table import ClassTable
from lt_plugins.evaluation.predictions import Predictions
from lt_plugins.evaluation.shot_accuracy import ShotAccuracy

from .samples import feed, make_scores, reference

COUNTS = [500, 101, 100, 50, 20, 19, 1]


def evaluate(metric: ShotAccuracy, scores: torch.Tensor, label: torch.Tensor) -> dict[str, float]:
    feed(metric, scores, label, range(len(label)))
    return metric.evaluate(len(label))


def test_equals_the_loops_and_names_every_number() -> None:
    scores, label = make_scores(200, 7)
    metric = METRICS.build({"type": "ShotAccuracy", "topk": (1, 3), "class_counts": COUNTS})
    result = evaluate(metric, scores, label)
    expected = reference(scores, label, COUNTS, (1, 3))
    assert set(expected) == {
        "accuracy_top1", "accuracy_top3", "many", "medium", "few", "balanced", "geometric_mean", "harmonic_mean",
    }  # fmt: skip
    assert result == pytest.approx({f"shot/{name}": value for name, value in expected.items()}, rel=1e-12)
    json.dumps(result)  # what the log is written with
    assert metric.results == []


@settings(max_examples=60, deadline=None)
@given(st.data())
def test_random_test_sets(data: st.DataObject) -> None:
    num_classes = data.draw(st.integers(2, 8))
    num_samples = data.draw(st.integers(1, 30))
    # A coarse grid of scores gives ties, few samples give classes without test images.
    grid = st.lists(st.integers(0, 4), min_size=num_classes, max_size=num_classes)
    scores = torch.tensor([data.draw(grid) for _ in range(num_samples)]) / 4
    label = torch.tensor([data.draw(st.integers(0, num_classes - 1)) for _ in range(num_samples)])
    counts = [data.draw(st.integers(1, 60)) for _ in range(num_classes)]
    many, few = data.draw(st.integers(20, 40)), data.draw(st.integers(5, 20))
    metric = ShotAccuracy(topk=(1, 2), many_threshold=many, few_threshold=few, class_counts=counts)
    result = evaluate(metric, scores, label)
    expected = reference(scores, label, counts, (1, 2), many, few)
    assert result == pytest.approx({f"shot/{name}": value for name, value in expected.items()}, rel=1e-9)
    assert result["shot/harmonic_mean"] <= result["shot/geometric_mean"] + 1e-9
    assert result["shot/geometric_mean"] <= max(result["shot/balanced"], 0.1) + 0.1
    assert result["shot/accuracy_top1"] <= result["shot/accuracy_top2"]


def test_balanced_test_set_has_equal_overall_and_balanced_accuracy() -> None:
    scores, _ = make_scores(70, 7)
    result = evaluate(ShotAccuracy(), scores, torch.arange(7).repeat(10))
    assert result["shot/balanced"] == pytest.approx(result["shot/accuracy_top1"])


def test_one_class_without_a_hit_does_not_zero_the_means() -> None:
    label = torch.tensor([0, 1])
    result = evaluate(ShotAccuracy(class_counts=[5, 5]), torch.tensor([[0.9, 0.1], [0.9, 0.1]]), label)
    assert result["shot/geometric_mean"] == pytest.approx((100 * 0.1) ** 0.5)
    assert result["shot/harmonic_mean"] == pytest.approx(2 / (1 / 100 + 1 / 0.1))
    assert "shot/many" not in result
    assert "shot/medium" not in result


def test_unknown_counts_give_overall_metrics_and_one_warning(caplog: pytest.LogCaptureFixture) -> None:
    scores, label = make_scores(40, 7)
    metric = ShotAccuracy()
    logger = MMLogger.get_current_instance()
    logger.addHandler(caplog.handler)
    try:
        first = evaluate(metric, scores, label)
        assert first == evaluate(metric, scores, label)
    finally:
        logger.removeHandler(caplog.handler)
    lines = [record.getMessage() for record in caplog.records if record.levelno == logging.WARNING]
    assert [line for line in lines if "class counts" in line] == [lines[0]]
    assert "ClassDistributionHook" in lines[0]
    assert set(first) == {"shot/accuracy_top1", "shot/balanced", "shot/geometric_mean", "shot/harmonic_mean"}


def test_absent_classes_are_reported_and_left_out(caplog: pytest.LogCaptureFixture) -> None:
    scores = torch.tensor([[0.7, 0.2, 0.1], [0.2, 0.5, 0.3], [0.1, 0.8, 0.1]])
    metric = ShotAccuracy(class_counts=[200, 50, 5], topk=(1, 3))
    logger = MMLogger.get_current_instance()
    logger.addHandler(caplog.handler)
    try:
        result = evaluate(metric, scores, torch.tensor([0, 0, 1]))
    finally:
        logger.removeHandler(caplog.handler)
    text = " ".join(record.getMessage() for record in caplog.records)
    assert "1 of 3 classes have no test images" in text
    assert result["shot/many"] == 50.0
    assert result["shot/accuracy_top3"] == 100.0
    assert result["shot/medium"] == 100.0
    assert "shot/few" not in result
    assert result["shot/balanced"] == 75.0


def test_counts_of_the_hook_and_of_the_config() -> None:
    scores, label = make_scores(60, 7)
    by_hook, by_config = ShotAccuracy(), ShotAccuracy(class_counts=COUNTS)
    by_hook.set_class_counts(torch.tensor(COUNTS))
    by_config.set_class_counts(torch.full((7,), 1000))  # the config wins
    assert evaluate(by_hook, scores, label) == evaluate(by_config, scores, label)


def test_files(tmp_path: Path) -> None:
    scores, label = make_scores(60, 7)
    metric = ShotAccuracy(class_counts=COUNTS, out_dir=str(tmp_path / "out"))
    metric.dataset_meta = {"classes": ("a,b", 'q"', "c", "d", "é", "f", "g")}
    result = evaluate(metric, scores, label)
    table = ClassTable.load(tmp_path / "out" / "per_class.csv")
    assert table.names == metric.dataset_meta["classes"]
    assert table.train_counts is not None
    assert table.groups is not None
    assert table.train_counts.tolist() == COUNTS
    assert table.groups.tolist() == ["many", "many", "medium", "medium", "medium", "few", "few"]
    assert table.test_counts.tolist() == np.bincount(label, minlength=7).tolist()
    assert {f"shot/{k}": v for k, v in table.means().items()} == pytest.approx(
        {k: v for k, v in result.items() if "top" not in k}, abs=1e-3
    )
    predictions = Predictions.load(tmp_path / "out" / "predictions.npz")
    assert predictions.predicted.tolist() == scores.argmax(1).tolist()
    assert predictions.label.tolist() == label.tolist()
    assert predictions.sample_idx.tolist() == list(range(60))
    assert predictions.confidence == pytest.approx(scores.max(1).values.numpy())
    assert sorted(path.name for path in (tmp_path / "out").iterdir()) == ["per_class.csv", "predictions.npz"]


def test_files_go_beside_the_log_of_the_run(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    scores, label = make_scores(30, 7)
    monkeypatch.setattr(MMLogger, "_instance_dict", {})
    evaluate(ShotAccuracy(), scores, label)  # no run: writes nothing
    (tmp_path / "20240101_000000").mkdir()
    MMLogger.get_instance("run", log_file=str(tmp_path / "20240101_000000" / "20240101_000000.log"))
    evaluate(ShotAccuracy(), scores, label)
    table = ClassTable.load(tmp_path / "20240101_000000" / "per_class.csv")
    assert table.names == tuple("0123456")
    assert table.train_counts is None
    assert table.groups is None


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"topk": (0,)}, r"topk=\(0,\)"),
        ({"topk": ()}, "topk"),
        ({"many_threshold": 5}, "few_threshold=20 and many_threshold=5"),
        ({"class_counts": [1, -1]}, "non-negative"),
    ],
)
def test_refuses_bad_arguments(arguments: dict, message: str) -> None:
    with pytest.raises(UserInputError, match=message):
        ShotAccuracy(**arguments)


def test_refuses_what_does_not_fit_the_model() -> None:
    scores, label = make_scores(20, 7)
    with pytest.raises(UserInputError, match=r"topk=\(1, 9\) exceeds the 7 classes"):
        evaluate(ShotAccuracy(topk=(1, 9)), scores, label)
    with pytest.raises(UserInputError, match="class counts for 3 classes do not fit the 7"):
        evaluate(ShotAccuracy(class_counts=[3, 2, 1]), scores, label)
    with pytest.raises(UserInputError, match=r"labels 0\.\.7, but the model scores 7"):
        evaluate(ShotAccuracy(), scores, label % 7 + (torch.arange(20) == 3) * (7 - label))
