"""Resumed schedules: apply another optimiser setting, schedule or number of steps an epoch to a checkpoint."""

from __future__ import annotations

import copy
import warnings
from typing import Any

from mmengine.optim import OptimWrapper, OptimWrapperDict
from mmengine.runner import Runner

from lt_plugins.errors import UserInputError


def take_over_schedule(runner: Runner, checkpoint: dict[str, Any], steps_per_epoch: int | None) -> list[str]:
    """Write the optimiser's settings and the schedule of the config into a checkpoint before it is resumed.

    mmengine restores those of the checkpoint, whatever the config says. Here the schedulers are built from the config
    and led to where the run stands; momentum and other state of the optimiser stay.

    Args:
        runner (Runner): Has built its optimiser and schedulers, and not yet loaded them.
        checkpoint (dict): Changed in place, so that mmengine restores the new values.
        steps_per_epoch (int | None): Steps an epoch of the run so far, of a loop by epochs.

    Returns:
        list[str]: What is worth saying: the learning rate that it goes on with, and state that could not be kept.

    Raises:
        UserInputError: If there are several optimisers.
    """
    wrapper = runner.optim_wrapper
    if isinstance(wrapper, OptimWrapperDict):
        raise UserInputError(
            "another schedule cannot be taken over by a run with several optimisers; resume with the old one, or start "
            "a new run from its weights with --cfg-options load_from=PATH."
        )
    meta = checkpoint["meta"]
    length = len(runner.train_dataloader)
    if steps_per_epoch is not None and steps_per_epoch != length:
        meta["iter"] = meta["epoch"] * length
    _lead_schedulers(runner, wrapper, steps_per_epoch is not None, meta["iter"], length)
    if runner.param_schedulers is not None:
        checkpoint["param_schedulers"] = [scheduler.state_dict() for scheduler in runner.param_schedulers]
    before = checkpoint["optimizer"]["param_groups"][0].get("lr")
    notes = [f"the learning rate goes on from {before:.4g} to {wrapper.param_groups[0]['lr']:.4g}"]
    if not _merge_optimiser(wrapper, checkpoint["optimizer"]):
        del checkpoint["optimizer"]
        notes.append("the new optimiser starts without the state of the old one")
    return notes


def _lead_schedulers(runner: Runner, wrapper: OptimWrapper, by_epoch: bool, steps: int, length: int) -> None:
    """Build the schedulers of the start of training, and step them to the present."""
    for group in wrapper.param_groups:
        for name in [name for name in group if name.startswith("initial_")]:
            group[name.removeprefix("initial_")] = group[name]
    config = runner.cfg.get("param_scheduler")
    if not config:
        return
    schedulers = runner.build_param_scheduler(copy.deepcopy(config))
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # torch's, about the order of the optimiser's and the scheduler's steps
        for step in range(1, steps + 1):
            ends_epoch = by_epoch and step % length == 0
            for scheduler in schedulers:
                if not scheduler.by_epoch or (ends_epoch and not getattr(scheduler, "need_val_args", False)):
                    scheduler.step()
    runner.param_schedulers = schedulers


def _merge_optimiser(wrapper: OptimWrapper, saved: dict[str, Any]) -> bool:
    """Write the new settings into the saved parameter groups; False if the saved state is of another optimiser."""
    new = wrapper.state_dict()
    if [_shape(group) for group in saved["param_groups"]] != [_shape(group) for group in new["param_groups"]]:
        return False
    for old, group in zip(saved["param_groups"], new["param_groups"], strict=True):
        old.update({name: value for name, value in group.items() if name != "params"})
    for name in ("base_param_settings", "loss_scaler"):
        if name in new and (name == "base_param_settings" or not saved.get(name)):  # {} of a disabled scaler
            saved[name] = new[name]
    return True


def _shape(group: dict[str, Any]) -> tuple[set[str], int]:
    """Names of settings and number of parameters of a group, by which kinds of optimisers differ."""
    return {name for name in group if not name.startswith("initial_")}, len(group["params"])
