"""Expected calibration error and the bins of the reliability diagram."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray

from lt_plugins.errors import UserInputError
from lt_plugins.evaluation.prediction_metric import PredictionMetric
from lt_plugins.evaluation.predictions import Predictions
from lt_plugins.registry import METRICS


@dataclass(frozen=True)
class ReliabilityBins:
    """``M`` equal-width bins of confidence, ``((m - 1) / M, m / M]``; 0 belongs to the first.

    Args:
        count (NDArray): Samples in each bin, ``(M,)`` int64.
        accuracy (NDArray): Share of correct ones, ``(M,)`` in [0, 1]; NaN for an empty bin.
        confidence (NDArray): Mean confidence, ``(M,)`` in [0, 1]; NaN for an empty bin.
    """

    count: NDArray[np.int64]
    accuracy: NDArray[np.float64]
    confidence: NDArray[np.float64]

    @property
    def expected_calibration_error(self) -> float:
        """Mean over the samples of their bin's ``|accuracy - confidence|``, in percent."""
        filled = self.count > 0
        gaps = np.abs(self.accuracy - self.confidence)[filled]
        return float(100 * np.average(gaps, weights=self.count[filled]))


def reliability_bins(confidence: ArrayLike, correct: ArrayLike, num_bins: int = 15) -> ReliabilityBins:
    """Sort predictions into bins of confidence.

    Args:
        confidence (ArrayLike): Probability of the predicted class, ``(N,)``.
        correct (ArrayLike): Whether the prediction is right, ``(N,)`` bool.
        num_bins (int): Number of bins ``M``. Defaults to 15.

    Raises:
        UserInputError: If there are no samples, ``num_bins`` is not positive, a confidence is not in [0, 1] or a hit
            not 0 or 1.
    """
    confidence = np.asarray(confidence, dtype=np.float64)
    hits = np.asarray(correct, dtype=np.float64)
    if num_bins < 1:
        raise UserInputError(f"num_bins={num_bins} must be at least 1; the field uses 15.")
    if confidence.size == 0 or confidence.shape != hits.shape:
        raise UserInputError(
            f"calibration needs as many confidences {confidence.shape} as hits {hits.shape}, not none."
        )
    # Softmax in half precision may exceed 1 by a rounding error.
    if confidence.min() < 0 or confidence.max() > 1 + 1e-3 or np.isnan(confidence).any():
        raise UserInputError(
            f"confidences {confidence.min():.3g}..{confidence.max():.3g} are not probabilities; "
            "use a head whose pred_score is a softmax."
        )
    if not np.isin(hits, (0, 1)).all():
        raise UserInputError("hits must be true or false for every prediction.")
    inner_edges = np.linspace(0, 1, num_bins + 1)[1:-1]
    index = np.searchsorted(inner_edges, confidence, side="left")  # an edge belongs to the bin below it
    count = np.bincount(index, minlength=num_bins)
    with np.errstate(invalid="ignore"):  # 0 / 0 is the NaN of an empty bin
        accuracy = np.bincount(index, hits, num_bins) / count
        mean_confidence = np.bincount(index, confidence, num_bins) / count
    return ReliabilityBins(count, accuracy, mean_confidence)


def expected_calibration_error(confidence: ArrayLike, correct: ArrayLike, num_bins: int = 15) -> float:
    """Expected calibration error in percent.

    ``sum_m n_m / N |accuracy_m - confidence_m|``, Eq. 3 of Guo et al., "On Calibration of Modern Neural Networks" (ICML
    2017), with the highest probability as confidence.

    Args:
        confidence (ArrayLike): Probability of the predicted class, ``(N,)``.
        correct (ArrayLike): Whether the prediction is right, ``(N,)`` bool.
        num_bins (int): Number of equal-width bins. Defaults to 15.

    Raises:
        UserInputError: As :func:`reliability_bins`.
    """
    return reliability_bins(confidence, correct, num_bins).expected_calibration_error


@METRICS.register_module()
class CalibrationError(PredictionMetric):
    """Expected calibration error (ECE), in percent.

    How far the confidence of a prediction is from its chance to be right. The log gets ``calibration/ece``; the bins
    of the reliability diagram come from :func:`reliability_bins` on the ``predictions.npz`` of :class:`ShotAccuracy`.

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
