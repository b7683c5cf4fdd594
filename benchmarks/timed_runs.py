"""Contestants of `benchmarks/throughput.py`: what one of its processes trains, and the clock that it trains by.

A contestant trains epoch after epoch, waits before each until it is its turn, and reports what the epoch took.
"""

from __future__ import annotations

import importlib
import logging
import multiprocessing
import os
import resource
import sys
import time
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from multiprocessing.connection import Connection
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any, ClassVar, NamedTuple

import numpy as np
import torch
from mmengine.config import Config
from mmengine.hooks import Hook
from mmengine.registry import HOOKS
from mmengine.runner import Runner
from mmpretrain.datasets import BaseDataset
from mmpretrain.registry import DATASETS

import lt_plugins.plugins  # noqa: F401 (registers our network for mmpretrain, too)
from benchmarks.bare_loop import CrossEntropy, Method, ParametricContrast, SupervisedContrast, train
from lt_plugins.datasets.indexed_dataset import IndexedDataset
from lt_plugins.runs.config import read_stages

ROOT = Path(__file__).resolve().parents[1]
CONFIGS = {
    "CE": "configs/ce/ce_r32_cifar100-lt.py",
    "SCL": "configs/scl/scl_r32_cifar100-lt.py",
    "PaCo": "configs/paco/paco_r32_cifar100-lt.py",
    "LPA": "configs/lpa/lpa_r32_cifar100-lt.py",
}
NUM_CLASSES = 100
NUM_ATTRIBUTES = 128
NUM_TEST_IMAGES = 10_000
NUM_WARM_EPOCHS = 2
"""Epochs before those that count: one to get warm, one that is timed part by part."""


class Options(NamedTuple):
    """Settings of a contestant.

    Args:
        steps (int): Steps an epoch.
        rounds (int): Epochs that count.
        batch_size (int): Images a step.
        threads (int): Threads of torch.
        workers (int): Processes that prepare images one by one.
        device (str): ``"cpu"`` or ``"cuda"``.
        data (str | None): Images as `tools/train.py --data` takes them. None for those of the configs, or synthetic
            ones where these are missing.
    """

    steps: int
    rounds: int
    batch_size: int
    threads: int
    workers: int
    device: str
    data: str | None

    @property
    def num_epochs(self) -> int:
        """All epochs that a contestant trains."""
        return NUM_WARM_EPOCHS + self.rounds


class Span(NamedTuple):
    """A stretch of time, in seconds.

    Args:
        wall (float): On the clock.
        cpu (float): Of all processors.
    """

    wall: float
    cpu: float

    def __sub__(self, other: Span) -> Span:
        return Span(self.wall - other.wall, self.cpu - other.cpu)

    def __add__(self, other: Span) -> Span:  # type: ignore[override]
        return Span(self.wall + other.wall, self.cpu + other.cpu)

    def __mul__(self, factor: float) -> Span:  # type: ignore[override]
        return Span(self.wall * factor, self.cpu * factor)


@dataclass
class Epoch:
    """What an epoch took.

    Args:
        step (Span): A step, the mean of all but the first: images, hooks and arithmetic. Its CPU time includes that of
            the data workers over the whole epoch, which work ahead.
        between (Span): What comes once an epoch: start of the data workers, first batch, checkpoint, checks.
        evaluation (float | None): Seconds of the pass over the test set, if one followed.
        interval (int): Epochs from one evaluation to the next in the config.
        parts (dict[str, float]): Seconds a step of each part, of the epoch that is timed so.
    """

    step: Span
    between: Span
    evaluation: float | None
    interval: int
    parts: dict[str, float]

    def of_steps(self, num_steps: float) -> Span:
        """Time of an epoch with so many steps, without evaluation.

        Args:
            num_steps (float): Its steps.
        """
        return self.step * num_steps + self.between


