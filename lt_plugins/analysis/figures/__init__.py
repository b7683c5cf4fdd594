"""Figures of attributes, contrastive geometry, latent categories and subclasses."""

from .attribute_grid import AttributeRow, MarkedImage, draw_attribute_grid
from .geometry_trend import plot_geometry_trend
from .latent_rows import LatentRow, draw_latent_rows
from .latent_usage import plot_latent_usage
from .mean_angles import plot_mean_angles, plot_nearest_angles
from .subclass_distances import plot_subclass_distances
from .subclass_sizes import plot_subclass_sizes

__all__ = [
    "AttributeRow",
    "LatentRow",
    "MarkedImage",
    "draw_attribute_grid",
    "draw_latent_rows",
    "plot_geometry_trend",
    "plot_latent_usage",
    "plot_mean_angles",
    "plot_nearest_angles",
    "plot_subclass_distances",
    "plot_subclass_sizes",
]
