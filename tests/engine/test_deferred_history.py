"""A history whose values are read late is mmengine's history to everybody who looks."""

from __future__ import annotations

import copy
import json
import pickle
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from mmengine.logging import HistoryBuffer, MessageHub
from mmengine.runner import Runner

from lt_plugins.checkpoints.checkpoint import load_checkpoint
from lt_plugins.engine.deferred_history import MAX_PENDING, DeferredHistory, defer_scalar
from tests.small_runs import MakeRunner

DTYPES = (torch.float32, torch.float64, torch.bfloat16, torch.int64)


def filled(values: list[torch.Tensor], hub: MessageHub, seed: int) -> None:
    """Log values in both manners, with looks and numbers of the host in between."""
    rng = np.random.default_rng(seed)
    for value in values:
        hub.update_scalar("theirs", value)
        defer_scalar(hub, "ours", value)
        ours, theirs = hub.log_scalars["ours"], hub.log_scalars["theirs"]
        look = rng.integers(12)
        if look == 0:
            assert ours.current() == theirs.current()
        elif look == 1:
            assert ours.mean(10) == theirs.mean(10)
        elif look == 2:
            for key in ("theirs", "ours"):
                hub.update_scalar(key, 0.1, count=3)
        elif look == 3:
            for key in ("theirs", "ours"):
                defer_scalar(hub, key, 7)


@pytest.mark.parametrize("dtypes", [DTYPES[:1], DTYPES[1:2], DTYPES[2:3], DTYPES[3:], DTYPES])
@pytest.mark.parametrize("seed", range(3))
def test_history_is_mmengines(dtypes, seed):
    hub = MessageHub(f"history_{dtypes}_{seed}")
    generator = torch.Generator().manual_seed(seed)
    values = [(torch.randn((), generator=generator) * 9).to(dtypes[i % len(dtypes)]) for i in range(80)]
    filled(values, hub, seed)
    ours, theirs = hub.log_scalars["ours"], hub.log_scalars["theirs"]
    assert isinstance(ours, DeferredHistory)
    for one, other in zip(ours.data, theirs.data, strict=True):
        assert one.dtype == other.dtype and np.array_equal(one, other)
    for name in ("mean", "min", "max", "current"):
        assert ours.statistics(name) == theirs.statistics(name)


def test_copies_and_state_are_mmengines():
    hub = MessageHub("copies")
    filled([torch.tensor(float(i)) / 3 for i in range(20)], hub, seed=0)
    state = hub.state_dict()
    assert state["resumed_keys"] == {"ours": True, "theirs": True}
    ours = hub.log_scalars["ours"]
    for found in (state["log_scalars"]["ours"], copy.copy(ours), pickle.loads(pickle.dumps(ours))):
        assert type(found) is HistoryBuffer
        assert found.__dict__.keys() == state["log_scalars"]["theirs"].__dict__.keys()
        assert found.max_length == ours.max_length and np.array_equal(found.data, ours.data)
    # A run that is resumed goes on from what it reads.
    resumed = MessageHub("resumed")
    resumed.load_state_dict(copy.deepcopy(state))
    filled([torch.tensor(float(i)) / 7 for i in range(9)], resumed, seed=1)
    assert isinstance(resumed.log_scalars["ours"], DeferredHistory)
    assert np.array_equal(resumed.log_scalars["ours"].data, resumed.log_scalars["theirs"].data)


def test_a_tensor_that_changes_later_was_logged_as_it_was():
    hub, value = MessageHub("changes"), torch.zeros(1, requires_grad=True)
    for i in range(5):
        with torch.no_grad():
            value.fill_(i)
        defer_scalar(hub, "value", value)
    assert hub.get_scalar("value").data[0].tolist() == [0, 1, 2, 3, 4]


def test_the_oldest_are_dropped_as_by_mmengine():
    theirs = HistoryBuffer([1.0], [1], max_length=4)
    ours = DeferredHistory(HistoryBuffer([1.0], [1], max_length=4))
    for i in range(11):
        theirs.update(float(i))
        ours.defer(torch.tensor(float(i)))
        if i % 3 == 0:
            ours.current()
    assert np.array_equal(ours.data, theirs.data)


def test_few_values_wait():
    ours = DeferredHistory(HistoryBuffer([1.0], [1]))
    for i in range(MAX_PENDING + 5):
        ours.defer(torch.tensor(float(i)))
        assert len(ours._pending) < MAX_PENDING
    assert len(ours.data[0]) == MAX_PENDING + 6


def test_what_is_no_number_is_refused_as_by_mmengine():
    hub = MessageHub("no number")
    defer_scalar(hub, "value", torch.tensor(1.0))
    with pytest.raises(AssertionError):
        defer_scalar(hub, "value", torch.zeros(2))


def logged(runner: Runner) -> list[dict[str, Any]]:
    """Lines of the log without what the clock says."""
    file = next(Path(runner.work_dir).glob("*/vis_data/scalars.json"))
    lines = [json.loads(line) for line in file.read_text().splitlines()]
    return [{k: v for k, v in line.items() if k not in ("time", "data_time", "memory")} for line in lines]


@pytest.mark.parametrize("by_epoch", [True, False])
def test_a_run_logs_and_saves_the_same(by_epoch: bool, make_runner: MakeRunner, tmp_path: Path) -> None:
    schedule: dict[str, Any] = {"train_cfg.max_epochs": 2}
    if not by_epoch:
        loop = {"_delete_": True, "type": "IterBasedTrainLoop", "max_iters": 18, "val_interval": 18}
        schedule = {"train_cfg": loop, "param_scheduler": [], "log_processor": {"by_epoch": False}}
        schedule |= {"default_hooks.checkpoint.by_epoch": False, "default_hooks.checkpoint.interval": 7}
        schedule["default_hooks.epoch_seed"] = None
    runs = []
    for kind in ("RuntimeInfoHook", "DeferredInfoHook"):
        folder = tmp_path / kind
        runner = make_runner(
            **copy.deepcopy(schedule),  # of which mmengine takes _delete_ out
            **{
                "work_dir": str(folder),
                "train_dataloader.batch_size": 4,
                "default_hooks.logger.interval": 4,
                "default_hooks.runtime_info.type": kind,
                "optim_wrapper.clip_grad": {"max_norm": 0.5},
            },
        )
        runner.train()
        for key in ("loss", "grad_norm"):
            history = runner.message_hub.get_scalar(f"train/{key}")
            assert isinstance(history, DeferredHistory) == (kind == "DeferredInfoHook")
        last = Path((folder / "last_checkpoint").read_text())
        runs.append((logged(runner), load_checkpoint(last)["message_hub"]["log_scalars"], last.name))
    (lines, scalars, name), (other_lines, other_scalars, other_name) = runs
    assert lines == other_lines and len(lines) >= 4 and any("loss" in line for line in lines)
    assert name == other_name and scalars.keys() == other_scalars.keys()
    for key in scalars:
        assert type(other_scalars[key]) is HistoryBuffer
        if not key.endswith(("time", "memory")):
            assert np.array_equal(scalars[key].data, other_scalars[key].data), key
