"""Contestants of `benchmarks/step_cost.py`: stages of configs that train step by step, each when it is called.

What a step does is counted by the operators that torch is called with, so whatever a method adds (further views, second
passes, networks without a gradient, inner steps) is in the count.
"""

from __future__ import annotations

import copy
import itertools
import json
import time
import weakref
from collections.abc import Iterator
from pathlib import Path
from typing import Any, ClassVar, NamedTuple

import torch
from mmengine.config import Config
from torch import nn
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves
from torch.utils.flop_counter import FlopCounterMode

from benchmarks.timed_runs import Span
from lt_plugins.runs.config import read_stages
from lt_plugins.runs.quiet_runner import QuietRunner
from lt_plugins.runs.teachers import list_teachers

NUM_IMAGES = 12_000
LATE = 0.9
"""The part of the training after which the steps are: what is deferred has begun."""


class Count(NamedTuple):
    """What a step does.

    Args:
        forward (int): Floating point operations of the convolutions, forward.
        backward (int): Those of their gradients.
        memory (int): Most bytes in use at a time: weights, optimiser and what the step makes.
    """

    forward: int
    backward: int
    memory: int


class Trained(NamedTuple):
    """Stage of a config that takes steps.

    Args:
        name (str): The method, and the stage if there are several.
        config (str): Its config.
        stage (int): Number of the stage, from 1.
        key (str): What it trains with: equal for stages that take the same steps.
        cfg (Config): The config of the stage, at the size of the benchmark.
    """

    name: str
    config: str
    stage: int
    key: str
    cfg: Config


class Steps:
    """What takes training steps and counts what they do.

    Args:
        model (nn.Module): The network.
        optimizer (torch.optim.Optimizer): Its optimiser.
        device (torch.device): Where it runs.
    """

    def __init__(self, model: nn.Module, optimizer: torch.optim.Optimizer, device: torch.device) -> None:
        self.model = model
        self.optimizer = optimizer
        self.device = device

    def step(self) -> Span:
        """Take a step.

        Returns:
            Span: What it took.
        """
        raise NotImplementedError

    def count(self) -> Count:
        """Take a step and count what it does."""
        on_gpu = self.device.type == "cuda"
        live = _LiveBytes([self.model, self.optimizer])
        if on_gpu:
            torch.cuda.reset_peak_memory_stats(self.device)
        flops = FlopCounterMode(display=False)
        flops.mod_tracker = _Whole()  # type: ignore[assignment]
        with flops, live:
            self.step()
        found = {str(op): number for op, number in flops.get_flop_counts()["Global"].items()}
        backward = sum(number for op, number in found.items() if "convolution_backward" in op)
        forward = sum(number for op, number in found.items() if "convolution" in op) - backward
        return Count(forward, backward, torch.cuda.max_memory_allocated(self.device) if on_gpu else live.peak)

    def _now(self) -> Span:
        if self.device.type == "cuda":
            torch.cuda.synchronize(self.device)
        return Span(time.perf_counter(), time.process_time())


class _Whole:
    """Counts for the step as a whole, not by modules, whose hooks ``torch.func`` does not take."""

    parents: ClassVar[set[str]] = {"Global"}

    def __enter__(self) -> None:
        """Nothing to do."""

    def __exit__(self, *_: object) -> None:
        """Nothing to do; the counter gives no arguments."""


class PlainSteps(Steps):
    """Plain training of a network: each image once forward and once backward, with a loss that costs nothing.

    Args:
        backbone (nn.Module): The network; a copy of it is trained.
        batch_size (int): Images of a step.
        device (torch.device): Where it runs.
    """

    def __init__(self, backbone: nn.Module, batch_size: int, device: torch.device) -> None:
        model = copy.deepcopy(backbone).train().requires_grad_(True)
        super().__init__(model, torch.optim.SGD(model.parameters(), lr=1e-5, momentum=0.9, weight_decay=1e-4), device)
        self.images = torch.randn(batch_size, 3, 32, 32, device=device).contiguous(memory_format=torch.channels_last)
        self.step()

    def step(self) -> Span:
        """Take a step.

        Returns:
            Span: What it took.
        """
        begin = self._now()
        self.optimizer.zero_grad()
        sum(feats.mean() for feats in tree_leaves(self.model(self.images))).backward()
        self.optimizer.step()
        return self._now() - begin