class Clock:
    """Clock of a contestant: waits for its turn before an epoch, and reports the epoch after it.

    Args:
        pipe (Connection): To whoever says whose turn it is.
        device (str): Whose work to wait for before the time is taken.
    """

    current: ClassVar[Clock]

    def __init__(self, pipe: Connection, device: str) -> None:
        self.pipe = pipe
        self.device = device
        self.num_epochs = 0
        self.interval = 1
        self._is_in_step = False
        self._num_steps = 0
        self._step_end = 0.0
        self._begin: Span | None = None
        self._marks: list[Span] = []
        self._workers: tuple[float, float | None] = (0.0, None)
        self._evaluation: Span | None = None
        self._parts: dict[str, float] = {}

    def begin_epoch(self) -> None:
        """Report the epoch before, if there is one, and wait for the turn."""
        self.end_epoch()
        self.pipe.recv()
        self.num_epochs += 1
        self._num_steps, self._marks, self._evaluation, self._parts = 0, [], None, {}
        self._workers = _worker_seconds(), None
        self._begin = self.now()

    def begin_step(self) -> None:
        """Time parts from here to the end of the step."""
        self._is_in_step = True
        if self._num_steps and self._times_parts:
            self._add("data", self._wall() - self._step_end)

    def end_step(self, is_last: bool) -> None:
        """Note the end of the first and of the last step; others must not wait for the device.

        Args:
            is_last (bool): Whether the epoch has no more steps.
        """
        self._is_in_step = False
        self._num_steps += 1
        if self._times_parts:
            self._step_end = self._wall()
        if self._num_steps == 1 or is_last:
            self._marks.append(self.now())

    def end_epoch(self) -> None:
        """Report the epoch."""
        if self._begin is None:
            return
        total = self.now() - self._begin
        before, after = self._workers
        workers = ((_worker_seconds() if after is None else after) - before) / self._num_steps
        step = (self._marks[-1] - self._marks[0]) * (1 / (self._num_steps - 1))
        evaluation = self._evaluation or Span(0.0, 0.0)
        between = total - step * self._num_steps - evaluation
        step += Span(0.0, workers)
        parts = {name: seconds / (self._num_steps - (name == "data")) for name, seconds in self._parts.items()}
        self.pipe.send(Epoch(step, between, evaluation.wall or None, self.interval, parts))
        self._begin = None

    def begin_evaluation(self) -> None:
        """Start to time a pass over the test set."""
        self._workers = self._workers[0], _worker_seconds()
        self._evaluation = self.now()

    def end_evaluation(self) -> None:
        """Stop to time a pass over the test set."""
        if self._evaluation is not None:
            self._evaluation = self.now() - self._evaluation

    def timed(self, part: str, function: Callable[..., Any]) -> Callable[..., Any]:
        """Wrap a function so that the time in it counts as a part of the step, in the epoch that is timed part by part.

        Args:
            part (str): Name of the part.
            function (Callable): What to wrap.
        """

        def call(*args: Any, **kwargs: Any) -> Any:
            if not (self._is_in_step and self._times_parts):
                return function(*args, **kwargs)
            begin = self._wall()
            result = function(*args, **kwargs)
            self._add(part, self._wall() - begin)
            return result

        return call

    def now(self) -> Span:
        """The time, once the device has done its work."""
        return Span(self._wall(), time.process_time())

    @property
    def _times_parts(self) -> bool:
        return self.num_epochs == NUM_WARM_EPOCHS

    def _add(self, part: str, seconds: float) -> None:
        self._parts[part] = self._parts.get(part, 0.0) + seconds

    def _wall(self) -> float:
        if self.device == "cuda":
            torch.cuda.synchronize()
        return time.perf_counter()


