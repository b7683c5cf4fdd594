"""Visualization: figures from plain arrays, and the HTML page that holds them."""

from .attribute_distribution import plot_class_attributes, plot_split_attributes, plot_stability
from .cell_accuracy import plot_cell_accuracy
from .class_accuracy import plot_class_accuracy
from .class_differences import plot_class_differences
from .class_histogram import plot_class_histogram
from .confusion import plot_confusion_matrix
from .contact_sheet import SheetRow, draw_contact_sheet
from .embedding import plot_embedding
from .figure_page import FigurePage
from .html import HtmlReport, figure_to_png
from .precision_trend import plot_precision_trend
from .reliability import plot_group_reliability, plot_reliability_diagram
from .shot_bars import plot_shot_bars
from .shot_tradeoff import SweepLine, plot_shot_tradeoff
from .size_trend import plot_size_trend
from .training_curves import plot_training_curves
from .tsne import tsne_points

__all__ = [
    "FigurePage",
    "HtmlReport",
    "SheetRow",
    "SweepLine",
    "draw_contact_sheet",
    "figure_to_png",
    "plot_cell_accuracy",
    "plot_class_accuracy",
    "plot_class_attributes",
    "plot_class_differences",
    "plot_class_histogram",
    "plot_confusion_matrix",
    "plot_embedding",
    "plot_group_reliability",
    "plot_precision_trend",
    "plot_reliability_diagram",
    "plot_shot_bars",
    "plot_shot_tradeoff",
    "plot_size_trend",
    "plot_split_attributes",
    "plot_stability",
    "plot_training_curves",
    "tsne_points",
]
