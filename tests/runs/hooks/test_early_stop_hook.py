"""Early stopping: when it ends, that a resume does not forget, and that all processes and stages do the same."""

from __future__ import annotations

import os
import signal
from pathlib import Path
from typing import Any

import pytest
from mmengine.hooks import Hook
from mmengine.runner import Runner

from lt_plugins.checkpoints.checkpoint import find_last_checkpoint, load_checkpoint
from lt_plugins.checks.early_stop import STATE, stopped_early
from lt_plugins.errors import UserInputError
from lt_plugins.runs.hooks import EarlyStopHook
from lt_plugins.runs.recorded_run import RecordedRun
from lt_plugins.runs.run_folder import RunFolder
from tests.engine.test_distributed import free_port
from tests.engine.test_resume import assert_identical
from tests.small_runs import MakeRunner
from tests.tool_process import ROOT, run_ranks, run_tool, start_tool

STEADY = {"train_cfg.max_epochs": 9, "train_cfg.val_interval": 1, "val_dataloader.dataset.indices": 60}


class Scores(Hook):
    """Puts values of a list in the place of what an evaluation has measured, before all other hooks."""

    priority = "VERY_HIGH"

    def __init__(self, *values: float) -> None:
        self.values = [*values]

    def after_val_epoch(self, runner: Runner, metrics: dict[str, float] | None = None) -> None:
        assert metrics is not None
        metrics["shot/balanced"] = self.values[runner.epoch - 1]


def reference(values: list[float], patience: int, min_delta: float = 0.0) -> int:
    """Epoch after which a run stops, by the definition: the first with ``patience`` epochs in a row not above the best
    of all before them."""
    for epoch in range(patience + 1, len(values) + 1):
        best = max(values[: epoch - patience])
        if all(value <= best + min_delta for value in values[epoch - patience : epoch]):
            return epoch
    return len(values)


@pytest.mark.parametrize(
    ("values", "patience"),
    [
        ([5, 4, 6, 6, 3, 7, 8, 1, 2], 2),
        ([5, 4, 6, 6, 3, 7, 8, 1, 2], 3),
        ([1, 2, 3, 4, 5, 6, 7, 8, 9], 1),
        ([0, 0, 0, 0, 0, 0, 0, 0, 0], 1),
        ([9, 1, 1, 1, 1, 1, 1, 1, 1], 8),
    ],
)
def test_where_it_stops(values: list[float], patience: int, make_runner: MakeRunner) -> None:
    hook: dict[str, Any] = {"type": "EarlyStopHook", "patience": patience}
    late = {"default_hooks.checkpoint.min_seconds": 1e6}  # so that only what must be saved is
    runner = make_runner(**STEADY, **late, **{"default_hooks.early_stop": hook})
    runner.register_hook(Scores(*values))
    runner.train()
    assert runner.epoch == reference(values, patience)
    checkpoint = load_checkpoint(find_last_checkpoint(runner.work_dir) or "")
    assert checkpoint["meta"]["epoch"] == runner.epoch
    info = checkpoint["message_hub"]["runtime_info"]
    is_early = runner.epoch < 9
    if is_early:
        assert info[STATE] == {"epoch": runner.epoch, "best_score": max(values[: runner.epoch]), "wait_count": patience}
    cfg = {"default_hooks": {"early_stop": hook}}
    assert stopped_early(info, cfg, runner.epoch) or not is_early
    assert not stopped_early(info, {"default_hooks": {}}, runner.epoch)
    assert not stopped_early(info, {"default_hooks": {"early_stop": {"patience": patience + 1}}}, runner.epoch)
    again = make_runner(**STEADY, **{"default_hooks.early_stop": hook, "resume": True})
    with pytest.raises(UserInputError, match="stopped early after" if is_early else "9 finished epochs"):
        again.train()


def test_what_it_cannot_do(make_runner: MakeRunner) -> None:
    with pytest.raises(UserInputError, match="patience=0"):
        EarlyStopHook(patience=0)
    runner = make_runner(
        **{"default_hooks.early_stop.type": "EarlyStopHook", "val_cfg": None, "val_dataloader": None},
        val_evaluator=None,
    )
    with pytest.raises(UserInputError, match="that is evaluated"):
        runner.train()


SMALL = [
    "model.backbone.depth=20",
    "train_dataloader.dataset.max_count=12",
    "train_dataloader.dataset.imbalance_factor=6",
    "train_dataloader.batch_size=16",
    "val_dataloader.dataset.indices=60",
    "test_dataloader.dataset.indices=60",
    "optim_wrapper.optimizer.lr=0.3",  # never gets better for long
    "default_hooks.logger.interval=1",
]