def _worker_seconds() -> float:
    """CPU time of the children of this process, those that are gone and those that work."""
    gone = resource.getrusage(resource.RUSAGE_CHILDREN)
    total = gone.ru_utime + gone.ru_stime
    for child in multiprocessing.active_children():
        stat = Path(f"/proc/{child.pid}/stat")  # Linux; elsewhere workers count when they are gone
        if stat.exists():
            user, system = stat.read_text().rpartition(")")[2].split()[11:13]
            total += (int(user) + int(system)) / os.sysconf("SC_CLK_TCK")
    return total


@HOOKS.register_module()
class ClockHook(Hook):
    """Clock hook: lets a runner train by the clock of its process."""

    priority = "HIGHEST"

    def before_train(self, runner: Runner) -> None:
        """Time the parts of a step.

        Args:
            runner (Runner): The runner of the training process.
        """
        clock, loop = Clock.current, runner.train_loop
        model, wrapper = runner.model, runner.optim_wrapper
        runner.call_hook = clock.timed("hooks", runner.call_hook)
        model.data_preprocessor.forward = clock.timed("preprocessor", model.data_preprocessor.forward)
        model.forward = clock.timed("forward", model.forward)
        wrapper.update_params = clock.timed("backward and update", wrapper.update_params)
        run_iter = clock.timed("all but data", loop.run_iter)

        def run_step(batch_idx: int, data_batch: Any) -> None:
            clock.begin_step()
            run_iter(batch_idx, data_batch)
            clock.end_step(is_last=batch_idx + 1 == len(loop.dataloader))

        loop.run_iter = run_step

    def before_train_epoch(self, runner: Runner) -> None:  # noqa: ARG002 (mmengine's signature)
        """Wait for the turn.

        Args:
            runner (Runner): Unused.
        """
        Clock.current.begin_epoch()

    def before_val(self, runner: Runner) -> None:  # noqa: ARG002
        """Time the evaluation.

        Args:
            runner (Runner): Unused.
        """
        Clock.current.begin_evaluation()

    def after_val(self, runner: Runner) -> None:  # noqa: ARG002
        """Time the evaluation.

        Args:
            runner (Runner): Unused.
        """
        Clock.current.end_evaluation()

    def after_train(self, runner: Runner) -> None:  # noqa: ARG002
        """Report the last epoch.

        Args:
            runner (Runner): Unused.
        """
        Clock.current.end_epoch()


@DATASETS.register_module()
class SyntheticImages(BaseDataset):
    """Random images of 32x32 pixels in memory, as mmpretrain's CIFAR datasets hold theirs.

    Args:
        num_images (int): How many.
        **kwargs: ``pipeline``, ``test_mode`` and the other arguments of mmpretrain's ``BaseDataset``.
    """

    METAINFO: ClassVar[dict[str, Any]] = {"classes": tuple(map(str, range(NUM_CLASSES)))}

    def __init__(self, num_images: int, **kwargs: Any) -> None:
        self.num_images = num_images
        super().__init__(ann_file="", **kwargs)

    def load_data_list(self) -> list[dict[str, Any]]:
        """One ``dict(img (32, 32, 3) uint8, gt_label)`` for each image."""
        pixels = np.random.default_rng(0).integers(256, size=(self.num_images, 32, 32, 3), dtype=np.uint8)
        return [{"img": image, "gt_label": index % NUM_CLASSES} for index, image in enumerate(pixels)]


