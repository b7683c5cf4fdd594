"""Shares of runs side by side: CPU threads and GPUs; and that the pool ends what it began."""

from __future__ import annotations

import os
import sys
from collections.abc import Sequence
from pathlib import Path
from threading import Barrier

import pytest

from lt_plugins.errors import UserInputError
from lt_plugins.runs.pool_output import PoolOutput
from lt_plugins.runs.recorded_run import RecordedRun, RunCommand
from lt_plugins.runs.run_pool import RunPool, job_threads, slot_devices


def test_threads_share_the_cores(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("OMP_NUM_THREADS", raising=False)
    cores = len(os.sched_getaffinity(0))
    assert job_threads(1) is None, "as tools/train.py alone"
    assert [job_threads(jobs) for jobs in (2, cores + 1)] == [max(1, cores // 2), 1]
    assert [job_threads(2, num_gpus=4), job_threads(1, num_gpus=4)] == [1, None]
    monkeypatch.setenv("OMP_NUM_THREADS", "3")
    assert [job_threads(1), job_threads(8), job_threads(2, num_gpus=2)] == [3, 3, 3]
    for wrong in ("0", "-1", "two", "1.5"):
        monkeypatch.setenv("OMP_NUM_THREADS", wrong)
        with pytest.raises(UserInputError, match=f"OMP_NUM_THREADS='{wrong}' in the environment must be a number"):
            job_threads(2)


@pytest.mark.parametrize(
    ("jobs", "num_gpus", "visible", "chosen"),
    [
        (4, 1, ["0", "1"], ["0", "1", "0", "1"]),
        (3, 1, ["2", "5"], ["2", "5", "2"]),
        (2, 2, ["0", "1", "2", "3"], ["0,1", "2,3"]),
        (2, 2, ["0", "1", "2"], ["0,1", "2,0"]),
        (2, 3, ["0", "1"], ["0,1", "1,0"]),
        (2, 1, ["0"], [None, None]),
        (2, 1, [], [None, None]),
        (1, 1, ["0", "1"], [None]),
    ],
)
def test_devices_go_round(jobs: int, num_gpus: int, visible: Sequence[str], chosen: list[str | None]) -> None:
    found = [slot_devices(slot, jobs, num_gpus, visible).get("CUDA_VISIBLE_DEVICES") for slot in range(jobs)]
    assert found == chosen


def test_devices_of_the_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "GPU-ab, GPU-cd")
    assert slot_devices(3, jobs=4, num_gpus=1) == {"CUDA_VISIBLE_DEVICES": "GPU-cd"}


class FakeTraining(RecordedRun):
    """A run whose training is a function."""

    def __init__(self, name: str, folder: Path, error: Exception | None = None, meet: Barrier | None = None) -> None:
        super().__init__(name, folder / name, "a.py", 0, [])
        self.error, self.meet = error, meet

    def finish(
        self,
        options: Sequence[str] = (),
        num_gpus: int = 1,
        run_command: RunCommand | None = None,
    ) -> dict[str, float]:
        """Meet the other, or fail."""
        assert (list(options), num_gpus) == (["--x"], 1) and run_command is not None
        if self.meet is not None:
            self.meet.wait(timeout=30)
        if self.error is not None:
            raise self.error
        return {"few": 1.0}


def test_a_failing_run_stops_no_other(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    meet = Barrier(2)  # both run at a time, or neither would end
    runs = [
        FakeTraining("bad", tmp_path, UserInputError("no image"), meet),
        FakeTraining("full", tmp_path, OSError(28, "No space left on device", "x.pth"), meet),
        FakeTraining("good", tmp_path),
    ]
    with RunPool(2, 1, PoolOutput(), {run: f"starts {run}" for run in runs}) as pool:
        outcomes = {str(outcome.run): outcome for outcome in pool.finish({run: ["--x"] for run in runs})}
    assert outcomes["bad"].error == "no image" and "No space left on device" in (outcomes["full"].error or "")
    assert (outcomes["good"].error, outcomes["good"].metrics, outcomes["bad"].metrics) == (None, {"few": 1.0}, {})
    assert set(capsys.readouterr().out.splitlines()) == {"starts bad", "starts full", "starts good"}


def test_a_bug_is_no_failed_run(tmp_path: Path) -> None:
    runs = [FakeTraining("bug", tmp_path, ZeroDivisionError()), FakeTraining("later", tmp_path)]
    with (
        RunPool(1, 1, PoolOutput(), dict.fromkeys(runs, "")) as pool,
        pytest.raises(ZeroDivisionError),
    ):
        list(pool.finish({run: ["--x"] for run in runs}))


class Endless(RecordedRun):
    """A run whose training does not end by itself."""

    def finish(
        self,
        options: Sequence[str] = (),
        num_gpus: int = 1,
        run_command: RunCommand | None = None,
    ) -> dict[str, float]:
        """Sleep."""
        assert run_command is not None
        run_command([sys.executable, "-S", "-c", "import time; time.sleep(60)"], {})
        raise AssertionError("it was not stopped")


def test_a_stopped_pool_yields_only_what_has_ended(tmp_path: Path) -> None:
    runs = [FakeTraining("done", tmp_path), Endless("stopped", tmp_path, "a.py", 0, []), FakeTraining("none", tmp_path)]
    found = []
    with RunPool(1, 1, PoolOutput(), dict.fromkeys(runs, "")) as pool:
        for outcome in pool.finish({run: ["--x"] for run in runs}):
            found.append(outcome.run)
            pool.stop()
    assert found == runs[:1]
