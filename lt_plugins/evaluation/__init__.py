"""Metrics for long-tailed recognition."""

from .calibration_error import CalibrationError, ReliabilityBins, expected_calibration_error, reliability_bins
from .class_table import ClassTable
from .metafile import published_results
from .prediction_metric import PredictionMetric
from .predictions import Predictions
from .run_folder import RunFolder, RunLog
from .shot_accuracy import ShotAccuracy
from .tables import markdown_table, mean_and_spread
from .transfer_table import TransferRun, detection_metrics, method_of, transfer_rows

__all__ = [
    "CalibrationError",
    "ClassTable",
    "PredictionMetric",
    "Predictions",
    "ReliabilityBins",
    "RunFolder",
    "RunLog",
    "ShotAccuracy",
    "TransferRun",
    "detection_metrics",
    "expected_calibration_error",
    "markdown_table",
    "mean_and_spread",
    "method_of",
    "published_results",
    "reliability_bins",
    "transfer_rows",
]
