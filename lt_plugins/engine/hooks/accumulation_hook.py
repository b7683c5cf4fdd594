"""Gradient accumulation: aligns what follows optimiser steps, and the end of epochs, with them."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import Any

from mmengine.hooks import CheckpointHook, Hook
from mmengine.optim import OptimWrapper
from mmengine.runner import EpochBasedTrainLoop, Runner
from torch import nn

from lt_plugins.errors import UserInputError
from lt_plugins.models.accumulation import accumulating_wrappers, step_followers
from lt_plugins.models.structures import FollowsSteps
from lt_plugins.models.unwrap import unwrap_model
from lt_plugins.registry import HOOKS


@HOOKS.register_module()
class AccumulationHook(Hook):
    """Gradient accumulation hook: lets ``accumulative_counts=n`` equal a batch ``n`` times as large.

    * Modules whose state follows optimiser steps (:class:`~lt_plugins.models.structures.FollowsSteps`: key encoder,
      queue, covariances of latent categories) learn where in a step each forward pass lies.
    * An epoch ends with an optimiser step: its last one takes the mean over the batches that are left, as the last
      batch of an epoch may be smaller. mmengine lets the gradient pend over the end of the epoch, where no checkpoint
      holds it, so that a resumed run would differ.

    Without accumulation it does nothing. It is one of the ``default_hooks`` of the configs.

    Config::

        default_hooks = dict(accumulation=dict(type='AccumulationHook'))

    Raises:
        UserInputError: If checkpoints of a training by iterations would fall between two optimiser steps, or a model
            with such state has several optimisers.
    """

    # Before the hooks that read where in a step an iteration lies (CovarianceHook).
    priority = "VERY_HIGH"

    def __init__(self) -> None:
        self._wrapper: OptimWrapper | None = None
        self._followers: list[FollowsSteps] = []

    def before_run(self, runner: Runner) -> None:
        """Start the accumulation at 0 in a resumed run, where mmengine warns of lost gradients.

        Args:
            runner (Runner): The runner.
        """
        if isinstance(runner._train_loop, EpochBasedTrainLoop):
            for wrapper in accumulating_wrappers(runner.optim_wrapper):
                wrapper.initialize_count_status = partial(_begin_at_zero, wrapper.initialize_count_status)

    def before_train(self, runner: Runner) -> None:
        """Find the modules that follow steps, and check that checkpoints fall on optimiser steps.

        Args:
            runner (Runner): The runner of the training process.
        """
        self._wrapper, self._followers = None, []
        followers = step_followers(unwrap_model(runner.model))
        wrappers = accumulating_wrappers(runner.optim_wrapper)
        if not wrappers:
            return
        if len(wrappers) > 1 and followers:
            raise UserInputError(
                f"{len(wrappers)} optimisers accumulate gradients, and {type(followers[0]).__name__} has state that "
                "follows the steps of one; set accumulative_counts=1 in all but one of optim_wrapper."
            )
        self._wrapper, self._followers = wrappers[0], followers
        counts = self._wrapper._accumulative_counts
        if not isinstance(runner.train_loop, EpochBasedTrainLoop):
            check_intervals(runner, counts)
            return
        rest = len(runner.train_dataloader) % counts
        runner.logger.info(
            f"Gradients of {counts} batches are accumulated"
            + (f"; the last step of an epoch takes {rest}, so that nothing pends over its end." if rest else ".")
        )

    def before_train_epoch(self, runner: Runner) -> None:
        """Align the accumulation with the epoch.

        Args:
            runner (Runner): The runner of the training process.
        """
        if not isinstance(runner.train_loop, EpochBasedTrainLoop):
            return
        length = len(runner.train_dataloader)
        for wrapper in accumulating_wrappers(runner.optim_wrapper):
            # What initialize_count_status sets, without its warnings in every epoch.
            wrapper._inner_count, wrapper._max_counts = 0, length
            wrapper._remainder_counts = length % wrapper._accumulative_counts

    def before_train_iter(self, runner: Runner, batch_idx: int, data_batch: Any = None) -> None:  # noqa: ARG002
        """Set the position of this iteration in its step on the modules that follow steps.

        Args:
            runner (Runner): Unused.
            batch_idx (int): Unused.
            data_batch (Any): Unused.
        """
        if self._wrapper is None:
            return
        starts = self._wrapper.inner_count % self._wrapper._accumulative_counts == 0
        ends = self._wrapper.should_sync()
        for module in self._followers:
            module.starts_step, module.ends_step = starts, ends


def check_intervals(runner: Runner, counts: int) -> None:
    """Refuse checkpoint intervals that fall between two optimiser steps.

    Args:
        runner (Runner): The runner of the training process.
        counts (int): Batches a step.

    Raises:
        UserInputError: If an interval is no multiple of ``counts``.
    """
    intervals: dict[str, int] = {}
    for hook in runner.hooks:
        if isinstance(hook, CheckpointHook) and not hook.by_epoch:
            intervals["default_hooks.checkpoint.interval"] = hook.interval
            if hook.save_best is not None and runner.val_loop is not None:
                intervals["train_cfg.val_interval"] = runner.val_interval
    for name, interval in intervals.items():
        if interval > 0 and interval % counts:
            raise UserInputError(
                f"{name}={interval} writes checkpoints between two optimiser steps (optim_wrapper.accumulative_counts="
                f"{counts}), and a run resumed there would lose gradients; use a multiple, like "
                f"{name}={-(-interval // counts) * counts}."
            )


def _begin_at_zero(initialise: Callable[..., None], model: nn.Module, init_counts: int, max_counts: int) -> None:  # noqa: ARG001
    initialise(model, 0, max_counts)
