"""Run record in checkpoints: writes it, and compares it on resume."""

from __future__ import annotations

from typing import Any

import torch
from mmengine.hooks import Hook
from mmengine.runner import Runner
from torch import nn

from lt_plugins.datasets.labels import get_class_counts
from lt_plugins.datasets.loader_order import ordinary_dataset
from lt_plugins.models.unwrap import unwrap_model
from lt_plugins.registry import HOOKS
from lt_plugins.runs.resumed_schedule import take_over_schedule
from lt_plugins.runs.run_changes import ChangedRunError, find_changes, is_record, show_changes
from lt_plugins.runs.run_record import record_run


@HOOKS.register_module()
class RunRecordHook(Hook):
    """Run-record hook: writes ``meta['run_record']`` into each checkpoint, and compares it on resume.

    The record (:func:`~lt_plugins.runs.run_record.record_run`) holds the config as plain data, the class names and
    counts, a fingerprint of the list of images, and where the run computes. mmengine's resume restores the optimiser's
    settings and the schedule of the checkpoint, whatever the config says, and takes all else from the config, without a
    word. Here every difference is listed, and what would be ignored or make the run another one is refused.
    ``accept_changes=True`` in the config (``--accept-changes``) takes all of it over, the optimiser's settings and the
    schedule too. Another length is no such change: the schedule follows it.

    It is one of the ``default_hooks`` of the configs.

    Config::

        default_hooks = dict(run_record=dict(type='RunRecordHook'))

    Raises:
        UserInputError: If the run has changed and this is not accepted.
    """

    # After CheckpointFitHook has found the checkpoint to be one of this model, before an EMAHook exchanges weights.
    priority = "HIGH"

    def __init__(self) -> None:
        self._record: dict[str, Any] | None = None

    def before_save_checkpoint(self, runner: Runner, checkpoint: dict[str, Any]) -> None:
        """Add the record.

        Args:
            runner (Runner): The runner of the training process.
            checkpoint (dict): Changed in place.
        """
        if self._record is None:
            self._record = record_run(runner)
        checkpoint["meta"]["run_record"] = self._record

    def after_load_checkpoint(self, runner: Runner, checkpoint: dict[str, Any]) -> None:
        """Compare a checkpoint that is resumed with this run, and apply accepted changes.

        Args:
            runner (Runner): The runner.
            checkpoint (dict): The loaded checkpoint; changed in place where the run takes new settings.

        Raises:
            ChangedRunError: If changes need to be accepted.
        """
        if not runner._resume:
            return
        before = checkpoint["meta"].get("run_record")
        if not is_record(before):
            runner.logger.info(
                f"{runner._load_from} does not say how its run was configured (an older version wrote it), so it is "
                "resumed without a comparison."
            )
            return
        changes = list(find_changes(before, self._describe(runner)))
        if not changes:
            return
        runner.logger.info("Changed since the checkpoint was written:\n  " + "\n  ".join(map(str, changes)))
        if any(change.is_refused for change in changes) and not runner.cfg.get("accept_changes"):
            raise ChangedRunError(
                f"the run of {runner._load_from} was another one: {show_changes(changes)}. Resume it as it was, or "
                "take the changes over with --accept-changes."
            )
        self._take_over(runner, checkpoint, before, {change.name for change in changes})

    def _describe(self, runner: Runner) -> dict[str, Any]:
        """Record this run, before the model knows its class counts."""
        record = record_run(runner)
        distribution = getattr(unwrap_model(runner.model), "class_distribution", None)
        if distribution is not None:
            counts = get_class_counts(ordinary_dataset(runner.train_dataloader), distribution.num_classes)
            record["data"]["class_counts"] = counts.tolist()
        self._record = record
        return record

    def _take_over(self, runner: Runner, checkpoint: dict[str, Any], before: dict[str, Any], changed: set[str]) -> None:
        steps = before["data"].get("steps_per_epoch") if "max_iters" not in runner.cfg.train_cfg else None
        if "randomness.seed" in changed and runner.cfg.get("accept_changes"):
            checkpoint["meta"]["seed"] = runner.seed
        if "images" in changed:
            forget_images(unwrap_model(runner.model), checkpoint["state_dict"])
        new_length = steps is not None and steps != len(runner.train_dataloader)
        parts = ("optim_wrapper.", "param_scheduler.", "auto_scale_lr.", "train_cfg.max_")
        if new_length or any(name.startswith(parts) for name in changed):
            notes = take_over_schedule(runner, checkpoint, steps)
            runner.logger.info(f"The schedule follows: {'; '.join(notes)}.")


def forget_images(model: nn.Module, state_dict: dict[str, Any]) -> None:
    """Remove clustering and queue of another training set from a checkpoint; they fill from scratch.

    Args:
        model (nn.Module): The model, without wrappers.
        state_dict (dict): Its state in the checkpoint; changed in place.
    """
    for path, module in model.named_modules():
        for name in getattr(module, "sized_by_data", ()):
            key = f"{path}.{name}"
            if key in state_dict:
                state_dict[key] = state_dict[key][:0]
    if "queue.labels" in state_dict:
        state_dict["queue.labels"] = torch.full_like(state_dict["queue.labels"], -1)