def test_killed_and_resumed_stops_where_it_would_have(tmp_path: Path) -> None:
    config = ROOT / "configs/ce/ce_r32_digits.py"
    options = ["--early-stop", "2", "--val-interval", "1", "--cfg-options", *SMALL, "train_cfg.max_epochs=30"]
    alone, killed = tmp_path / "alone", tmp_path / "killed"
    done = run_tool("train.py", config, "--work-dir", alone, *options, logs=tmp_path)
    assert done.exit_code == 0, done.output
    last = load_checkpoint(find_last_checkpoint(alone) or "")
    stop = last["meta"]["epoch"]
    assert 3 <= stop < 30
    assert f"Stops early after epoch {stop} of 30: shot/balanced has not been better than " in done.output
    assert "warning: Early stopping looks at the images that the test measures" in done.output

    victim = start_tool("train.py", config, "--work-dir", killed, *options, logs=tmp_path)
    victim.wait_for_line(f"[{stop}][1/")  # one evaluation without a better value is counted, two will be
    os.kill(victim.process.pid or 0, signal.SIGKILL)
    victim.wait()
    resumed = run_tool("train.py", config, "--work-dir", killed, "--resume", *options, logs=tmp_path)
    assert resumed.exit_code == 0, resumed.output
    assert f"Evaluates epoch {stop - 1} again, for early stopping." in resumed.output
    again = load_checkpoint(find_last_checkpoint(killed) or "")
    assert again["meta"]["epoch"] == stop
    for part in ("state_dict", "optimizer", "param_schedulers"):
        assert_identical(again[part], last[part], part)
    assert again["message_hub"]["runtime_info"][STATE] == last["message_hub"]["runtime_info"][STATE]
    scores = [[(row["step"], row["shot/balanced"]) for row in RunFolder(run).log().metrics] for run in (alone, killed)]
    assert scores[0] == scores[1], "each epoch is evaluated once in the record"

    # A sweep takes the run for finished, with the numbers of its last epoch.
    row = RunFolder(alone).log().metrics[-1]
    assert RecordedRun("run", alone, str(config), 0, SMALL).metrics() == row and row["step"] == stop


def test_two_processes_stop_together(tmp_path: Path) -> None:
    options: list[str | Path] = ["--early-stop", "1", "--val-interval", "1", "--cfg-options", *SMALL]
    arguments = [ROOT / "configs/ce/ce_r32_digits.py", "--work-dir", tmp_path / "run", *options]
    ranks = run_ranks("train.py", *arguments, logs=tmp_path / "logs", world_size=2, port=free_port())
    assert [rank.exit_code for rank in ranks] == [0, 0], ranks[0].output + ranks[1].output
    assert load_checkpoint(find_last_checkpoint(tmp_path / "run") or "")["meta"]["epoch"] < 30
    assert "Stops early after epoch" in ranks[0].output


def test_each_stage_stops_and_a_finished_one_is_not_repeated(tmp_path: Path) -> None:
    config = ROOT / "configs/lcreg/lcreg_r32_digits.py"
    run = tmp_path / "run"
    options: list[str | Path] = ["--early-stop", "1", "--val-interval", "1", "--work-dir", run, "--cfg-options", *SMALL]
    victim = start_tool("train.py", config, *options, logs=tmp_path)
    victim.wait_for_line("stage 2 of 2: ")
    os.kill(victim.process.pid or 0, signal.SIGKILL)
    victim.wait()
    first = load_checkpoint(find_last_checkpoint(run / "stage1") or "")["meta"]["epoch"]
    done = run_tool("train.py", config, "--resume", *options, logs=tmp_path)
    assert done.exit_code == 0, done.output
    assert "is skipped: it is finished" in done.output and "Epoch(train)" in done.output
    assert load_checkpoint(find_last_checkpoint(run / "stage1") or "")["meta"]["epoch"] == first


def test_a_run_that_is_not_evaluated_is_refused(tmp_path: Path) -> None:
    config = ROOT / "configs/ce/ce_r32_digits.py"
    done = run_tool(
        "train.py", config, "--early-stop", "3", "--no-validate", "--work-dir", tmp_path / "run", logs=tmp_path
    )
    assert done.exit_code == 1
    assert "--early-stop 3 needs a validation" in done.error_lines[0]
