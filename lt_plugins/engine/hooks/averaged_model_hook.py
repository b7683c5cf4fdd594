"""Averaged models: synchronises EMA and SWA copies with optimiser steps and resized buffers."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from mmengine.hooks import Hook
from mmengine.model import BaseAveragedModel
from mmengine.optim import OptimWrapper
from mmengine.runner import Runner
from torch import nn

from lt_plugins.engine.runner_parts import averaged_models
from lt_plugins.engine.sized_buffers import copy_sized_buffers
from lt_plugins.models.accumulation import accumulating_wrappers
from lt_plugins.models.unwrap import unwrap_model
from lt_plugins.registry import HOOKS


@HOOKS.register_module()
class AveragedModelHook(Hook):
    """Averaged-model hook: keeps the copies of ``EMAHook`` (any ``ema_type``) in step with the model.

    * Buffers whose size the data decide, such as the subclasses of ``SBCLLoss``, get their new size and values in the
      copy too, whenever a clustering, or the first batch, has set them.
    * With accumulated gradients the average takes the weights once an optimiser step, not once a batch.

    Without an averaged model it does nothing. It is one of the ``default_hooks`` of the configs.

    Config::

        default_hooks = dict(averaged_model=dict(type='AveragedModelHook'), ema=dict(type='EMAHook', momentum=0.001))
    """

    # After the clustering, before EMAHook.
    priority = "ABOVE_NORMAL"

    def __init__(self) -> None:
        self._averages: list[BaseAveragedModel] = []

    def before_train(self, runner: Runner) -> None:
        """Find the averaged models and wrap their update.

        Args:
            runner (Runner): The runner of the training process.
        """
        self._averages = averaged_models(runner)
        self._match(runner)
        for wrapper in accumulating_wrappers(runner.optim_wrapper)[:1]:
            for average in self._averages:
                average.update_parameters = once_a_step(average.update_parameters, wrapper)

    def before_train_iter(self, runner: Runner, batch_idx: int, data_batch: Any = None) -> None:  # noqa: ARG002
        """Copy the buffers that a clustering before this epoch has resized.

        Args:
            runner (Runner): The runner of the training process.
            batch_idx (int): Index of the batch in the epoch.
            data_batch (Any): Unused.
        """
        if batch_idx == 0:
            self._match(runner)

    def after_train_iter(
        self,
        runner: Runner,
        batch_idx: int,
        data_batch: Any = None,  # noqa: ARG002
        outputs: dict[str, Any] | None = None,  # noqa: ARG002
    ) -> None:
        """Copy the buffers that the first forward pass has sized, such as the centres of ``CenterLoss``.

        Args:
            runner (Runner): The runner of the training process.
            batch_idx (int): Index of the batch in the epoch.
            data_batch (Any): Unused.
            outputs (dict, optional): Unused.
        """
        if batch_idx == 0:
            self._match(runner)

    def _match(self, runner: Runner) -> None:
        for average in self._averages:
            copy_sized_buffers(unwrap_model(runner.model), average.module)
            if average.update_buffers:  # it holds views, which keep the size that they were made with
                average.avg_parameters = average.module.state_dict()


def once_a_step(update: Callable[[nn.Module], None], wrapper: OptimWrapper) -> Callable[[nn.Module], None]:
    """Wrap the update of an averaged model so that it runs once an optimiser step.

    Args:
        update (Callable): ``update_parameters`` of the averaged model.
        wrapper (OptimWrapper): The optimiser, which accumulates gradients.
    """

    def update_once_a_step(model: nn.Module) -> None:
        if wrapper.should_update():  # asked after the batch was counted
            update(model)

    return update_once_a_step
