"""Starts are numbered, and a log that is deleted or finds no room does not stop training."""

from __future__ import annotations

import json
import logging
import resource
import shutil
from pathlib import Path

import pytest
from mmengine.hooks import Hook
from mmengine.runner import Runner

from lt_plugins.checkpoints.checkpoint import find_last_checkpoint
from lt_plugins.runs.hooks.run_log_hook import RunLogFile
from lt_plugins.runs.lasting_vis_backend import LastingVisBackend
from lt_plugins.runs.run_folder import RunFolder
from lt_plugins.runs.run_start import start_number
from tests.runs.hooks.test_safe_checkpoint_hook import _FillDisk, full_disk
from tests.small_runs import MakeRunner


class _DeleteLog(Hook):
    """Deletes the folder of the log after the first epoch."""

    priority = "VERY_LOW"

    def after_train_epoch(self, runner: Runner) -> None:
        if runner.epoch == 0:
            shutil.rmtree(runner.log_dir)


def test_deleting_the_log_does_not_stop_training(make_runner: MakeRunner) -> None:
    runner = make_runner(log_level="INFO", **{"train_cfg.max_epochs": 2, "train_cfg.val_interval": 1})
    runner.register_hook(_DeleteLog())
    runner.train()
    folder = RunFolder(runner.work_dir)
    assert find_last_checkpoint(folder.path) == f"{folder.path}/epoch_2.pth"
    assert [row["epoch"] for row in folder.log().train] == [2], "what came after it"
    assert [row["step"] for row in folder.log().metrics] == [1, 2]
    log = next(folder.starts[0].glob("*.log")).read_text()
    assert "Epoch(train) [2]" in log and "Epoch(train) [1]" not in log
    assert start_number(folder.starts[0]) == 1
    assert folder.class_table()[0].parent == folder.starts[0]


def test_a_resumed_run_has_the_next_number_whatever_the_clock_says(
    make_runner: MakeRunner, monkeypatch: pytest.MonkeyPatch
) -> None:
    options = {"train_cfg.max_epochs": 1, "train_cfg.val_interval": 1}
    first = make_runner(**options)
    first.train()
    monkeypatch.setattr("time.strftime", lambda *_: "20000101_000000")
    resumed = make_runner(
        resume=True, load_from=f"{first.work_dir}/epoch_1.pth", **options | {"train_cfg.max_epochs": 2}
    )
    resumed.train()
    folder = RunFolder(first.work_dir)
    assert [start.name for start in folder.starts] == [Path(first.log_dir).name, "20000101_000000"]
    assert [row["step"] for row in folder.log().metrics] == [1, 2]


def test_scalars_wait_for_room(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    backend, path = LastingVisBackend(save_dir=str(tmp_path)), tmp_path / "scalars.json"
    backend.add_scalars({"loss": 1.0}, step=1)
    written = path.read_bytes()
    with full_disk(len(written) + 5):
        backend.add_scalars({"loss": 2.0}, step=2)
        backend.add_scalars({"loss": 3.0}, step=3)
    assert path.read_bytes() == written, "no part of a line"
    assert capsys.readouterr().err == f"warning: {path} cannot be written (File too large); training continues.\n"
    backend.add_scalars({"loss": 4.0}, step=4)
    assert [json.loads(line)["step"] for line in path.read_text().splitlines()] == [1, 2, 3, 4]


@pytest.mark.parametrize("place", ["/dev/full", "/proc/none/a.log"])
def test_a_text_log_that_cannot_be_written_is_said_once(
    place: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    handler = RunLogFile(logging.FileHandler(tmp_path / "a.log"))
    handler.close()
    handler.baseFilename = place
    for _ in range(3):
        handler.handle(logging.makeLogRecord({"msg": "a line", "levelno": logging.ERROR}))
    handler.close()
    error = capsys.readouterr().err
    assert error.count("\n") == 1 and error.startswith(f"warning: {place} cannot be written (No s")


def test_a_full_disk_for_the_log_does_not_stop_training(
    make_runner: MakeRunner, capsys: pytest.CaptureFixture[str]
) -> None:
    """Only checkpoints and files of an evaluation do, of which there are none here."""
    no_others = {"default_hooks.checkpoint": None, "train_cfg.val_begin": 9}
    runner = make_runner(log_level="INFO", **{"train_cfg.max_epochs": 2}, **no_others)
    runner.register_hook(_FillDisk(epoch=0, room=10))
    limits = resource.getrlimit(resource.RLIMIT_FSIZE)
    try:
        runner.train()
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, limits)
    assert runner.iter == 2 * len(runner.train_dataloader)
    lines = [line for line in capsys.readouterr().err.splitlines() if "cannot be written" in line]
    assert len(lines) == 2, "the text and the scalars"
