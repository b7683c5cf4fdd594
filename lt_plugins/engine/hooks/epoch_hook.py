"""Epoch of a training, set on everything that changes over it."""

from __future__ import annotations

from typing import Any

from mmengine.hooks import Hook
from mmengine.runner import Runner

from lt_plugins.datasets.loader_order import seeded_sampler
from lt_plugins.models.unwrap import unwrap_model
from lt_plugins.registry import HOOKS


@HOOKS.register_module()
class EpochHook(Hook):
    """Epoch hook: calls ``set_epoch(epoch, max_epochs)`` of every module and optimiser that has it, before each epoch.

    And of the (batch) sampler of the training, if it has an attribute ``max_epochs``: mmengine's
    ``DistSamplerSeedHook`` tells a sampler the epoch alone. So it is before the first epoch of a resumed run: what a
    module sets must follow from the epoch, the settings and its buffers alone. A text that the method returns goes to
    the log whenever it is another one.

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
        parts: dict[str, Any] = dict(unwrap_model(runner.model).named_modules())
        name, sampler = seeded_sampler(runner.train_dataloader)
        if hasattr(sampler, "max_epochs"):
            parts[f"train_dataloader.{name}"] = sampler
        parts["optim_wrapper"] = runner.optim_wrapper
        for path, part in parts.items():
            if not hasattr(part, "set_epoch"):
                continue
            state = part.set_epoch(runner.epoch, runner.max_epochs)
            if state is not None and state != self._states.get(path):
                runner.logger.info(f"{type(part).__name__} ({path}) from epoch {runner.epoch + 1} on: {state}.")
                self._states[path] = state
