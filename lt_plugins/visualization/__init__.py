"""Figures from plain arrays, and the page that holds them."""

from .attribute_grid import AttributeRow, MarkedImage, draw_attribute_grid
from .class_accuracy import plot_class_accuracy
from .class_histogram import plot_class_histogram
from .confusion import plot_confusion_matrix
from .embedding import plot_embedding
from .figure_page import FigurePage
from .html import HtmlReport, figure_to_png
from .latent_rows import LatentRow, draw_latent_rows
from .latent_usage import plot_latent_usage
from .reliability import plot_reliability_diagram
from .shot_bars import plot_shot_bars
from .subclass_distances import plot_subclass_distances
from .subclass_sizes import plot_subclass_sizes
from .training_curves import plot_training_curves
from .tsne import tsne_points

__all__ = [
    "AttributeRow",
    "FigurePage",
    "HtmlReport",
    "LatentRow",
    "MarkedImage",
    "draw_attribute_grid",
    "draw_latent_rows",
    "figure_to_png",
    "plot_class_accuracy",
    "plot_class_histogram",
    "plot_confusion_matrix",
    "plot_embedding",
    "plot_latent_usage",
    "plot_reliability_diagram",
    "plot_shot_bars",
    "plot_subclass_distances",
    "plot_subclass_sizes",
    "plot_training_curves",
    "tsne_points",
]
