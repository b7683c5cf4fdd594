"""Runtime information whose numbers are read when somebody looks at them."""

from __future__ import annotations

from typing import Any

from mmengine.hooks import RuntimeInfoHook
from mmengine.runner import Runner

from lt_plugins.engine.deferred_history import defer_scalar
from lt_plugins.registry import HOOKS


@HOOKS.register_module()
class DeferredInfoHook(RuntimeInfoHook):
    """mmengine's ``RuntimeInfoHook`` without a look at the device in every step.

    The loss terms of a step stay on the device until the log, a hook or a checkpoint reads them
    (:class:`.DeferredHistory`); the numbers are the same.

    Config::

        default_hooks = dict(runtime_info=dict(type='DeferredInfoHook'))
    """

    def after_train_iter(
        self,
        runner: Runner,
        batch_idx: int,  # noqa: ARG002 (mmengine's signature)
        data_batch: Any = None,  # noqa: ARG002
        outputs: dict | None = None,
    ) -> None:
        """Log the numbers of a step.

        Args:
            runner (Runner): The runner of the training process.
            batch_idx (int): Unused.
            data_batch (Any): Unused.
            outputs (dict, optional): The loss terms and other values for the log.
        """
        for key, value in (outputs or {}).items():
            defer_scalar(runner.message_hub, f"train/{key}", value)
