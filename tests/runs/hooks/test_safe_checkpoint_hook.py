"""No failure of a save takes the last good checkpoint away."""

from __future__ import annotations

import math
import multiprocessing
import os
import resource
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
import torch
from mmengine.hooks import Hook
from mmengine.runner import Runner

from lt_plugins.atomic_write import TEMPORARY_SUFFIX, atomic_write
from lt_plugins.checkpoints.checkpoint import find_last_checkpoint, load_checkpoint
from lt_plugins.errors import UserInputError
from lt_plugins.runs.hooks import SafeCheckpointHook
from tests.small_runs import MakeRunner


@contextmanager
def full_disk(room: int) -> Iterator[None]:
    """Let no file grow beyond ``room`` bytes, as a full disk would."""
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (room, hard))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))


def test_full_disk_leaves_the_old_file(tmp_path: Path) -> None:
    path = tmp_path / "folder" / "a.pth"
    atomic_write(path, b"old")
    with full_disk(1000), pytest.raises(OSError, match="too large"):
        atomic_write(path, bytes(2000))
    assert path.read_bytes() == b"old"
    assert list(path.parent.iterdir()) == [path]


def _write_again_and_again(path: Path, size: int) -> None:
    for value in range(1, 256):
        atomic_write(path, bytes([value]) * size)


@pytest.mark.parametrize("delay", [0.0, 0.01, 0.03])
def test_kill_during_a_write_leaves_a_complete_file(delay: float, tmp_path: Path) -> None:
    path, size = tmp_path / "a.pth", 20_000_000
    atomic_write(path, bytes(size))
    process = multiprocessing.get_context("forkserver").Process(target=_write_again_and_again, args=(path, size))
    process.start()
    temporary = path.with_name(f"{path.name}.{process.pid}{TEMPORARY_SUFFIX}")
    while not temporary.exists():
        assert process.is_alive()
    time.sleep(delay)
    process.kill()
    process.join()
    content = path.read_bytes()
    assert content == content[:1] * size


class _FillDisk(Hook):
    """Lets a save fail half way, from an epoch on."""

    priority = "VERY_LOW"  # registered after the default hooks, so ``before_train_epoch`` comes last

    def __init__(self, epoch: int, room: int = 200_000) -> None:
        self.epoch, self.room = epoch, room

    def before_train_epoch(self, runner: Runner) -> None:
        if runner.epoch == self.epoch:
            _, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
            resource.setrlimit(resource.RLIMIT_FSIZE, (self.room, hard))


def test_training_stops_with_the_last_good_checkpoint_in_place(make_runner: MakeRunner) -> None:
    runner = make_runner(**{"default_hooks.checkpoint.max_keep_ckpts": 1})
    runner.register_hook(_FillDisk(epoch=1))
    folder = Path(runner.work_dir)
    limits = resource.getrlimit(resource.RLIMIT_FSIZE)
    try:
        with pytest.raises(UserInputError, match=r"epoch_2\.pth could not be written .* --resume"):
            runner.train()
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, limits)
    assert sorted(path.name for path in folder.glob("*.pth*")) == ["epoch_1.pth"]
    assert find_last_checkpoint(folder) == str(folder / "epoch_1.pth")
    assert load_checkpoint(folder / "epoch_1.pth")["meta"]["epoch"] == 1

    (folder / f"epoch_2.pth{TEMPORARY_SUFFIX}").write_bytes(b"cut off")  # as a kill would leave it
    resumed = make_runner(
        resume=True, load_from=str(folder / "epoch_1.pth"), **{"default_hooks.checkpoint.max_keep_ckpts": 1}
    )
    resumed.train()
    assert sorted(path.name for path in folder.glob("*.pth*")) == ["epoch_3.pth"]
    assert find_last_checkpoint(folder) == str(folder / "epoch_3.pth")


class _Waiting(Hook):
    """Lets a minute pass in one epoch, as the checkpoint hook sees it."""

    def __init__(self, epoch: int) -> None:
        self.epoch = epoch

    def before_train_epoch(self, runner: Runner) -> None:
        if runner.epoch == self.epoch:
            next(hook for hook in runner.hooks if isinstance(hook, SafeCheckpointHook))._last_write -= 60


