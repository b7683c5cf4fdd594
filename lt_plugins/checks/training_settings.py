"""Settings with which a training would do nothing, or compute with no numbers."""

from __future__ import annotations

import math
from collections.abc import Iterator
from typing import Any

from mmengine.config import Config
from mmengine.optim import OptimWrapperDict
from mmengine.registry import HOOKS, OPTIM_WRAPPERS
from mmengine.runner import EpochBasedTrainLoop, Runner

from lt_plugins.checks.component_check import find_component
from lt_plugins.checks.early_stop import stopped_early
from lt_plugins.errors import UserInputError
from lt_plugins.models.unwrap import unwrap_model

# What changes nothing if it is 0, in the config of a training.
WORK = ("train_cfg.max_epochs", "train_cfg.max_iters", "optim_wrapper.optimizer.lr")
_FINITE_PARTS = ("optim_wrapper.", "param_scheduler.")


def check_training_settings(cfg: Config) -> None:
    """Refuse a config whose training would do nothing, or not compute with numbers; before anything is built.

    What each value may be is checked by :mod:`lt_plugins.checks.config_check`; this is about training alone, and about
    numbers of components that no rule knows.

    Args:
        cfg (Config): The config of a training.

    Raises:
        UserInputError: If the length or the learning rate is 0, a number anywhere is NaN, one of the optimiser or the
            schedule is infinite, or gradients are to be accumulated by an optimiser that cannot, or a hook
            with ``learns_from_validation`` has no validation images but those of the test set.
    """
    for path, value in _numbers(cfg.to_dict(), ""):
        if math.isnan(value):
            raise UserInputError(f"{path}={value} is not a number; give one.")
        if path.startswith(_FINITE_PARTS) and math.isinf(value):
            raise UserInputError(f"{path}={value} must be finite.")
        if path in WORK and value <= 0:
            raise UserInputError(f"{path}={value} would train nothing; give a number above 0.")
    scope = cfg.get("default_scope") or "mmengine"
    for hook in cfg.get("custom_hooks") or ():
        if getattr(find_component(hook["type"], HOOKS, scope), "learns_from_validation", False):
            check_validation(cfg, hook["type"])
    wrapper = cfg.get("optim_wrapper") or {}
    name, counts = wrapper.get("type", "OptimWrapper"), wrapper.get("accumulative_counts", 1)
    component = find_component(name, OPTIM_WRAPPERS, scope)
    if counts > 1 and getattr(component, "passes_per_step", 1) > 1:
        raise UserInputError(
            f"optim_wrapper.accumulative_counts={counts}: {name} passes each batch twice in a step of its own and "
            "accumulates no gradients; leave it out, and use a larger batch or more processes."
        )


def has_validation(cfg: Config) -> bool:
    """Whether a config has validation images that are not its test images.

    Args:
        cfg (Config): The config.
    """
    val, test = ((cfg.get(f"{split}_dataloader") or {}).get("dataset") for split in ("val", "test"))
    return val is not None and val != test


def check_validation(cfg: Config, learner: str) -> None:
    """Refuse to learn from validation images that are test images.

    Args:
        cfg (Config): The config of a training.
        learner (str): Who learns from them, for the message.

    Raises:
        UserInputError: If there are no others.
    """
    if not has_validation(cfg):
        raise UserInputError(
            f"{learner} learns from validation images, and val_dataloader is missing or has those of the test set; "
            "give it others, like a folder val beside test in --data DIR, or a part of the training set: hold_out = "
            "dict(val_fraction=0.1, seed=0) in the config."
        )


def check_work_left(runner: Runner) -> None:
    """Refuse a training that has nothing to do.

    Args:
        runner (Runner): The runner of the training process, after a checkpoint was resumed.

    Raises:
        UserInputError: If it has reached its last epoch or iteration, no parameter is trained, or every learning rate
            is 0.
    """
    by_epoch = isinstance(runner.train_loop, EpochBasedTrainLoop)
    done, length = (runner.epoch, runner.max_epochs) if by_epoch else (runner.iter, runner.max_iters)
    setting = "train_cfg.max_epochs" if by_epoch else "train_cfg.max_iters"
    if done >= length:
        if not done:
            raise UserInputError(f"{setting}={length} would train nothing; give a number above 0.")
        raise UserInputError(
            f"nothing is left to train: {runner._load_from or 'the checkpoint'} holds {done} finished "
            f"{'epochs' if by_epoch else 'iterations'} and {setting}={length}; raise it, or test the checkpoint."
        )
    if by_epoch and stopped_early(runner.message_hub.runtime_info, runner.cfg, done):
        raise UserInputError(
            f"nothing is left to train: {runner._load_from or 'the checkpoint'} was stopped early after {done} epochs; "
            "test it, or train it further without --early-stop, with --accept-changes."
        )
    if not any(parameter.requires_grad for parameter in unwrap_model(runner.model).parameters()):
        raise UserInputError("no parameter of the model is trained, all are frozen; train at least the head.")
    wrapper = runner.optim_wrapper
    wrappers = wrapper.optim_wrappers.values() if isinstance(wrapper, OptimWrapperDict) else [wrapper]
    groups = [group for one in wrappers for group in one.optimizer.param_groups]
    if all(float(group.get("initial_lr", group["lr"])) == 0 for group in groups):
        raise UserInputError(
            "the learning rate of every parameter is 0, so the training would change nothing; set "
            "optim_wrapper.optimizer.lr, or the lr_mult in optim_wrapper.paramwise_cfg, above 0."
        )


def _numbers(node: Any, path: str) -> Iterator[tuple[str, float]]:
    """All numbers in a config, by dotted path."""
    if isinstance(node, dict):
        for key, value in node.items():
            yield from _numbers(value, f"{path}.{key}" if path else str(key))
    elif isinstance(node, list | tuple):
        for index, value in enumerate(node):
            yield from _numbers(value, f"{path}.{index}")
    elif isinstance(node, int | float) and not isinstance(node, bool):
        yield path, node
