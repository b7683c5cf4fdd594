"""Stages: trains several runs in order, each from the weights of the one before.

:func:`~lt_plugins.runs.config.read_stages` says what the stages of a config are.
"""

from __future__ import annotations

import copy
import gc
import logging
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path

import torch
from mmengine.config import Config
from mmengine.dist import barrier, is_main_process
from mmengine.logging import MessageHub, MMLogger, print_log
from mmengine.registry import DefaultScope
from mmengine.runner import Runner
from mmengine.visualization import Visualizer
from torch import Tensor

from lt_plugins.atomic_write import atomic_write
from lt_plugins.checkpoints.run_checkpoints import (
    RunCheckpoint,
    load_last_checkpoint,
    refuse_overwriting,
    remove_results,
    resolve_checkpoint,
    warn_fallback,
)
from lt_plugins.checks.early_stop import stopped_early
from lt_plugins.checks.preflight import check_batches
from lt_plugins.checks.training_settings import check_training_settings
from lt_plugins.datasets.class_subset import ClassSubset
from lt_plugins.engine.hooks.finite_training_hook import explain_failure
from lt_plugins.errors import UserInputError
from lt_plugins.models.build import build_model
from lt_plugins.registry import DATASETS
from lt_plugins.runs.hooks import ProgressHook, SafeCheckpointHook
from lt_plugins.runs.pretrained import prepare_pretrained
from lt_plugins.runs.quiet_runner import QuietRunner
from lt_plugins.runs.run_changes import ChangedRunError, check_finished_run
from lt_plugins.runs.schedule import fit_schedule
from lt_plugins.runs.spec import stage_folder
from lt_plugins.runs.teachers import list_teachers
from lt_plugins.runs.time_left import planned_work


@dataclass(frozen=True)
class Stage:
    """Stage: one training run of a chain.

    Args:
        cfg (Config): Its config, with a ``work_dir`` of its own.
        number (int): Which stage it is, from 1.
        total (int): Number of stages.
    """

    cfg: Config
    number: int
    total: int

    @property
    def name(self) -> str:
        """Name of the stage for the user: its config file, and of several its number."""
        shown = _shown(self.cfg.filename)
        return shown if self.total == 1 else f"stage {self.number} of {shown}"

    def __str__(self) -> str:
        return f"stage {self.number} of {self.total}: {_shown(self.cfg.filename)} -> {self.cfg.work_dir}"


def place_stages(configs: Sequence[Config], work_dir: str | Path) -> list[Stage]:
    """Assign each stage its folder: ``work_dir/stage1``, ``work_dir/stage2``, ..., the last one ``work_dir`` itself.

    Args:
        configs (Sequence[Config]): The configs of all stages, in order; their ``work_dir`` is set.
        work_dir (str | Path): The folder of the run.

    Returns:
        list[Stage]: The stages in order.
    """
    for number, cfg in enumerate(configs, start=1):
        cfg.work_dir = str(stage_folder(work_dir, number, len(configs)))
    return [Stage(cfg, number, len(configs)) for number, cfg in enumerate(configs, start=1)]


def check_stages(stages: list[Stage], allow_pickle: bool = False) -> None:
    """Check before training that each stage can hand its weights on.

    Args:
        stages (list[Stage]): The stages in order.
        allow_pickle (bool): As for :func:`~lt_plugins.checkpoints.checkpoint.load_checkpoint`. Defaults to False.

    Raises:
        UserInputError: If the classes or the backbones of two stages in a row differ, or a stage would train nothing,
            or the training set of one is a subset of classes that has no class, or pretrained weights do not fit.
    """
    for line in prepare_pretrained([stage.cfg for stage in stages], allow_pickle):
        print_log(line, logger="current")
    for stage in stages:
        check_training_settings(stage.cfg)
        _check_subset(stage.cfg)
    for earlier, later in pairwise(stages):
        if later.cfg.get("from_scratch"):
            continue
        classes = [(stage.cfg.model.get("head") or {}).get("num_classes") for stage in (earlier, later)]
        if None not in classes and classes[0] != classes[1]:
            raise UserInputError(
                f"{earlier.name} has model.head.num_classes={classes[0]} and {later.name}, which follows, has "
                f"{classes[1]}; leave them out of stage{later.number}, or give the same classes."
            )
        found, expected = (_backbone_shapes(stage.cfg) for stage in (earlier, later))
        wrong = [key for key, shape in expected.items() if found.get(key) != shape]
        if wrong:
            raise UserInputError(
                f"the backbone of {later.name} cannot take the weights of {earlier.name}: {wrong[0]} is "
                f"{expected[wrong[0]]} there and {found.get(wrong[0], 'not')} here, and so on for {len(wrong)} of "
                f"{len(expected)} tensors; leave model.backbone out of stage{later.number}, or give the same one."
            )


