"""Sized buffers: copies of a model whose buffers change their size in training."""

from __future__ import annotations

from torch import nn


def copy_sized_buffers(source: nn.Module, copy: nn.Module) -> None:
    """Copy the buffers in ``sized_by_data``, such as ``SBCLLoss.subclass``, to a copy of a model.

    A copy that was made before a clustering has them in their old size, and averaging into it fails.

    Args:
        source (nn.Module): The model in training, without wrappers.
        copy (nn.Module): Its copy, such as an exponential moving average; changed in place, on its own device.
    """
    for path, module in source.named_modules():
        for name in getattr(module, "sized_by_data", ()):
            new, old = getattr(module, name), getattr(copy.get_submodule(path), name)
            old.resize_(new.shape).copy_(new)
