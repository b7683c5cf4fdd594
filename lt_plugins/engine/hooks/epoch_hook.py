"""Epoch of a training, set on all modules that change over it."""

from __future__ import annotations

from mmengine.hooks import Hook
from mmengine.runner import Runner

from lt_plugins.models.unwrap import unwrap_model
from lt_plugins.registry import HOOKS


@HOOKS.register_module()
class EpochHook(Hook):
    """Epoch hook: calls ``set_epoch(epoch, max_epochs)`` of every module that has it, before each epoch.

    So does the first epoch of a resumed run: what a module sets must follow from the epoch, the settings and its
    buffers alone. A text that the method returns goes to the log whenever it is another one.

    Config::

        default_hooks = dict(epoch=dict(type='EpochHook'))
    """

    # After ClassDistributionHook (counts), before the hooks that start to compute.
    priority = "HIGH"

    def __init__(self) -> None:
        self._states: dict[str, str] = {}

    def before_train_epoch(self, runner: Runner) -> None:
        """Set the epoch.

        Args:
            runner (Runner): The runner of the training process.
        """
        for path, module in unwrap_model(runner.model).named_modules():
            if not hasattr(module, "set_epoch"):
                continue
            state = module.set_epoch(runner.epoch, runner.max_epochs)
            if state is not None and state != self._states.get(path):
                runner.logger.info(f"{type(module).__name__} ({path}) from epoch {runner.epoch + 1} on: {state}.")
                self._states[path] = state
