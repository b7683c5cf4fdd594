"""Initialisations that mmengine lacks."""

from .rare_event_bias_init import RareEventBiasInit
from .torch_default_init import TorchDefaultInit

__all__ = [
    "RareEventBiasInit",
    "TorchDefaultInit",
]
