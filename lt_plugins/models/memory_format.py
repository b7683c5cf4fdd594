"""Order in memory of the weights of convolutions, and of what has one value for each of them."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import torch
from torch import Tensor, nn


def choose_memory_format(channels_last: bool | None, device: str, cfg: Mapping[str, Any]) -> torch.memory_format:
    """Choose a memory format.

    Args:
        channels_last (bool | None): The setting of ``MemoryFormatHook``; None leaves the choice to the rest.
        device (str): Type of the device.
        cfg (Mapping[str, Any]): The config of a run, which says whether it trains in mixed precision.
    """
    if channels_last is None:
        channels_last = device == "cpu" or (cfg.get("optim_wrapper") or {}).get("type") == "AmpOptimWrapper"
    return torch.channels_last if channels_last else torch.contiguous_format


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
