from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
import torch.distributed as dist
import torch.multiprocessing as mp

from lt_plugins.errors import UserInputError
from lt_plugins.evaluation.calibration_error import CalibrationError
from lt_plugins.evaluation.prediction_metric import PredictionMetric
from lt_plugins.evaluation.predictions import Predictions
from lt_plugins.evaluation.shot_accuracy import ShotAccuracy

from .samples import feed, make_scores

NUM_SAMPLES, COUNTS = 23, [200, 50, 30, 10, 5]
# Indices that each of two processes sees.
SHARDS: dict[str, tuple[list[int], list[int]]] = {
    "uneven": (list(range(17)), list(range(17, 23))),
    "uneven in turn (round_up=False)": (list(range(0, 23, 2)), list(range(1, 23, 2))),
    "padded in turn (round_up=True)": (list(range(0, 23, 2)), [*range(1, 23, 2), 0]),
    "padded blocks": (list(range(12)), [*range(12, 23), 4]),
    "padded and shuffled": ([22, 3, 9, 1, 5, 7, 11, 13, 15, 17, 19, 21], [0, 2, 4, 6, 8, 10, 12, 14, 16, 18, 20, 3]),
    "one process without samples": (list(range(23)), []),
}


def run(indices: list[int], out_dir: Path, batch_size: int = 5) -> dict[str, float]:
    scores, label = make_scores(NUM_SAMPLES, len(COUNTS))
    result: dict[str, float] = {}
    for metric in (ShotAccuracy((1, 2), class_counts=COUNTS, out_dir=str(out_dir)), CalibrationError()):
        feed(metric, scores, label, indices, batch_size)
        result |= metric.evaluate(NUM_SAMPLES)
    return result


def worker(rank: int, folder: str) -> None:
    dist.init_process_group("gloo", init_method=f"file://{folder}/store", rank=rank, world_size=2)
    results = {}
    for number, (name, shards) in enumerate(SHARDS.items()):
        results[name] = run(shards[rank], Path(folder, f"{number}_rank{rank}"), batch_size=4 + rank)
    Path(folder, f"rank{rank}.json").write_text(json.dumps(results))
    dist.destroy_process_group()


def test_two_processes_give_exactly_what_one_gives(tmp_path: Path) -> None:
    expected = run(list(range(NUM_SAMPLES)), tmp_path / "single")
    mp.spawn(worker, args=(str(tmp_path),), nprocs=2)
    for rank in range(2):
        results = json.loads((tmp_path / f"rank{rank}.json").read_text())
        for name in SHARDS:
            assert results[name] == expected, (rank, name)
    for number in range(len(SHARDS)):
        assert not (tmp_path / f"{number}_rank1").exists()  # only the main process writes
        for file in ("per_class.csv", "predictions.npz"):
            assert (tmp_path / f"{number}_rank0" / file).read_bytes() == (tmp_path / "single" / file).read_bytes()


def predictions(sample_idx: list[int]) -> Predictions:
    scores, label = make_scores(len(sample_idx), 4)
    return Predictions.from_scores(scores, label, torch.tensor(sample_idx))


def test_repetitions_are_dropped_only_where_there_are_any() -> None:
    # Two datasets in a row number their samples alike; nothing is repeated here.
    assert len(predictions([0, 1, 0, 1]).once_each(4)) == 4
    assert len(predictions([-1, -1]).once_each(5)) == 2
    kept = predictions([2, 0, 1, 0, 2]).once_each(3)
    assert kept.sample_idx.tolist() == [0, 1, 2]
    for ambiguous in ([0, 1, 0, 1], [-1, 0, 1, 2], [0, 0, 1, 1]):
        with pytest.raises(UserInputError, match="sample_idx"):
            predictions(ambiguous).once_each(3)


def sample(**changes: object) -> dict:
    values = {"pred_score": torch.tensor([0.2, 0.8]), "gt_label": torch.tensor([1])} | changes
    return {key: value for key, value in values.items() if value is not None}


@pytest.mark.parametrize(
    ("bad", "message"),
    [
        (sample(pred_score=None), "needs the class scores"),
        (sample(gt_label=None), "exactly one gt_label"),
        (sample(gt_label=torch.tensor([0, 1])), "exactly one gt_label"),
    ],
)
def test_refuses_other_samples(bad: dict, message: str) -> None:
    with pytest.raises(UserInputError, match=message):
        CalibrationError().process(None, [sample(), bad])


