"""Runtime information whose numbers are read when somebody looks at them."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import Any

from mmengine.hooks import RuntimeInfoHook
from mmengine.logging import MessageHub
from mmengine.optim import OptimWrapperDict
from mmengine.runner import Runner

from lt_plugins.engine.deferred_history import defer_scalar
from lt_plugins.registry import HOOKS


@HOOKS.register_module()
class DeferredInfoHook(RuntimeInfoHook):
    """mmengine's ``RuntimeInfoHook`` without a look at the device in every step.

    The loss terms of a step, and the norm of its gradients where they are clipped, stay on the device until the log, a
    hook or a checkpoint reads them (:class:`.DeferredHistory`); the numbers are the same.

    Config::

        default_hooks = dict(runtime_info=dict(type='DeferredInfoHook'))
    """

    def before_train(self, runner: Runner) -> None:
        """Note the state of the training, and take over the logging of clipped gradients.

        Args:
            runner (Runner): The runner of the training process.
        """
        super().before_train(runner)
        wrapper = runner.optim_wrapper
        for each in wrapper.optim_wrappers.values() if isinstance(wrapper, OptimWrapperDict) else [wrapper]:
            if getattr(each, "clip_grad_kwargs", None):
                each.clip_func = partial(_clip, each.clip_func, each.message_hub, f"train/{each.grad_name}")

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


def _clip(clip: Callable[..., Any], hub: MessageHub, key: str, parameters: Any, **kwargs: Any) -> None:
    """Clip gradients and log their norm; of None mmengine's wrapper reads nothing."""
    norm = clip(parameters, **kwargs)
    if norm is not None:  # clip_grad_value_ has none
        defer_scalar(hub, key, norm)
