"""Parts of a runner that several hooks look up: its optimisers and its averaged models."""

from __future__ import annotations

from typing import Any

from mmengine.model import BaseAveragedModel
from mmengine.optim import BaseOptimWrapper, OptimWrapperDict
from mmengine.runner import Runner


def optim_wrappers(runner: Runner) -> list[Any]:
    """List the optimisers of a runner; none until training builds them.

    Args:
        runner (Runner): The runner.

    Returns:
        list[OptimWrapper]: One, or those of an ``OptimWrapperDict``. Typed as Any, since only some have a loss scaler.
    """
    wrapper = runner.optim_wrapper
    if isinstance(wrapper, OptimWrapperDict):
        return list(wrapper.optim_wrappers.values())
    return [wrapper] if isinstance(wrapper, BaseOptimWrapper) else []


def averaged_models(runner: Runner) -> list[BaseAveragedModel]:
    """List the averaged copies of the model that ``EMAHook`` and its like keep, from ``before_run`` on.

    Args:
        runner (Runner): The runner.
    """
    found = [getattr(hook, "ema_model", None) for hook in runner.hooks]
    return [model for model in found if isinstance(model, BaseAveragedModel)]
