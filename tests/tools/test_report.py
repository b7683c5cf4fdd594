from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import torch

from lt_plugins.errors import UserInputError
from lt_plugins.evaluation.class_table import ClassTable
from lt_plugins.evaluation.glt_counts import GLTCounts
from lt_plugins.evaluation.glt_table import GLTTable
from lt_plugins.evaluation.shot_accuracy import ShotAccuracy
from lt_plugins.runs.run_folder import RunFolder
from lt_plugins.runs.run_start import next_start_number, record_start
from tests.evaluation.glt_samples import ATTRIBUTES, CLASS_GROUP, CLASSES, make_glt_set
from tests.evaluation.samples import feed, make_scores
from tests.visualization.test_html import Reader
from tools import report

CONFIG = """custom = list(range(3))
model = dict(
    backbone=dict(depth=32, type='CIFARResNet'),
    head=dict(loss=dict(type='CrossEntropyLoss'), num_classes=4, type='LinearClsHead'),
    type='ImageClassifier')
optim_wrapper = dict(optimizer=dict(lr=0.1, type='SGD'))
train_cfg = dict(by_epoch=True, max_epochs=3)
train_dataloader = dict(
    batch_size=128,
    dataset=dict(
        dataset=dict(pipeline=[dict(type='PackInputs')], type='CIFAR100'),
        imbalance_factor=100,
        type='LongTailDataset'))
"""


def train_row(epoch: int, iteration: int, loss: float) -> dict[str, float]:
    return {"lr": 0.1, "loss": loss, "time": 0.1, "epoch": epoch, "iter": iteration, "step": iteration}


def val_row(epoch: int, accuracy: float) -> dict[str, float]:
    shot = {"accuracy_top1": accuracy, "many": 60.0, "medium": 40.0, "few": 9.0, "balanced": accuracy}
    return {f"shot/{key}": value for key, value in shot.items()} | {"time": 0.1, "step": epoch}


def write_start(work_dir: Path, name: str, rows: list[dict[str, float]], tail: str = "") -> Path:
    start = work_dir / name
    (start / "vis_data").mkdir(parents=True)
    (start / "vis_data" / "config.py").write_text(CONFIG)
    if rows or tail:
        text = "".join(json.dumps(row) + "\n" for row in rows) + tail
        (start / "vis_data" / "scalars.json").write_text(text)
    return start


def write_evaluation(start: Path) -> None:
    metric = ShotAccuracy(class_counts=[500, 50, 10, 5], out_dir=str(start))
    metric.dataset_meta = {"classes": ("<b>apple</b>", "pear", "plum", "kiwi")}
    scores, label = make_scores(60, 4)
    feed(metric, scores, label, range(60))
    metric.evaluate(60)


@pytest.fixture
def work_dir(tmp_path: Path) -> Path:
    """A run that was killed in epoch 3, resumed from epoch 2, and is being written to."""
    folder = tmp_path / "run <1>"
    before = [train_row(1, 10, 3.0), val_row(1, 20.0), train_row(2, 20, 2.5), val_row(2, 30.0), train_row(3, 25, 2.0)]
    write_start(folder, "20240101_000000", before)
    after = [train_row(3, 30, 1.9), val_row(3, 25.0)]
    start = write_start(folder, "20240102_000000", after, '{"lr": 0.1, "lo')
    write_evaluation(start)
    (folder / "20240101_000000.py").write_text(CONFIG)
    return folder


def build(work_dir: Path, capsys: pytest.CaptureFixture[str], *arguments: str) -> tuple[str, str]:
    """The page and what is printed."""
    out = work_dir.parent / "page.html"
    report.main([str(work_dir), "-o", str(out), *arguments])
    return out.read_text(encoding="utf-8"), capsys.readouterr().out


