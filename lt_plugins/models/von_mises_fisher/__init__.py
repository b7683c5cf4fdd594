"""Von Mises-Fisher distributions: their normaliser in float64, and running ones of the classes."""

from .bessel import log_bessel, mean_length
from .class_directions import ClassDirections

__all__ = ["ClassDirections", "log_bessel", "mean_length"]
