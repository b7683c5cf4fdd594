"""A finished run becomes a results file: of a classifier in one or several stages, and of a detector."""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import pytest

from lt_plugins.errors import UserInputError
from lt_plugins.runs.config import read_stages
from lt_plugins.runs.recorded_run import RecordedRun
from lt_plugins.runs.result_file import describe_result
from tests.tool_process import ROOT
from tools.dev import readme_tables

CONFIG = "configs/ce/ce_r32_cifar100-lt.py:lt50"
STAGES = "configs/mislas/mislas_r32_cifar10-lt.py:lt10"
DETECTOR = "configs/detection/faster-rcnn_r18-c4_200i_voc07-part.py"
LOG = """\
2026/11/21 06:21:31 - mmengine - INFO -
    CUDA available: True
    GPU 0,1: NVIDIA H200
    PyTorch: 2.11.0+cu130
    seed: 3
2026/11/21 06:22:01 - mmengine - INFO - Epoch(train) [1][50/85]
2026/11/21 06:31:31 - mmengine - INFO - done
"""


@pytest.fixture(autouse=True)
def at_the_root(monkeypatch: pytest.MonkeyPatch) -> None:
    """Configs are named as a user names them."""
    monkeypatch.chdir(ROOT)


def evaluation(step: int, overall: float, few: float) -> str:
    scores = {"shot/accuracy_top1": overall, "shot/few": few, "calibration/ece": 7.0}
    return json.dumps({**scores, "data_time": 0.1, "time": 1.0, "step": step})


def write_start(folder: Path, config: str, stage: int, overrides: dict[str, Any], lines: Sequence[str]) -> None:
    """What a start of a run leaves in its folder."""
    (folder / "vis_data").mkdir(parents=True)
    cfg = read_stages(config, overrides)[stage]
    cfg.dump(folder / "vis_data" / "config.py")
    (folder / "vis_data" / "scalars.json").write_text("\n".join(lines))
    (folder / f"{folder.name}.log").write_text(LOG)


def make(
    folder: Path, config: str = CONFIG, stages: Sequence[int] = (-1,), overrides: Sequence[str] = (), epochs: int = 20
) -> RecordedRun:
    """A run of a sweep, the last epoch of which is not the best."""
    train = [json.dumps({"loss": 2.0, "memory": 900 + i, "epoch": i, "iter": i, "step": i}) for i in (1, 2)]
    options = dict(pair.split("=") for pair in overrides)
    for stage in stages:
        lines = [*train, evaluation(epochs - 2, 33.25, 6.0), evaluation(epochs, 32.5, 5.0)]
        start = folder / ("" if stage == -1 else f"stage{stage + 1}") / "20261121_062131"
        write_start(start, config, stage, {key: int(value) for key, value in options.items()}, lines)
    return RecordedRun("a, seed 3", folder, config, 3, overrides)


def test_a_classifier(tmp_path: Path) -> None:
    run = make(tmp_path, overrides=["train_cfg.max_epochs=20", "train_dataloader.batch_size=64"])
    result = describe_result(run, ["--shorten", "10"])
    commit = result.pop("commit")
    assert commit == "" or len(commit) == 40
    assert result == {
        "config": CONFIG,
        "command": f"python tools/train.py {CONFIG} --shorten 10 --cfg-options randomness.seed=3 "
        "train_cfg.max_epochs=20 train_dataloader.batch_size=64",
        "seed": 3,
        "dataset": "cifar100-lt",
        "epochs": 20,
        "draw": "ldam",
        "schedule": "short",
        "hardware": "2 x NVIDIA H200",
        "torch": "2.11.0+cu130",
        "time_s": 600.0,
        "max_memory_mb": 902,
        "metrics": {"overall": 32.5, "few": 5.0, "ece": 7.0},
        "best": {"epoch": 18, "overall": 33.25, "few": 6.0, "ece": 7.0},
    }


def test_numbers_of_glt_keep_their_names(tmp_path: Path) -> None:
    run = make(tmp_path, overrides=["train_cfg.max_epochs=20"])
    (tmp_path / "tested.json").write_text('{"clt/accuracy": 42.51239, "gap/precision": -1, "val-glt/accuracy": 3}')
    result = describe_result(run)
    assert result["metrics"] == {"clt_accuracy": 42.5124, "gap_precision": -1.0}
    assert result["best"]["epoch"] == 18, "of the evaluations during the training"