def test_refuses_an_empty_test_set() -> None:
    with pytest.raises(UserInputError, match="no predictions"):
        CalibrationError().evaluate(0)


def test_half_precision_and_missing_sample_idx() -> None:
    metric = CalibrationError()
    metric.process(None, [sample(pred_score=torch.tensor([0.25, 0.75], dtype=torch.bfloat16))])
    assert metric.evaluate(1) == {"calibration/ece": pytest.approx(25.0)}


@pytest.mark.parametrize("damage", [lambda data: data[: len(data) // 2], lambda data: b"", lambda data: b"no archive"])
def test_damaged_predictions(tmp_path: Path, damage: Callable[[bytes], bytes]) -> None:
    path = tmp_path / "predictions.npz"
    predictions([0, 1, 2]).save(path)
    assert Predictions.load(path).num_classes == 4
    path.write_bytes(damage(path.read_bytes()))
    with pytest.raises(UserInputError, match=r"predictions\.npz"):
        Predictions.load(path)


@pytest.mark.parametrize("value", [float("nan"), float("inf"), -float("inf")])
@pytest.mark.parametrize("metric", [ShotAccuracy(class_counts=COUNTS), CalibrationError()])
def test_scores_that_are_not_finite_are_an_error(metric: PredictionMetric, value: float) -> None:
    scores, label = make_scores(NUM_SAMPLES, len(COUNTS))
    scores[[7, 9], 1] = value
    feed(metric, scores, label, range(NUM_SAMPLES))
    with pytest.raises(UserInputError, match=r"2 of 23 predictions .* not finite, first that of sample 7"):
        metric.evaluate(NUM_SAMPLES)


def test_a_file_of_invalid_predictions_is_refused(tmp_path: Path) -> None:
    scores, label = make_scores(3, 2)
    scores[1] = float("nan")
    Predictions.from_scores(scores, label).save(tmp_path / "predictions.npz")
    with pytest.raises(UserInputError, match=r"predictions\.npz .* not finite"):
        Predictions.load(tmp_path / "predictions.npz")


FOREIGN: dict[str, dict[str, Any]] = {
    "another length": {"label": np.zeros(2, np.int64)},
    "another shape": {"label": np.zeros((3, 1), np.int64)},
    "numbers as text": {"predicted": np.array(["0", "1", "2"])},
    "fractions": {"predicted": np.zeros(3)},
    "no such class": {"label": np.array([0, 1, 9])},
    "a rank beyond the classes": {"label_rank": np.array([0, 1, 9])},
    "a negative label": {"label": np.array([0, 1, -1])},
    "no number of classes": {"num_classes": np.array([3, 4])},
    "objects": {"confidence": np.array([{}, {}, {}])},
}


@pytest.mark.parametrize("case", FOREIGN)
def test_foreign_arrays_are_one_line(case: str, tmp_path: Path) -> None:
    path = tmp_path / "predictions.npz"
    arrays: dict[str, Any] = {
        name: np.zeros(3, np.int64) for name in ("label", "predicted", "label_rank", "sample_idx")
    }
    arrays |= {"confidence": np.ones(3, np.float32), "num_classes": np.array(4)}
    np.savez(path, **arrays)
    assert len(Predictions.load(path)) == 3
    np.savez(path, **arrays | FOREIGN[case])
    with pytest.raises(UserInputError, match=r"predictions\.npz cannot be read as predictions") as caught:
        Predictions.load(path)
    assert "\n" not in str(caught.value) and len(str(caught.value)) < 500


@pytest.mark.parametrize("content", [b"", b"text", b"PK\x03\x04", b"\x93NUMPY\x01\x00", b"PK\x05\x06" + bytes(18)])
def test_foreign_files_are_one_line(content: bytes, tmp_path: Path) -> None:
    (tmp_path / "predictions.npz").write_bytes(content)
    with pytest.raises(UserInputError, match=r"predictions\.npz cannot be read as predictions"):
        Predictions.load(tmp_path / "predictions.npz")
    with (tmp_path / "predictions.npz").open("wb") as file:
        np.save(file, np.zeros(3))
    with pytest.raises(UserInputError, match=r"predictions\.npz cannot be read as predictions"):
        Predictions.load(tmp_path / "predictions.npz")
