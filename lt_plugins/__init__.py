"""Plugins of mmpretrain for long-tailed visual recognition.

Importing the package is cheap; ``import lt_plugins.plugins`` registers its components with mmpretrain.
"""

from .version import __version__

__all__ = ["__version__"]