class Stepper(Steps):
    """A stage of a config, ready for the steps of a late epoch: its hooks have run up to the first step.

    Args:
        trained (Trained): The stage.
        folder (Path): For its files; checkpoints of earlier stages are there.
        device (torch.device): Where it runs.
    """

    def __init__(self, trained: Trained, folder: Path, device: torch.device) -> None:
        cfg = copy.deepcopy(trained.cfg)
        of_stage = {stage: folder / f"{Path(trained.config).stem}_{stage}.pth" for stage in range(1, trained.stage + 1)}
        if trained.stage > 1 and not cfg.get("from_scratch"):
            cfg.load_from = str(of_stage[trained.stage - 1])
        for _, teacher in list_teachers(cfg):
            teacher["checkpoint"] = str(of_stage[teacher.pop("stage", trained.stage - 1)])
        cfg.work_dir = str(folder / of_stage[trained.stage].stem)
        cfg.experiment_name = f"{of_stage[trained.stage].stem}_{id(self)}"
        self.runner = QuietRunner.from_cfg(cfg)
        self.loop = self.runner.train_loop
        self.loop._epoch = int(LATE * self.loop._max_epochs)
        run_iter, self.loop.run_iter = self.loop.run_iter, _stop
        try:
            self.runner.train()
        except _StoppedError:
            self.loop.run_iter = run_iter
        super().__init__(self.runner.model, self.runner.optim_wrapper.optimizer, device)
        self._batches = self._draw_batches()
        self.step()
        torch.save({"state_dict": self.runner.model.state_dict()}, of_stage[trained.stage])

    def step(self) -> Span:
        """Take a step on the next batch, whose loading is not timed.

        Returns:
            Span: What it took.
        """
        index, batch = next(self._batches)
        begin = self._now()
        self.loop.run_iter(index, batch)
        return self._now() - begin

    def _draw_batches(self) -> Iterator[tuple[int, Any]]:
        while True:  # the last batch of an epoch may be smaller
            yield from enumerate(itertools.islice(self.loop.dataloader, len(self.loop.dataloader) - 1))


class _StoppedError(Exception):
    """Ends the preparation."""


def _stop(*_: Any) -> None:
    raise _StoppedError


class _LiveBytes(TorchDispatchMode):
    """Adds up the bytes of all tensors that are alive, from those of a model and its optimiser on."""

    def __init__(self, parts: list[nn.Module | torch.optim.Optimizer]) -> None:
        super().__init__()
        self.now = self.peak = 0
        self._known: weakref.WeakSet[torch.UntypedStorage] = weakref.WeakSet()
        for part in parts:
            own = (
                [*part.parameters(), *part.buffers()] if isinstance(part, nn.Module) else tree_leaves(part.state_dict())
            )
            self._add(own)

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        result = func(*args, **(kwargs or {}))
        self._add(tree_leaves(result))
        return result

    def _add(self, values: list[Any]) -> None:
        for value in values:
            if isinstance(value, torch.Tensor) and (storage := value.untyped_storage()) not in self._known:
                self._known.add(storage)
                self.now += storage.nbytes()
                weakref.finalize(storage, self._drop, storage.nbytes())
        self.peak = max(self.peak, self.now)

    def _drop(self, size: int) -> None:
        self.now -= size


def read_trained(name: str, path: Path, batch_size: int) -> list[Trained]:
    """Read the stages of a config that take steps.

    Args:
        name (str): The method.
        path (Path): Its config.
        batch_size (int): Images of a step, of which a view, a companion or an episode makes several.
    """
    stages = read_stages(str(path))
    trained = []
    for number, cfg in enumerate(stages, start=1):
        if cfg.train_cfg.get("type") == "PosthocLoop":
            continue
        _fit(cfg, batch_size)
        own = name if len(stages) == 1 else f"{name}, stage {number}"
        trained.append(Trained(own, str(path), number, _key(cfg), cfg))
    return trained


def _key(cfg: Config) -> str:
    parts = {key: cfg.get(key) for key in ("model", "custom_hooks", "from_scratch", "train_dataloader")}
    parts["optim_wrapper"] = {key: value for key, value in cfg.optim_wrapper.items() if key != "optimizer"}
    return json.dumps(Config(parts).to_dict(), sort_keys=True, default=str)


def _fit(cfg: Config, batch_size: int) -> None:
    """Give a config few synthetic images, and leave out what is not of a step."""
    for node in _dicts([cfg.train_dataloader, cfg.val_dataloader, cfg.test_dataloader]):
        if node.get("type") in ("CIFAR10", "CIFAR100"):
            is_train = node["split"] == "train"
            kept = {key: node[key] for key in ("pipeline", "test_mode") if key in node}
            node.clear()
            node.update(kept, type="SyntheticImages", num_images=NUM_IMAGES if is_train else 100)
        elif node.get("type") == "LongTailDataset" and "CIFAR" in str(node["dataset"].get("type")):
            node["imbalance_factor"] = 12  # classes of many, of some and of few images
            node.pop("max_count", None)
    cfg.custom_imports.imports = ["lt_plugins.plugins", "benchmarks.timed_runs"]
    cfg.optim_wrapper.optimizer.lr = 1e-5  # random images teach nothing
    cfg.default_hooks.update(logger=None, checkpoint=None, run_record=None, run_log=None)
    cfg.default_hooks.preflight.allow_empty_classes = True
    if "auto_scale_lr" in cfg:
        cfg.auto_scale_lr.enable = False  # the rate above is for any number of images
    cfg.train_cfg.val_interval = 10**6
    cfg.train_dataloader.update(num_workers=0, persistent_workers=False)
    if cfg.train_dataloader.sampler.type != "EpisodicSampler":  # whose episodes are of so many images
        cfg.train_dataloader.batch_size = batch_size
    for loader in (cfg.val_dataloader, cfg.test_dataloader):
        loader.update(num_workers=0, persistent_workers=False)
    cfg.log_level = "ERROR"


def _dicts(node: Any) -> Iterator[Any]:
    if isinstance(node, dict):
        yield node
    for value in node.values() if isinstance(node, dict) else node if isinstance(node, (list, tuple)) else ():
        yield from _dicts(value)
