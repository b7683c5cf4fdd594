"""Summary of a run: numbers against counting by hand, names of any width, and what a training prints at its end."""

from __future__ import annotations

import json
import shlex
from pathlib import Path

import numpy as np
import pytest
import torch
from rich.cells import cell_len

from lt_plugins.evaluation.class_table import ClassTable
from lt_plugins.evaluation.predictions import Predictions
from lt_plugins.evaluation.shot_accuracy import ShotAccuracy
from lt_plugins.runs.run_summary import NO_SUMMARY, next_commands, summarize_run, worst_classes
from lt_plugins.runs.typed_command import shared_options
from lt_plugins.terminal import displayable
from tests.runs.hooks.test_early_stop_hook import SMALL
from tests.tool_process import ROOT, run_tool

NAMES = ("cat", "マーモット", "a name that is much too long for any table of a terminal", "dog\x1b[2J", "犬", "empty")


def make_table(seed: int) -> tuple[ClassTable, Predictions]:
    """Predictions of 200 images of five of six classes."""
    rng = np.random.default_rng(seed)
    label = rng.integers(0, 5, 200)
    predicted = np.where(rng.random(200) < label / 5, label, rng.integers(0, 6, 200))
    scores = torch.nn.functional.one_hot(torch.from_numpy(predicted), 6).float()
    predictions = Predictions.from_scores(scores, torch.from_numpy(label), torch.arange(200))
    metric = ShotAccuracy(class_counts=[9, 30, 200, 1, 50, 7])
    return ClassTable.from_hits(label, predicted == label, NAMES, metric.class_distribution), predictions


@pytest.mark.parametrize("seed", range(3))
def test_worst_classes_by_counting(seed: int) -> None:
    table, predictions = make_table(seed)
    header, *lines = worst_classes(table, predictions)
    expected = []
    for label in range(5):
        own = [int(p) for p, true in zip(predictions.predicted, predictions.label, strict=True) if true == label]
        wrong = {other: own.count(other) for other in range(6) if other != label and other in own}
        expected.append((100 * own.count(label) / len(own), label, len(own), wrong))
    expected.sort()
    assert len(lines) == 5
    for line, (accuracy, label, total, wrong) in zip(lines, expected, strict=True):
        assert line.startswith(displayable(NAMES[label])[:20])
        assert f" {accuracy:.1f} " in line
        most = max(wrong.values())
        named = [other for other, count in wrong.items() if count == most and displayable(NAMES[other])[:20] in line]
        assert named and f"({most} of {total})" in line
    assert "1 image " in "\n".join(lines), "singular"
    # Columns are those of a terminal, where a wide character takes two.
    ends = {cell_len(line[: line.index(" image")]) for line in lines if " images" in line}
    assert len(ends) == 1
    assert max(map(cell_len, [header, *lines])) <= 140
    assert "\x1b" not in "".join(lines)


def test_no_mistakes() -> None:
    label = np.arange(6)
    table = ClassTable.from_hits(label, label == label, NAMES)
    predictions = Predictions.from_scores(torch.eye(6), torch.arange(6), torch.arange(6))
    assert worst_classes(table, predictions) == ["No class has a wrong prediction."]


def test_commands_name_the_same_model_and_images() -> None:
    argv = [
        "--data", "my photos", "a.py:x", "--resume", "--shorten", "3", "--cfg-options", "a=1", "b='[1,2]'", "--amp",
        "bf16", "--shot-thresholds", "20", "5", "--no-resident", "--early-stop", "4",
    ]  # fmt: skip
    options = [
        "--data",
        "my photos",
        "--cfg-options",
        "a=1",
        "b='[1,2]'",
        "--shot-thresholds",
        "20",
        "5",
        "--no-resident",
    ]
    assert shared_options(argv) == options
    assert shared_options(["a.py", "--data=x y", "--keep-lr"]) == ["--data=x y"]
    commands = [
        shlex.split(command) for command in next_commands(Path("out dir"), "a.py:x", options, "out dir/best.pth")
    ]
    assert ["python", "tools/report.py", "out dir"] in commands
    assert ["python", "tools/predict.py", "out dir/best.pth", "PHOTOS"] in commands
    assert ["python", "tools/test.py", "a.py:x", "out dir/best.pth", *options] in commands


def test_a_detector_has_no_classes_to_show(tmp_path: Path) -> None:
    data = tmp_path / "20260101_000000" / "vis_data"
    data.mkdir(parents=True)
    rows = [{"loss": 1.0, "iter": 10, "step": 10}, {"pascal_voc/mAP": 0.25, "step": 10}]
    (data / "scalars.json").write_text("".join(json.dumps(row) + "\n" for row in rows))
    text = summarize_run(tmp_path, "d.py", [])
    assert "last, iteration 10  0.2" in text and "worst" not in text


def test_a_training_ends_with_its_summary(tmp_path: Path) -> None:
    config, run = str(ROOT / "configs/ce/ce_r32_digits.py"), tmp_path / "run"
    options = ["--cfg-options", *SMALL, "train_cfg.max_epochs=2", "train_cfg.val_interval=1"]
    best = ["default_hooks.checkpoint.save_best=shot/balanced", "default_hooks.checkpoint.rule=greater"]
    done = run_tool("train.py", config, "--work-dir", run, *options, *best, logs=tmp_path)
    assert done.exit_code == 0, done.output
    text = done.log.read_text().partition("\nFinished in ")[2]
    assert f": {run}\n" in text
    assert "last, epoch 2" in text and "best, epoch " in text and "(not kept)" not in text
    kept = next(run.glob("best_shot_balanced_epoch_*.pth"))
    assert f"best  {kept} " in text and f"last  {run}/epoch_2.pth " in text
    assert next(run.glob("*/*.log")).as_posix() in text
    assert 1 <= text.partition("worst classes")[2].count(" image") <= 5
    # The command for the test does as it says.
    [test] = [line.strip() for line in text.splitlines() if line.startswith("  python tools/test.py ")]
    words = shlex.split(test)[2:]
    tested = run_tool("test.py", *words, "--work-dir", tmp_path / "test", logs=tmp_path)
    assert tested.exit_code == 0, tested.output
    assert json.loads(tested.log.read_text()[tested.log.read_text().index("{") :])["shot/balanced"] > 0

    silent = run_tool(
        "train.py", config, "--work-dir", run, "--overwrite", *options, logs=tmp_path, env={NO_SUMMARY: "1"}
    )
    assert silent.exit_code == 0 and "Finished in" not in silent.output