def configured_resume(configs: Sequence[Config]) -> str | None:
    """Where the configs of the stages ask to resume, by ``resume=True`` as mmengine's runner takes it.

    Args:
        configs (Sequence[Config]): The configs of all stages, in order.

    Returns:
        str | None: As for :func:`choose_start`: the last stage's ``load_from`` if it is the one that asks, else
        ``"auto"``; None if no stage asks.
    """
    last = configs[-1]
    if last.get("resume"):
        return last.get("load_from") or "auto"
    return "auto" if any(cfg.get("resume") for cfg in configs) else None


def choose_start(stages: list[Stage], resume: str | None, allow_pickle: bool = False) -> tuple[int, str | None, str]:
    """Choose the stage and checkpoint to begin with.

    Args:
        stages (list[Stage]): The stages in order.
        resume (str | None): ``"auto"`` resumes where a run in these work dirs was stopped, a path resumes the last
            stage from this checkpoint (of a work dir: its last one), None starts from scratch.
        allow_pickle (bool): As for :func:`~lt_plugins.checkpoints.checkpoint.load_checkpoint`. Defaults to False.

    Returns:
        tuple[int, str | None, str]: Index of the first stage to train; the checkpoint that it is resumed from, None to
        start it; and why earlier stages are skipped.

    Raises:
        UserInputError: If there is something to resume, and it cannot be read.
    """
    last = len(stages) - 1
    if resume not in (None, "auto"):
        checkpoint = resolve_checkpoint(str(resume), allow_pickle)
        return last, checkpoint, f"the last stage goes on from {checkpoint}"
    given = [index for index, stage in enumerate(stages) if stage.cfg.get("load_from")]
    first = given[-1] if given else 0
    reason = f"load_from={stages[first].cfg.load_from} is given" if given else ""
    if resume is None:
        return first, None, reason
    checkpoints = _last_checkpoints(stages, allow_pickle)
    chosen = last
    for index in range(first, last):
        found, is_later = checkpoints[index], any(checkpoints[index + 1 :])
        # A later stage could only begin once this one was finished, even if its last checkpoint has gone since.
        is_finished = is_later if found is None else (found.note and is_later) or _is_finished(stages[index], found)
        if not is_finished:
            chosen = index
            break
        reason = "it is finished"
    start = checkpoints[chosen]
    if start is not None and is_main_process():
        warn_fallback(start)
    return chosen, None if start is None else str(start.path), reason


def train_stages(stages: list[Stage], resume: str | None, overwrite: bool = False, allow_pickle: bool = False) -> None:
    """Train the missing stages, in order, in this process.

    Args:
        stages (list[Stage]): The stages in order, ready for mmengine's runner.
        resume (str | None): As for :func:`choose_start`.
        overwrite (bool): Replace the checkpoints of an earlier run in the same folders. Defaults to False.
        allow_pickle (bool): As for :func:`~lt_plugins.checkpoints.checkpoint.load_checkpoint`. Defaults to False.

    Raises:
        UserInputError: If a stage leaves no checkpoint for the next one, cannot work, or would overwrite checkpoints.
    """
    start, checkpoint, reason = choose_start(stages, resume, allow_pickle)
    if not overwrite:
        for index, stage in enumerate(stages[start:], start):
            folder = Path(stage.cfg.work_dir)
            if index != start or checkpoint is None or Path(checkpoint).resolve().parent != folder.resolve():
                refuse_overwriting(folder, is_resumed=resume is not None)
    barrier()  # all have looked, now the first may change what is there
    notes = [f"{stage} is skipped: {reason}" for stage in stages[:start]]
    for index, stage in enumerate(stages[start:], start):
        cfg = stage.cfg
        cfg.resume = checkpoint is not None
        if checkpoint is not None:
            cfg.load_from = checkpoint
        elif index > 0 and not cfg.get("load_from") and not cfg.get("from_scratch"):
            cfg.load_from = _result(stages[index - 1], allow_pickle)
        _find_teachers(cfg, stages, allow_pickle)
        if stage.total > 1:
            notes.append(
                str(stage) + (f", {'resumes' if cfg.resume else 'from'} {cfg.load_from}" if cfg.load_from else "")
            )
        _train(stages[index:], notes, overwrite)
        notes, checkpoint = [], None
        if is_main_process():
            for later in stages[index + 1 :]:  # what an older run left there does not belong to these weights
                remove_results(later.cfg.work_dir)
        barrier()


def _check_subset(cfg: Config) -> None:
    """Build the training set of a stage before the first one trains, if it is a subset of classes: it may be empty."""
    dataset = cfg.train_dataloader.dataset
    if dataset.get("type") == ClassSubset.__name__:
        logging.disable(logging.INFO)  # what a dataset says of itself comes when its stage begins
        try:
            DATASETS.build(copy.deepcopy(dataset))
        finally:
            logging.disable(logging.NOTSET)