def test_epochs_within_the_least_time_write_none_but_the_last(make_runner: MakeRunner) -> None:
    runner = make_runner(
        **{
            "train_cfg.max_epochs": 4,
            "default_hooks.checkpoint.max_keep_ckpts": -1,
            "default_hooks.checkpoint.min_seconds": 50,
        }
    )
    runner.register_hook(_Waiting(epoch=1))
    runner.train()
    names = sorted(path.name for path in Path(runner.work_dir).glob("*.pth"))
    assert names == ["epoch_2.pth", "epoch_4.pth"]
    assert find_last_checkpoint(runner.work_dir) == f"{runner.work_dir}/epoch_4.pth"


@pytest.mark.parametrize("seconds", [-1.0, math.inf, math.nan])
def test_least_time_is_a_time(seconds: float) -> None:
    with pytest.raises(UserInputError, match=rf"min_seconds={seconds} must be 0 or more"):
        SafeCheckpointHook(interval=1, min_seconds=seconds)


def test_a_new_run_leaves_an_earlier_one_alone(make_runner: MakeRunner) -> None:
    options = {"train_cfg.max_epochs": 2, "default_hooks.checkpoint.max_keep_ckpts": -1}
    first = make_runner(**options)
    first.train()
    folder = Path(first.work_dir)
    before = {path.name: path.read_bytes() for path in folder.glob("*.pth")}
    with pytest.raises(UserInputError, match=r"holds epoch_1\.pth of an earlier run.* --resume.* --overwrite"):
        make_runner(**options).train()
    assert {path.name: path.read_bytes() for path in folder.glob("*.pth")} == before
    options |= {"train_cfg.max_epochs": 1, "default_hooks.checkpoint.overwrite": True}
    make_runner(**options).train()
    assert [path.name for path in folder.glob("*.pth")] == ["epoch_1.pth"], "none of the earlier run is left"
    elsewhere = {"resume": True, "load_from": str(folder / "epoch_1.pth"), "work_dir": str(folder / "other")}
    (folder / "other").mkdir()
    (folder / "other" / "epoch_7.pth").touch()
    with pytest.raises(UserInputError, match=r"holds epoch_7\.pth of an earlier run"):
        make_runner(**{"train_cfg.max_epochs": 2}, **elsewhere).train()


def test_best_checkpoint_replaces_the_previous_best_of_its_own_run_only(
    make_runner: MakeRunner, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    options = {
        "default_hooks.checkpoint.save_best": "score",
        "default_hooks.checkpoint.rule": "greater",
        "default_hooks.checkpoint.max_keep_ckpts": 2,
        "train_cfg.max_epochs": 1,
        **dict.fromkeys(["val_cfg", "val_dataloader", "val_evaluator"]),
    }
    runner = make_runner(**options)
    runner.train()
    hook = next(hook for hook in runner.hooks if isinstance(hook, SafeCheckpointHook))
    folder = Path(runner.work_dir)

    foreign = tmp_path / "best_of_another_run.pth"
    foreign.touch()
    hook.best_ckpt_path = str(foreign)
    hook._save_best_checkpoint(runner, {"score": 1.0})
    assert foreign.exists()
    first = Path(str(hook.best_ckpt_path))
    assert first.parent == folder

    def fail(*_: object) -> None:
        raise OSError(28, "No space left on device")

    runner.train_loop._epoch = 2
    with monkeypatch.context() as patch:
        patch.setattr("lt_plugins.runs.hooks.safe_checkpoint_hook.atomic_write", fail)
        with pytest.raises(UserInputError, match="No space left on device"):
            hook._save_best_checkpoint(runner, {"score": 2.0})
    assert first.exists()

    hook.best_ckpt_path = str(first)
    hook._save_best_checkpoint(runner, {"score": 3.0})
    assert not first.exists()
    assert torch.equal(
        load_checkpoint(Path(str(hook.best_ckpt_path)))["state_dict"]["head.fc.bias"], runner.model.head.fc.bias
    )


def test_a_work_dir_whose_name_is_not_utf_8(make_runner: MakeRunner, tmp_path: Path) -> None:
    work_dir = f"{tmp_path}/run{os.fsdecode(bytes([255]))}"
    make_runner(work_dir=work_dir, **{"train_cfg.max_epochs": 1}).train()
    last = find_last_checkpoint(work_dir)
    assert last == f"{work_dir}/epoch_1.pth"
    for mmap in (False, True):
        assert load_checkpoint(last, mmap=mmap)["meta"]["epoch"] == 1
    resumed = make_runner(work_dir=work_dir, resume=True, load_from=last, **{"train_cfg.max_epochs": 2})
    resumed.train()
    assert resumed.epoch == 2


def test_remote_storage_is_refused() -> None:
    with pytest.raises(UserInputError, match="local folders only"):
        SafeCheckpointHook(backend_args={"backend": "petrel"})
