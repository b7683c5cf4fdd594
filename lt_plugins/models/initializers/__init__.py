"""Initialisations that mmengine lacks."""

from .torch_default_init import TorchDefaultInit

__all__ = [
    "TorchDefaultInit",
]
