"""Plugins that turn mmpretrain into a trainer for long-tailed images."""

from . import datasets, models, structures

__all__ = ["datasets", "models", "structures"]
