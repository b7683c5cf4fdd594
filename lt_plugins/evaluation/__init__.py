"""Metrics by class size, calibration, predictions."""
