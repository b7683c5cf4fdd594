"""No step of a training waits for the device: nothing asks for a value of a tensor, but the log and every tenth step.

What would wait for a GPU is seen on a CPU as well: the operations that bring values of tensors to the host, or whose
results have a size that only the values tell.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
import torch
from mmengine.hooks import Hook
from mmengine.runner import Runner
from torch.overrides import TorchFunctionMode
from torch.utils._python_dispatch import TorchDispatchMode

from lt_plugins.engine.hooks import FiniteTrainingHook
from lt_plugins.runs.config import read_stages
from lt_plugins.runs.hooks import ProgressHook
from lt_plugins.runs.quiet_runner import QuietRunner
from tests.tool_process import ROOT

WAITING = {"_local_scalar_dense", "equal", "nonzero", "masked_select", "_unique2", "unique_dim", "repeat_interleave"}
INDEXING = {"index", "index_put", "index_put_", "_index_put_impl_"}
"""They wait where they are given a mask."""
NUM_STEPS = 12


class _Calls(TorchFunctionMode):
    """Notes what reads memory of the CPU without an operation."""

    def __init__(self, names: list[str]) -> None:
        super().__init__()
        self.names = names

    def __torch_function__(
        self, func: Any, types: Any, args: tuple[Any, ...] = (), kwargs: dict[str, Any] | None = None
    ) -> Any:
        if func in (torch.Tensor.tolist, torch.Tensor.cpu):
            self.names.append(func.__name__)
        return func(*args, **(kwargs or {}))


class _Operations(TorchDispatchMode):
    """Notes operations that would wait for the device."""

    def __init__(self, names: list[str]) -> None:
        super().__init__()
        self.names = names

    def __torch_dispatch__(
        self, func: Any, types: Any, args: tuple[Any, ...] = (), kwargs: dict[str, Any] | None = None
    ) -> Any:
        name = func.overloadpacket.__name__
        indices = [index for index in args[1] if index is not None] if name in INDEXING else []
        if name in WAITING or any(index.dtype == torch.bool for index in indices):
            self.names.append(name)
        return func(*args, **(kwargs or {}))


@contextmanager
def noted_waits() -> Iterator[list[str]]:
    """Note what would wait for the device."""
    names: list[str] = []
    with _Calls(names), _Operations(names):
        yield names


class WaitsHook(Hook):
    """Notes the waits of each step of a training, hooks included."""

    def __init__(self) -> None:
        self.waits: list[list[str]] = []

    def before_train(self, runner: Runner) -> None:
        runner.train_loop.run_iter = self._noted(runner.train_loop.run_iter)

    def _noted(self, run_iter: Callable[[int, Any], None]) -> Callable[[int, Any], None]:
        def run(idx: int, data_batch: Any) -> None:
            with noted_waits() as names:
                run_iter(idx, data_batch)
            self.waits.append(names)

        return run


def test_what_waits_is_noted() -> None:
    values = torch.arange(4.0)
    with noted_waits() as names:
        float(values.sum())
        values[values > 1]
        values[torch.tensor([0, 2])] = torch.ones(2)
        values[values < 2] = torch.zeros(3)
        torch.where(values > 2, values, 0.0).topk(2)
        values.tolist()
    assert names == ["_local_scalar_dense", "index", "index_put_", "tolist"]


@pytest.mark.parametrize(
    "config",
    [
        "balms/balms",
        "bbn/bbn",
        "bcl/bcl",
        "byol/byol",
        "ce/ce",
        "cmo/cmo",
        "glmc/glmc",
        "ifl/ifl",
        "isda/isda",
        "lff/lff",
        "lpa/lpa",
        "metasaug/metasaug",
        "oltr/oltr",
        "pcl/pcl",
        "proco/proco",
        "remix/remix-drw",
        "ride/ride",
        "sam/focal-sam",
        "sam/sam",
        "sbcl/sbcl",
        "ssd/ssd",
        "tsc/tsc",
    ],
)
def test_steps_wait_for_nothing(config: str, tmp_path: Path) -> None:
    stages = read_stages(str(ROOT / f"configs/{config}_r32_digits.py"))
    cfg = stages["oltr" in config or "tsc" in config]  # its second stage, from random weights
    batches = "train_dataloader.batch_sampler" if "batch_sampler" in cfg.train_dataloader else "train_dataloader"
    cfg.merge_from_dict(
        {
            "work_dir": str(tmp_path),
            "log_level": "ERROR",
            "model.backbone.depth": 20,
            "train_dataloader.batch_size": 8,
            f"{batches}.drop_last": True,
            "train_dataloader.dataset.imbalance_factor": 1,
            "train_dataloader.dataset.max_count": NUM_STEPS * 8 // 10 + 1,
            "train_cfg.max_epochs": 1,
            "auto_scale_lr.enable": False,
            "scale_schedule": False,
        }
    )
    for clustering in cfg.get("custom_hooks", []):
        if clustering.type == "ReclusterHook":
            clustering.start = 0
    augments = cfg.model.get("train_cfg", {}).get("augments", {})
    if "mix_from" in augments:
        augments.update(mix_from=0, prob=1.0)
    runner = QuietRunner.from_cfg(cfg)
    hook = WaitsHook()
    runner.register_hook(hook, "LOWEST")
    runner.register_hook(ProgressHook())  # as tools/train.py does
    runner.train()
    [interval] = [other.interval for other in runner.hooks if isinstance(other, FiniteTrainingHook)]
    assert len(hook.waits) == NUM_STEPS > interval
    looks = {1, interval, NUM_STEPS}  # a log begins with a number, and ends an epoch with a line
    assert {step for step, names in enumerate(hook.waits, start=1) if names} == looks, hook.waits