def _backbone_shapes(cfg: Config) -> dict[str, tuple[int, ...]]:
    """Build the whole model of a stage before the first one trains, and return the shapes of its backbone."""
    prefix = "backbone."
    state: dict[str, Tensor] = build_model(cfg).state_dict()
    return {key.removeprefix(prefix): tuple(value.shape) for key, value in state.items() if key.startswith(prefix)}


def _last_checkpoints(stages: list[Stage], allow_pickle: bool) -> list[RunCheckpoint | None]:
    """Find the last checkpoint of each stage; one before a stage that has begun need not be readable."""
    found: list[RunCheckpoint | None] = []
    for stage in reversed(stages):
        try:
            found.insert(0, load_last_checkpoint(stage.cfg.work_dir, allow_pickle))
        except UserInputError:
            if not any(found):
                raise
            found.insert(0, None)
    return found


def _is_finished(stage: Stage, checkpoint: RunCheckpoint) -> bool:
    max_epochs = stage.cfg.train_cfg.get("max_epochs")
    if max_epochs is None:
        raise UserInputError(f"{stage.name} has no train_cfg.max_epochs; stages are trained by epochs.")
    meta = checkpoint.content.get("meta", {})
    epoch = meta.get("epoch", 0)
    runtime_info = checkpoint.content.get("message_hub", {}).get("runtime_info")
    is_finished = bool(epoch >= max_epochs) or stopped_early(runtime_info, stage.cfg, epoch)
    if is_finished:
        source = f"stage {stage.number} of {stage.total}, {checkpoint.path},"
        check_finished_run(meta.get("run_record"), stage.cfg, source)
    return is_finished


def _result(stage: Stage, allow_pickle: bool) -> str:
    """Find the checkpoint that a stage hands on."""
    checkpoint = load_last_checkpoint(stage.cfg.work_dir, allow_pickle)
    if checkpoint is None:
        raise UserInputError(
            f"{stage.name} left no checkpoint in {stage.cfg.work_dir}; let it save the last "
            "epoch (default_hooks.checkpoint.save_last=True)."
        )
    if is_main_process():
        warn_fallback(checkpoint)
    return str(checkpoint.path)


def _find_teachers(cfg: Config, stages: list[Stage], allow_pickle: bool) -> None:
    """Set the checkpoint of each teacher of a stage."""
    for _, teacher in list_teachers(cfg):
        if "stage" in teacher:
            teacher["checkpoint"] = _result(stages[teacher.pop("stage") - 1], allow_pickle)
        else:
            teacher["checkpoint"] = resolve_checkpoint(teacher["checkpoint"], allow_pickle)


def _train(stages: Sequence[Stage], notes: list[str], overwrite: bool) -> None:
    """Train the first of these stages, which the others follow."""
    stage, cfg = stages[0], stages[0].cfg
    dump = Path(cfg.work_dir, Path(cfg.filename).name)
    config_before = dump.read_bytes() if dump.is_file() else None
    runner = QuietRunner.from_cfg(cfg)
    for hook in runner.hooks:
        if isinstance(hook, SafeCheckpointHook):
            hook.overwrite |= overwrite
    for note in notes:
        runner.logger.info(note)
    # PreflightHook checks it too, but schedulers that count steps fail on an empty epoch before any hook runs.
    check_batches("train", runner.train_dataloader)
    fit_schedule(runner)
    if is_main_process():
        num_images = len(runner.train_dataloader.dataset)
        later = [planned_work(other.cfg, num_images) for other in stages[1:]]
        runner.register_hook(ProgressHook(stage.number, stage.total, later))
    try:
        runner.train()
    except UserInputError as error:
        # The dump shows what the run was trained with.
        if isinstance(error, ChangedRunError) and config_before is not None and is_main_process():
            atomic_write(dump, config_before)
        raise
    except (RuntimeError, ValueError, ArithmeticError, AssertionError, LookupError) as error:
        explain_failure(runner, error)
        raise
    _release(runner)
    del runner
    gc.collect()
    torch.cuda.empty_cache()


def _release(runner: Runner) -> None:
    """Remove a runner from mmengine's globals, so that the next one starts as in a process of its own."""
    runner.visualizer.close()
    for handler in runner.logger.handlers:
        handler.close()
    for manager in (MMLogger, MessageHub, DefaultScope, Visualizer, type(runner.visualizer)):
        for name in {runner.experiment_name, runner.visualizer.instance_name}:
            manager._instance_dict.pop(name, None)
    torch.backends.cudnn.benchmark = False  # mmengine only ever switches it on


def _shown(path: str | Path) -> str:
    """Shorten a path below the current folder to a relative one."""
    path = Path(path).resolve()
    return str(path.relative_to(Path.cwd()) if path.is_relative_to(Path.cwd()) else path)
