"""GLTMetric: names by protocol, files, evaluators, two processes."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from mmengine.evaluator import Evaluator
from mmengine.logging import MMLogger
from mmpretrain.registry import METRICS
from mmpretrain.structures import DataSample

from lt_plugins.errors import UserInputError
from lt_plugins.evaluation.batch_evaluator import BatchEvaluator
from lt_plugins.evaluation.glt_metric import GLTMetric
from lt_plugins.evaluation.glt_table import GLTTable
from lt_plugins.evaluation.predictions import Predictions
from lt_plugins.models.structures import LabelBatch
from tests.gloo import run_gloo

from .glt_samples import CLASSES, GLTSet, make_glt_set, make_metainfo, reference_numbers

SIZE = 400
DATA = make_glt_set(SIZE, seed=1)
# Test-CBL and Test-GBL in turns: the place in the dataset says nothing.
SUBSET = [number % 2 for number in range(SIZE)]
TESTS = ("test-cbl", "test-gbl")
METAINFO = make_metainfo(SUBSET, DATA.attribute, TESTS)
INTERVAL = ("worst_cell_low", "worst_cell_high")


def make_metric(trained: str | None = "train-glt", **arguments: Any) -> GLTMetric:
    metric: GLTMetric = METRICS.build({"type": "GLTMetric", **arguments})
    metric.dataset_meta = METAINFO
    if trained is not None:
        metric.set_training_metainfo({"classes": METAINFO["classes"], "splits": (trained,)})
    return metric


def make_batches(indices: list[int], size: int = 7) -> list[LabelBatch]:
    scores = torch.nn.functional.one_hot(torch.tensor(DATA.predicted), CLASSES).float()
    batches = []
    for start in range(0, len(indices), size):
        chosen = torch.tensor(indices[start : start + size])
        batches.append(LabelBatch(torch.tensor(DATA.label)[chosen], sample_idx=chosen, pred_score=scores[chosen]))
    return batches


def evaluate(metric: GLTMetric, indices: list[int] | None = None, evaluator: type[Evaluator] = BatchEvaluator) -> dict:
    given = evaluator([metric])
    for batch in make_batches(list(range(SIZE)) if indices is None else indices):
        given.process(batch)
    return given.evaluate(SIZE)


def subset(number: int) -> GLTSet:
    return GLTSet(*([v for v, s in zip(values, SUBSET, strict=True) if s == number] for values in DATA))


def expected(names: tuple[str, str]) -> dict[str, float]:
    return {f"{p}/{n}": v for i, p in enumerate(names) for n, v in reference_numbers(subset(i)).items()}


@pytest.mark.parametrize("evaluator", [BatchEvaluator, Evaluator])
def test_two_protocols_in_one_pass(evaluator: type[Evaluator]) -> None:
    found = evaluate(make_metric(), evaluator=evaluator)
    numbers = expected(("clt", "glt"))
    for name in ("accuracy", "precision"):
        numbers[f"gap/{name}"] = numbers[f"clt/{name}"] - numbers[f"glt/{name}"]
    interval = {name for name in found if name.endswith(INTERVAL)}
    assert len(interval) == 4
    assert {name: value for name, value in found.items() if name not in interval} == pytest.approx(numbers, rel=1e-12)
    json.dumps(found)


@pytest.mark.parametrize(
    ("trained", "names"),
    [
        ("train-cbl", ("test-cbl", "alt")),
        ("train-glt", ("clt", "glt")),
        ("val-glt", TESTS),
        (None, TESTS),
    ],
)
def test_names_follow_from_the_training_split(trained: str | None, names: tuple[str, str]) -> None:
    found = evaluate(make_metric(trained))
    assert {name.partition("/")[0] for name in found} - {"gap"} == {*names}
    assert ("gap/accuracy" in found) == (names == ("clt", "glt"))
    for name, value in expected(names).items():
        assert found[name] == pytest.approx(value), name


def test_training_set_without_glt_makes_no_protocol() -> None:
    metric = make_metric()
    metric.set_training_metainfo({"classes": ("a", "b")})
    assert {name.partition("/")[0] for name in evaluate(metric)} == {*TESTS}


def test_files(tmp_path: Path) -> None:
    found = evaluate(make_metric(out_dir=str(tmp_path / "out"), min_images=5))
    assert sorted(path.name for path in (tmp_path / "out").iterdir()) == ["glt_cells.csv", "predictions.npz"]
    table = GLTTable.load(tmp_path / "out" / "glt_cells.csv")
    assert table.numbers(min_images=5) == found
    assert table.names == METAINFO["classes"]
    assert table.attribute_names == METAINFO["glt"]["attribute_names"]
    predictions = Predictions.load(tmp_path / "out" / "predictions.npz")
    assert predictions.predicted.tolist() == DATA.predicted


def test_files_go_beside_the_log_of_the_run(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(MMLogger, "_instance_dict", {})
    evaluate(make_metric())  # no run: writes nothing
    MMLogger.get_instance("run", log_file=str(tmp_path / "run.log"))
    evaluate(make_metric())
    assert (tmp_path / "glt_cells.csv").is_file()


def test_a_trial_names_every_number_and_writes_nothing(tmp_path: Path) -> None:
    metric = make_metric(out_dir=str(tmp_path))
    names = {*evaluate(metric)}
    written = {path.name: path.stat().st_mtime_ns for path in tmp_path.iterdir()}
    metric.is_trial = True
    made_up = [DataSample().set_gt_label(0).set_pred_score(torch.full((CLASSES,), 1 / CLASSES)).to_dict()]
    metric.process(None, made_up)
    assert {*metric.compute_metrics(Predictions.concatenate(metric.results))} == names
    assert {path.name: path.stat().st_mtime_ns for path in tmp_path.iterdir()} == written


def rank(folder: Path) -> dict[str, float]:
    number = torch.distributed.get_rank()
    shards = ([*range(0, SIZE, 2), 7], [*range(1, SIZE, 2), 0])  # padded and in turn: a rank sees one test set
    return evaluate(make_metric(out_dir=str(folder / str(number))), shards[number])


def test_two_processes_give_exactly_what_one_gives(tmp_path: Path) -> None:
    alone = evaluate(make_metric(out_dir=str(tmp_path / "alone")))
    assert run_gloo(rank, tmp_path, folder=tmp_path / "gloo") == [alone, alone]
    assert not (tmp_path / "1").exists()  # only the main process writes
    for name in ("glt_cells.csv", "predictions.npz"):
        assert (tmp_path / "0" / name).read_bytes() == (tmp_path / "alone" / name).read_bytes()


def test_refuses_what_does_not_fit() -> None:
    with pytest.raises(UserInputError, match="min_images=0 must be at least 1"):
        GLTMetric(min_images=0)
    for metainfo in (None, {"classes": METAINFO["classes"]}):
        metric = make_metric()
        metric.dataset_meta = metainfo
        with pytest.raises(UserInputError, match=r"GLTMetric needs the attribute of each test image.*ShotAccuracy"):
            evaluate(metric)
    metric = make_metric()
    metric.dataset_meta = {"glt": {**METAINFO["glt"], "class_group": np.array([0, 1])}}
    with pytest.raises(UserInputError, match="class groups of 2 classes and the model scores 7"):
        evaluate(metric)
    metric.dataset_meta = {"glt": {**METAINFO["glt"], "subset": np.zeros(9, np.int64)}}
    with pytest.raises(UserInputError, match=r"from 0 to 8 and got 0\.\.399"):
        evaluate(metric)
    metric = make_metric()
    label = torch.tensor([1])
    BatchEvaluator([metric]).process(LabelBatch(label, pred_score=torch.eye(CLASSES)[label]))
    with pytest.raises(UserInputError, match=r"got -1\.\.-1; keep 'sample_idx'"):
        metric.evaluate(1)
