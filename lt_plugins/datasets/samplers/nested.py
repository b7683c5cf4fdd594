"""Samplers that consist of others: building them and telling them the epoch."""

from __future__ import annotations

from typing import Any

from torch.utils.data import Sampler

from lt_plugins.registry import DATA_SAMPLERS


def build_sampler(part: dict | Sampler, **arguments: Any) -> Any:
    """Build a sampler from its config; one that is built already stays.

    Args:
        part (dict | Sampler): The config, or the sampler.
        **arguments: Arguments that the config need not give.
    """
    return DATA_SAMPLERS.build(part, default_args=arguments) if isinstance(part, dict) else part


def set_sampler_epoch(sampler: Any, epoch: int, max_epochs: int | None) -> str | None:
    """Tell a sampler of any kind the epoch, and the number of epochs if it asks for that.

    Args:
        sampler (Sampler): The sampler; one without ``set_epoch`` is left alone.
        epoch (int): The epoch, from 0.
        max_epochs (int, optional): Number of epochs of the training.

    Returns:
        str | None: What ``set_epoch`` of a sampler with an attribute ``max_epochs`` returned, for the log.
    """
    if hasattr(sampler, "max_epochs"):
        return sampler.set_epoch(epoch, max_epochs)
    if hasattr(sampler, "set_epoch"):
        sampler.set_epoch(epoch)
    return None
