"""The model inside its wrappers."""

from __future__ import annotations

from typing import Any

from mmengine.model import BaseTTAModel, is_model_wrapper
from torch import nn


def unwrap_model(model: nn.Module) -> Any:
    """Take off distributed and test-time-augmentation wrappers.

    Args:
        model (nn.Module): The model of a runner.

    Returns:
        nn.Module: The classifier itself, whose ``state_dict`` a checkpoint holds. Typed as Any, since its parts are
            reached by name.
    """
    unwrapped: Any = model
    while is_model_wrapper(unwrapped) or isinstance(unwrapped, BaseTTAModel):
        unwrapped = unwrapped.module
    return unwrapped