def test_a_result_of_stages_names_them_all(tmp_path: Path) -> None:
    overrides = ["train_cfg.max_epochs=5", "stage2.train_cfg.max_epochs=20"]
    run = make(tmp_path, STAGES, [-1], overrides)
    with pytest.raises(UserInputError, match=r"has no folder stage1; .* all 2 stages"):
        describe_result(run)
    make(tmp_path, STAGES, [0], overrides, epochs=5)
    result = describe_result(run)
    assert (result["config"], result["epochs"], result["schedule"]) == (STAGES, 20, "short")
    assert (result["time_s"], result["metrics"]["overall"]) == (600.0, 32.5)
    assert result["command"].endswith(f"--cfg-options randomness.seed=3 {' '.join(overrides)}")
    first = result["previous_stage"]
    assert first.pop("commit") == result["commit"]
    assert first == {"config": f"{STAGES},stage1", "epochs": 5, "time_s": 600.0}
    assert readme_tables._epochs(result | {"previous_stage": first | {"previous_stage": {"epochs": 7}}}) == "7 + 5 + 20"


@pytest.mark.parametrize("stage", [1, 2, None])
def test_fewer_epochs_of_any_stage_make_a_short_schedule(stage: int | None, tmp_path: Path) -> None:
    full = [cfg.train_cfg.max_epochs for cfg in read_stages(STAGES)]
    epochs = [number - (stage == place) for place, number in enumerate(full, start=1)]
    overrides = [f"train_cfg.max_epochs={epochs[0]}", f"stage2.train_cfg.max_epochs={epochs[1]}"]
    run = make(tmp_path, STAGES, [0], overrides, epochs[0]) and make(tmp_path, STAGES, [-1], overrides, epochs[1])
    assert describe_result(run)["schedule"] == ("full" if stage is None else "short")


def test_images_of_the_user_are_the_dataset(tmp_path: Path) -> None:
    run = make(tmp_path / "run", overrides=["train_cfg.max_epochs=20"])
    own = RecordedRun("a", run.folder, CONFIG, 3, ["train_cfg.max_epochs=20"], data="my/photos")
    assert describe_result(own)["dataset"] == "photos"
    assert " --data my/photos --cfg-options" in describe_result(own)["command"]


def test_a_detector_that_was_resumed_once(tmp_path: Path) -> None:
    overrides = ["train_dataloader.batch_size=2"]
    for name, steps in (("20261121_062131", (20, 100)), ("20261121_072131", (120, 200))):
        rows: list[dict[str, float]] = [{"loss": 400 / s, "memory": 900 + s, "iter": s, "step": s} for s in steps]
        rows += [{"pascal_voc/mAP": 0.0123, "pascal_voc/AP50": 0.041, "pascal_voc/AP75": 0.002, "step": 0}]
        lines = [json.dumps(row) for row in rows if "iter" in row or 200 in steps]
        write_start(tmp_path / name, DETECTOR, -1, {"train_dataloader.batch_size": 2}, lines)
    details = {"sha256": "ab12", "backbone": {"name": "ce", "checkpoint": "ce.pth"}}
    run = RecordedRun("ce, seed 3", tmp_path, DETECTOR, 3, overrides, details)
    result = describe_result(run, ["--backbone", "ce.pth"])
    assert len(result.pop("commit")) in (0, 40)
    assert result == {
        "config": DETECTOR,
        "command": f"python tools/train.py {DETECTOR} --backbone ce.pth --cfg-options randomness.seed=3 "
        "train_dataloader.batch_size=2",
        "seed": 3,
        "backbone": {"name": "ce", "checkpoint": "ce.pth", "sha256": "ab12"},
        "iterations": 200,
        "starts": 2,
        "schedule": "full",
        "hardware": "2 x NVIDIA H200",
        "torch": "2.11.0+cu130",
        "time_s": 1200.0,
        "max_memory_mb": 1100,
        "loss": {"first": 20.0, "last": 2.0},
        "metrics": {"AP50": 4.1, "AP": 1.23, "AP75": 0.2},
    }


def test_an_unfinished_run_is_refused(tmp_path: Path) -> None:
    run = make(tmp_path, overrides=["train_cfg.max_epochs=20"])
    scalars = next(tmp_path.rglob("scalars.json"))
    scalars.write_text("\n".join(scalars.read_text().splitlines()[:-1]))
    with pytest.raises(UserInputError, match="is not finished"):
        describe_result(run)


@pytest.mark.parametrize(
    "harm",
    [
        lambda start: (start / "vis_data" / "config.py").write_text("a = ("),
        lambda start: (start / "vis_data" / "config.py").write_text("train_cfg = 3"),
        lambda start: (start / "vis_data" / "scalars.json").write_text("[1]"),
        lambda start: next(start.glob("*.log")).unlink(),
        lambda start: next(start.glob("*.log")).write_bytes(b"\xff\0"),
        lambda start: next(start.glob("*.log")).write_text("9999/99/99 99:99:99 - a"),
    ],
    ids=range(6),
)
def test_a_foreign_run_is_one_line(harm: Callable[[Path], object], tmp_path: Path) -> None:
    run = make(tmp_path, overrides=["train_cfg.max_epochs=20"])
    harm(next(tmp_path.glob("2*/")))
    with pytest.raises(UserInputError) as caught:
        describe_result(run)
    assert "\n" not in str(caught.value) and str(tmp_path) in str(caught.value)
