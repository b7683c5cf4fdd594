"""Figures of attributes, latent categories and subclasses."""

from .attribute_grid import AttributeRow, MarkedImage, draw_attribute_grid
from .latent_rows import LatentRow, draw_latent_rows
from .latent_usage import plot_latent_usage
from .subclass_distances import plot_subclass_distances
from .subclass_sizes import plot_subclass_sizes

__all__ = [
    "AttributeRow",
    "LatentRow",
    "MarkedImage",
    "draw_attribute_grid",
    "draw_latent_rows",
    "plot_latent_usage",
    "plot_subclass_distances",
    "plot_subclass_sizes",
]
