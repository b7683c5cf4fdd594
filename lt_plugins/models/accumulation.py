"""Who accumulates gradients over several batches, and whose state must follow optimiser steps then."""

from __future__ import annotations

from mmengine.optim import OptimWrapper, OptimWrapperDict
from torch import nn

from lt_plugins.models.structures import FollowsSteps


def accumulating_wrappers(optim_wrapper: OptimWrapper | OptimWrapperDict) -> list[OptimWrapper]:
    """The optimisers that accumulate gradients over several batches.

    Args:
        optim_wrapper (OptimWrapper | OptimWrapperDict): Of the runner.
    """
    wrappers = optim_wrapper.values() if isinstance(optim_wrapper, OptimWrapperDict) else [optim_wrapper]
    return [wrapper for wrapper in wrappers if wrapper._accumulative_counts > 1]


def step_followers(model: nn.Module) -> list[FollowsSteps]:
    """The modules of a model whose state follows optimiser steps instead of forward passes.

    Args:
        model (nn.Module): The model, without wrappers.
    """
    return [module for module in model.modules() if isinstance(module, FollowsSteps)]
