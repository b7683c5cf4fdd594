"""Order in memory of the weights of convolutions, and of what has one value for each of them."""

from __future__ import annotations

import torch
from torch import Tensor, nn


def convert_convolutions(model: nn.Module, memory_format: torch.memory_format) -> None:
    """Lay the weights of all 2-d convolutions of a model out in a memory format; they stay the same parameters.

    Args:
        model (nn.Module): The model; changed in place.
        memory_format (torch.memory_format): ``torch.channels_last`` or ``torch.contiguous_format``.
    """
    for module in model.modules():
        if isinstance(module, (nn.Conv2d, nn.ConvTranspose2d)):
            weight = module.weight
            weight.data = weight.data.to(weight.dtype, memory_format=memory_format)


def laid_out_like(parameter: Tensor, value: object) -> object:
    """Lay a value of an optimiser's state out like its parameter, if it has one entry for each of the parameter's.

    Args:
        parameter (Tensor): The parameter.
        value (object): Of its state; anything but such a tensor is returned as it is.
    """
    if not isinstance(value, Tensor) or value.shape != parameter.shape or value.stride() == parameter.stride():
        return value
    return torch.empty_like(parameter, dtype=value.dtype, device=value.device).copy_(value)
