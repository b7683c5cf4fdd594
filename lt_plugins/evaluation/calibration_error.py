"""Expected calibration error as a metric of mmengine."""

from __future__ import annotations

from lt_plugins.errors import UserInputError
from lt_plugins.evaluation.functional import expected_calibration_error
from lt_plugins.evaluation.prediction_metric import PredictionMetric
from lt_plugins.evaluation.predictions import Predictions
from lt_plugins.registry import METRICS


@METRICS.register_module()
class CalibrationError(PredictionMetric):
    """Expected calibration error (ECE), in percent.

    How far the confidence of a prediction is from its chance to be right. The log gets ``calibration/ece``; the bins
    of the reliability diagram come from :func:`.reliability_bins` on the ``predictions.npz`` of :class:`ShotAccuracy`.

    See Guo et al., "On Calibration of Modern Neural Networks" (ICML 2017), https://arxiv.org/abs/1706.04599, Eq. 3.

    Args:
        num_bins (int): Number of equal-width bins of confidence. Defaults to 15.
        prefix (str | None): Prefix of the key in the log. Defaults to ``'calibration'``.

    Raises:
        UserInputError: If ``num_bins`` is not positive.

    Example:
        >>> val_evaluator = [dict(type='ShotAccuracy'), dict(type='CalibrationError')]
    """

    default_prefix = "calibration"

    def __init__(self, num_bins: int = 15, prefix: str | None = None) -> None:
        if num_bins < 1:
            raise UserInputError(f"num_bins={num_bins} must be at least 1; the field uses 15.")
        super().__init__(prefix=prefix)
        self.num_bins = num_bins

    def compute_metrics(self, predictions: Predictions) -> dict[str, float]:
        """Compute the error in percent, as ``ece``."""
        return {"ece": expected_calibration_error(predictions.confidence, predictions.correct, self.num_bins)}
