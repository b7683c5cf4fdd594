"""The model inside its wrappers."""

from __future__ import annotations

from mmengine.model import BaseTTAModel, is_model_wrapper
from torch import nn


def unwrap_model(model: nn.Module) -> nn.Module:
    """Take off distributed and test-time-augmentation wrappers.

    Args:
        model (nn.Module): The model of a runner.

    Returns:
        nn.Module: The classifier itself, whose ``state_dict`` a checkpoint holds.
    """
    while is_model_wrapper(model) or isinstance(model, BaseTTAModel):
        model = model.module
    return model
