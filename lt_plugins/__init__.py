"""Plugins that turn mmpretrain into a trainer for long-tailed images.

Importing the package is cheap; ``import lt_plugins.plugins`` registers its components with mmpretrain.
"""

from .version import __version__

__all__ = ["__version__"]