def test_whole_report(work_dir: Path, capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    page, printed = build(work_dir, capsys, "--png", str(tmp_path / "png"))
    reader = Reader()
    reader.feed(page)
    assert reader.open == []
    assert "b" not in reader.tags  # class names are escaped
    assert "http:" not in page
    assert "https:" not in page
    names = ["shot_bars", "training_curves", "class_accuracy", "class_histogram", "confusion", "reliability"]
    names += ["group_reliability", "size_trend"]
    assert sorted(path.stem for path in (tmp_path / "png").iterdir()) == sorted(names)
    assert reader.tags.count("img") == len(names)
    assert "best (epoch 2)" in page
    assert "last (epoch 3)" in page
    for text in ("LongTailDataset(dataset=CIFAR100(), imbalance_factor=100)", "SGD(lr=0.1)", "epoch 3, iteration 30"):
        assert text in page
    notes = [line for line in printed.splitlines() if line.startswith("note: ")]
    assert len(notes) == 3
    assert "1 damaged lines" in notes[0]
    assert "no test run" in notes[1]
    assert "config.py has no test set" in notes[2]


def test_the_order_of_starts_is_in_their_contents(tmp_path: Path) -> None:
    """The clock was set back after the first start, and a folder was renamed."""
    run = tmp_path / "run"
    write_start(run, "20261025_023000", [train_row(1, 10, 3.0), val_row(1, 20.0)])
    write_start(run, "20261025_021000", [train_row(2, 20, 2.0), val_row(2, 30.0)])
    assert [row["step"] for row in RunFolder(run).log().metrics] == [1, 2], "of runs without numbers: by iteration"
    for number, name in enumerate(["20261025_023000", "20261025_021000"], start=1):
        assert next_start_number(run / name) == number
        record_start(run / name, number)
        (run / name / f"{name}.json").write_text(json.dumps({"shot/few": number}))
    # Trained again from the first epoch on, by a clock that is far behind.
    write_start(run, "19700101_000000", [train_row(1, 10, 9.0), val_row(1, 5.0)])
    record_start(run / "19700101_000000", next_start_number(run / "19700101_000000"))
    (run / "20261025_021000").rename(run / "another name")
    folder = RunFolder(run)
    assert [start.name for start in folder.starts] == ["20261025_023000", "another name", "19700101_000000"]
    assert [row["shot/balanced"] for row in folder.log().metrics] == [5.0]
    assert folder.test_metrics() == ("another name", {"shot/few": 2.0})


def test_only_percentages_are_shown_as_such(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    run = tmp_path / "run"
    write_start(run, "20240101_000000", [train_row(1, 10, 3.0), {**val_row(1, 20.0), "geometry/uniformity_few": -3.9}])
    page, _ = build(run, capsys)
    assert "shot/balanced" in page and "geometry" not in page


FOREIGN_ROWS = [
    *("[1]", "3", "null", '"step"', '{"step": "x"}', '{"loss": 1}', '{"step": true}', '{"step": NaN}'),
    *('{"iter": Infinity, "step": 1}', '{"step": 1, "loss": [1]}', '{"step": 1, "loss": 1' + "0" * 400 + "}"),
    *("[" * 100_000, "\ufffd\0", '{"step": ' + "9" * 5000 + "}"),
]


@pytest.mark.parametrize("line", FOREIGN_ROWS, ids=range(len(FOREIGN_ROWS)))
def test_foreign_lines_of_a_log_are_counted(line: str, tmp_path: Path) -> None:
    write_start(tmp_path, "20240101_000000", [train_row(1, 10, 3.0)], tail=line + "\n")
    log = RunFolder(tmp_path).log()
    assert (len(log.train), log.num_damaged) == (1, 1)


@pytest.mark.parametrize("text", ["{", "[1, 2]", "null", '{"few": [1]}', "[" * 100_000, "\0", ""], ids=range(7))
def test_foreign_metrics_of_a_test_run(text: str, tmp_path: Path) -> None:
    start = write_start(tmp_path, "20240101_000000", [])
    (start / "a.json").write_text(text)
    with pytest.raises(UserInputError, match=r"a\.json cannot be read as .*; test again\.$") as caught:
        RunFolder(tmp_path).test_metrics()
    assert "\n" not in str(caught.value) and len(str(caught.value)) < 500


@pytest.mark.parametrize(
    "text", ["a = (", "\0", "a = " + "(" * 5000, "a = {[]: 1}", "a = " + "-" * 100_000 + "1"], ids=range(5)
)
def test_foreign_configs(text: str, tmp_path: Path) -> None:
    start = write_start(tmp_path, "20240101_000000", [])
    (start / "vis_data" / "config.py").write_text(text)
    with pytest.raises(UserInputError, match=r"config\.py cannot be read as a config"):
        RunFolder(tmp_path).config()
    (start / "vis_data" / "config.py").write_text("train_cfg = dict(max_epochs='many')\n")
    with pytest.raises(UserInputError, match=r"train_cfg\.max_epochs='many', expected int"):
        RunFolder(tmp_path).setting("train_cfg.max_epochs", int)
    with pytest.raises(UserInputError, match=r"train_cfg\.max_epochs\.x=None, expected dict"):
        RunFolder(tmp_path).setting("train_cfg.max_epochs.x", dict)


def test_starts_are_merged_by_step(work_dir: Path) -> None:
    log = RunFolder(work_dir).log()
    assert [row["iter"] for row in log.train] == [10, 20, 25, 30]
    assert [row["step"] for row in log.metrics] == [1, 2, 3]
    again = [train_row(2, 15, 9.0), train_row(2, 20, 8.0)]  # resumed from an older checkpoint
    write_start(work_dir, "20240103_000000", again)
    for number, start in enumerate(sorted(work_dir.glob("2024*_000000")), start=1):
        record_start(start, number)
    log = RunFolder(work_dir).log()
    assert [(row["iter"], row["loss"]) for row in log.train] == [(10, 3.0), (15, 9.0), (20, 8.0)]
    assert [row["step"] for row in log.metrics] == [1]
    assert log.num_damaged == 1
    assert "time" not in log.metrics[0]


def test_iteration_based_run(tmp_path: Path) -> None:
    rows = [
        {"loss": 1.0, "iter": 100, "step": 100},
        {"shot/few": 3.0, "step": 0},
        {"loss": 0.5, "iter": 200, "step": 200},
    ]
    write_start(tmp_path, "20240101_000000", [*rows, {"shot/few": 4.0, "step": 0}])
    log = RunFolder(tmp_path).log()
    assert log.unit == "iteration"
    assert log.metrics == [{"step": 100, "shot/few": 3.0}, {"step": 200, "shot/few": 4.0}]


@pytest.mark.parametrize(
    "rows", [[], [train_row(1, 5, 3.0)], [train_row(1, 5, float("nan")), {"other": 1.0, "step": 1}]]
)
def test_a_run_that_has_just_begun(rows: list, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    folder = tmp_path / "run"
    write_start(folder, "20240101_000000", rows)
    page, printed = build(folder, capsys)
    assert "<h2>Config</h2>" in page
    assert ("has no training log yet" in printed) == (not rows)
    assert "has no per_class.csv yet" in printed
    assert page.count("<img") == (1 if rows else 0)


def test_an_empty_folder(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    page, printed = build(tmp_path, capsys)
    assert "has no config" in page
    assert printed.count("note: ") == len([line for line in printed.splitlines() if line.startswith("note")])


def test_damaged_parts_become_lines(work_dir: Path, capsys: pytest.CaptureFixture[str]) -> None:
    start = work_dir / "20240102_000000"
    for path in (start / "per_class.csv", start / "predictions.npz"):
        path.write_bytes(path.read_bytes()[:50])
    (start / "vis_data" / "config.py").write_text(CONFIG[:50])
    (start / f"{start.name}.json").write_text('{"shot/few": ')
    page, printed = build(work_dir, capsys)
    for part in ("per_class.csv", "config.py", f"{start.name}.json"):
        assert f"{part} " in printed
    assert page.count("<img") == 2  # bars and curves are left
    write_evaluation(start)
    (start / "predictions.npz").write_bytes(b"PK")
    page, printed = build(work_dir, capsys)
    assert "predictions.npz " in printed and page.count("<img") == 2


def test_a_test_run_is_shown_beside_the_training(work_dir: Path, capsys: pytest.CaptureFixture[str]) -> None:
    start = write_start(work_dir, "20240105_000000", [])
    metrics = {"shot/accuracy_top1": 31.5, "shot/balanced": 31.5, "time": 0.1}
    (start / f"{start.name}.json").write_text(json.dumps(metrics))
    page, _ = build(work_dir, capsys)
    assert "test run 20240105_000000" in page.replace("<wbr>", "")
    assert "31.50" in page
    _, values = RunFolder(work_dir).test_metrics()
    assert values == {"shot/accuracy_top1": 31.5, "shot/balanced": 31.5}


def test_unknown_counts(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    start = write_start(tmp_path / "run", "20240101_000000", [])
    metric = ShotAccuracy(out_dir=str(start))
    scores, label = make_scores(20, 4)
    feed(metric, scores, label, range(20))
    metric.evaluate(20)
    page, printed = build(tmp_path / "run", capsys)
    assert "has no training counts" in printed
    assert page.count("<img") == 2  # confusion and calibration need none


def test_config_is_only_parsed(tmp_path: Path) -> None:
    start = write_start(tmp_path, "20240101_000000", [])
    (start / "vis_data" / "config.py").write_text("import os\nx = dict(a=[1, (2, 'b')], b=os.getcwd())\ny = -1\n")
    text, values = RunFolder(tmp_path).config()
    assert values == {"x": {"a": [1, [2, "b"]], "b": "os.getcwd()"}, "y": -1}
    assert text.startswith("import os")


def test_pickles_are_not_read(tmp_path: Path) -> None:
    start = write_start(tmp_path, "20240101_000000", [])
    np.savez(start / "predictions.npz", label=np.array([torch.nn.ReLU()], dtype=object))
    with pytest.raises(UserInputError, match="predictions"):
        RunFolder(tmp_path).predictions()


def test_command_line(work_dir: Path) -> None:
    command = [sys.executable, "tools/report.py", str(work_dir / "nowhere")]
    missing = subprocess.run(command, capture_output=True, text=True, check=False)
    assert missing.returncode == 1
    (line,) = [line for line in missing.stderr.splitlines() if line.startswith("error: ")]
    assert "nowhere is not a folder" in line
    assert "Traceback" not in missing.stderr


def test_default_place_of_the_page(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    report.main([str(tmp_path)])
    assert (tmp_path / "report.html").is_file()
    assert f"wrote {tmp_path / 'report.html'}" in capsys.readouterr().out


def test_numbers_and_names_that_no_figure_can_show_as_they_are(
    work_dir: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """A diverged loss, a damaged accuracy, a class called like a formula, and files of two evaluations."""
    start = work_dir / "20240102_000000"
    rows = [train_row(3, 30, float("inf")), train_row(3, 31, 1e308), train_row(3, 32, -1e308), val_row(3, float("nan"))]
    (start / "vis_data" / "scalars.json").write_text("".join(json.dumps(row) + "\n" for row in rows))
    table = (start / "per_class.csv").read_text().replace("pear", "$b_{$c")
    (start / "per_class.csv").write_text(table)
    build(work_dir, capsys)
    (start / "per_class.csv").write_text(table.rstrip("\n").rpartition("\n")[0] + "\n")
    _, printed = build(work_dir, capsys)
    assert "has predictions for 4 classes and the table beside it 3; evaluate again" in printed


def test_a_glt_run(work_dir: Path, capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    page, _ = build(work_dir, capsys)
    assert "Generalized long tail" not in page, "of other runs there is no such section"
    data = make_glt_set(200)
    counts = GLTCounts.from_predictions(data.label, data.predicted, data.attribute, CLASSES, ATTRIBUTES)
    table = GLTTable(("a",) * CLASSES, ("day", "night", "fog"), np.array(CLASS_GROUP), {"clt": counts})
    table.save(work_dir / "20240102_000000" / "glt_cells.csv")
    _, printed = build(work_dir, capsys)
    assert "has no class sizes beside it" in printed, "the table of classes is of four"

    sizes = np.arange(CLASSES, 0, -1)
    classes = ClassTable(table.names, sizes, np.full(CLASSES, 50.0), sizes, np.full(CLASSES, "few"))
    classes.save(work_dir / "20240102_000000" / "per_class.csv")
    page, printed = build(work_dir, capsys, "--png", str(tmp_path / "png"))
    assert "Generalized long tail" in page
    assert (tmp_path / "png" / "cells.png").is_file() and not (tmp_path / "png" / "trend.png").exists()
    start = work_dir / "20240102_000000" / "vis_data" / "scalars.json"
    row = {"val-glt/accuracy": 4.0, "val-glt/precision": 3.0, "step": 3}
    start.write_text(json.dumps(train_row(3, 30, 1.9)) + "\n" + json.dumps(row) + "\n")
    build(work_dir, capsys, "--png", str(tmp_path / "png"))
    assert (tmp_path / "png" / "trend.png").is_file()
    assert RunFolder(work_dir).log().precision_trends() == {"val-glt": ([4.0], [3.0])}