@DATASETS.register_module()
class FewImages(IndexedDataset):
    """So many images of a dataset, in equal distances; repeated, if it has fewer.

    Args:
        dataset (Any): Dataset, or its config.
        num_images (int): How many.
    """

    def __init__(self, dataset: Any, num_images: int) -> None:
        super().__init__(dataset)
        super().__init__(self.dataset, np.arange(num_images) * len(self.dataset) // num_images)


def run_contestant(name: str, options: Options, pipe: Connection) -> None:
    """Train one method after the other, each when the pipe says so; the body of a process.

    Args:
        name (str): One of ``CONTESTANTS``.
        options (Options): Settings.
        pipe (Connection): Brings names of methods, None at the end, and what :class:`Clock` waits for.
    """
    multiprocessing.set_start_method("fork", force=True)  # of data workers, as mmengine sets it
    sys.stdout = Path(os.devnull).open("w")  # noqa: SIM115 (as long as the process lives)
    torch.set_num_threads(options.threads)
    run = CONTESTANTS[name]
    while (method := pipe.recv()) is not None:
        Clock.current = Clock(pipe, options.device)
        run(method, options)
        pipe.send(None)


def bare(method: str, options: Options, memory_format: torch.memory_format) -> None:
    """Train by the plain loop.

    Args:
        method (str): One of ``CONFIGS``.
        options (Options): Settings.
        memory_format (torch.memory_format): Layout of images and weights.
    """
    clock = Clock.current
    labels = torch.arange(options.steps * options.batch_size, device=options.device) % NUM_CLASSES
    counts = labels.bincount(minlength=NUM_CLASSES).clamp(min=1)
    attributes = torch.rand(NUM_CLASSES, NUM_ATTRIBUTES, device=options.device) < 5 / NUM_ATTRIBUTES
    model: Method
    if method == "CE":
        model = CrossEntropy(NUM_CLASSES)
    elif method == "SCL":
        model = SupervisedContrast(counts)
    else:
        model = ParametricContrast(counts, attributes if method == "LPA" else None)
    model = model.to(options.device)
    model.to(memory_format=memory_format)  # type: ignore[call-overload]  # torch leaves it out of its hints
    views = [
        torch.randn(len(labels), 3, 32, 32, device=options.device).contiguous(memory_format=memory_format)
        for _ in range(model.num_views)
    ]
    cfg = read_stages(str(ROOT / CONFIGS[method]))[0]
    settings = {key: value for key, value in cfg.optim_wrapper.optimizer.items() if key != "type"}
    optimizer = torch.optim.SGD([value for value in model.parameters() if value.requires_grad], **settings)
    loop = train(model, views, labels, options.batch_size, optimizer)
    for _ in range(options.num_epochs):
        clock.begin_epoch()
        for step in range(options.steps):
            next(loop)
            clock.end_step(is_last=step + 1 == options.steps)
    clock.end_epoch()


def ours(method: str, options: Options, resident: bool) -> None:
    """Train the config of a method by `tools/train.py`.

    Args:
        method (str): One of ``CONFIGS``.
        options (Options): Settings.
        resident (bool): Whether images are in memory and augmented by batches, or pass the pipeline one by one.
    """
    cfg = read_stages(f"{ROOT / CONFIGS[method]}:stage1", data=options.data)[0]
    Clock.current.interval = cfg.train_cfg.val_interval
    cfg.merge_from_dict(
        {
            "custom_imports.imports": ["lt_plugins.plugins", __name__],
            "default_hooks.clock": {"type": "ClockHook"},
            "default_hooks.preflight.allow_empty_classes": True,
            "scale_schedule": False,  # no clustering in these few epochs
            "train_cfg.max_epochs": options.num_epochs,
            "train_cfg.val_interval": options.num_epochs,
            "train_dataloader.batch_size": options.batch_size,
            "train_dataloader.num_workers": options.workers,
            "train_dataloader.drop_last": True,
        }
    )
    num_images = options.steps * options.batch_size
    if uses_synthetic_images(options):
        leaf = cfg.train_dataloader.dataset.dataset
        cfg.train_dataloader.dataset = _synthetic(num_images, pipeline=leaf.pipeline)
        val = cfg.val_dataloader.dataset
        cfg.val_dataloader.dataset = _synthetic(NUM_TEST_IMAGES, pipeline=val.pipeline, test_mode=True)
    else:
        cfg.train_dataloader.dataset = {
            "type": "FewImages",
            "num_images": num_images,
            "dataset": cfg.train_dataloader.dataset,
        }
    tool = importlib.import_module("tools.train")
    with TemporaryDirectory() as folder:
        path = Path(folder, f"{method.lower()}.py")
        object.__setattr__(cfg, "_format_python_code", False)  # it would take seconds
        cfg.dump(path)
        option = "--resident" if resident else "--no-resident"
        tool.train(tool.parse_args([str(path), option, "--keep-lr", "--work-dir", str(Path(folder, "run"))]))


def mmpretrain(method: str, options: Options) -> None:  # noqa: ARG001 (there is CE alone)
    """Train CE as mmpretrain does by itself, but for our network: its classifier, pipeline, hooks and runner.

    Args:
        method (str): ``"CE"``.
        options (Options): Settings.
    """
    num_images = options.steps * options.batch_size
    pipeline = [
        {"type": "RandomCrop", "crop_size": 32, "padding": 4},
        {"type": "RandomFlip", "prob": 0.5, "direction": "horizontal"},
        {"type": "PackInputs"},
    ]
    if uses_synthetic_images(options):
        dataset = _synthetic(num_images, pipeline=pipeline)
    else:
        source = read_stages(str(ROOT / CONFIGS["CE"]), data=options.data)[0].train_dataloader.dataset
        loading = [{"type": "LoadImageFromFile"}] if options.data else []
        dataset = dict(source.dataset, pipeline=[*loading, *pipeline], indices=num_images)
    config = {
        "default_scope": "mmpretrain",
        "model": {
            "type": "ImageClassifier",
            "backbone": {"type": "CIFARResNet", "depth": 32},
            "neck": {"type": "GlobalAveragePooling"},
            "head": {
                "type": "LinearClsHead",
                "num_classes": NUM_CLASSES,
                "in_channels": 64,
                "loss": {"type": "CrossEntropyLoss"},
            },
        },
        "data_preprocessor": {
            "type": "ClsDataPreprocessor",
            "num_classes": NUM_CLASSES,
            "mean": [125.3, 123.0, 113.9],
            "std": [51.6, 50.8, 51.3],
            "to_rgb": False,
        },
        "train_dataloader": {
            "batch_size": options.batch_size,
            "num_workers": options.workers,
            "persistent_workers": options.workers > 0,
            "drop_last": True,
            "dataset": dataset,
            "sampler": {"type": "DefaultSampler", "shuffle": True},
            "collate_fn": {"type": "default_collate"},
        },
        "optim_wrapper": {"optimizer": {"type": "SGD", "lr": 0.1, "momentum": 0.9, "weight_decay": 2e-4}},
        "param_scheduler": {"type": "MultiStepLR", "by_epoch": True, "milestones": [160, 180]},
        "train_cfg": {"by_epoch": True, "max_epochs": options.num_epochs},
        "default_hooks": {"logger": {"type": "LoggerHook", "interval": 100}},
        "custom_hooks": [{"type": "ClockHook"}],
        "env_cfg": {"mp_cfg": {"mp_start_method": "fork", "opencv_num_threads": 0}},
        "log_level": logging.ERROR,
    }
    with TemporaryDirectory() as folder:
        Runner.from_cfg(Config(dict(config, work_dir=folder))).train()


def uses_synthetic_images(options: Options) -> bool:
    """Whether the images of the configs are not there.

    Args:
        options (Options): Settings.
    """
    return options.data is None and not Path("data/cifar100").exists()


def _synthetic(num_images: int, **kwargs: Any) -> dict[str, Any]:
    return {"type": "SyntheticImages", "num_images": num_images, **kwargs}


CONTESTANTS: dict[str, Callable[[str, Options], None]] = {
    "bare, channels last": partial(bare, memory_format=torch.channels_last),
    "bare, contiguous": partial(bare, memory_format=torch.contiguous_format),
    "mmpretrain": mmpretrain,
    "ours, image by image": partial(ours, resident=False),
    "ours": partial(ours, resident=True),
}
