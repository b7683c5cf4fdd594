"""Projectors and poolings that mmpretrain lacks."""

from .mlp_projector import MLPProjector
from .modulated_attention import ModulatedAttention

__all__ = [
    "MLPProjector",
    "ModulatedAttention",
]
