"""Evaluator that hands the predictions of a batch to a metric as a whole."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from mmengine.evaluator import Evaluator

from lt_plugins.evaluation.prediction_metric import PredictionMetric
from lt_plugins.models.structures import LabelBatch


class BatchEvaluator(Evaluator):
    """mmengine's evaluator, without Python for each image: a :class:`PredictionMetric` gets the ``LabelBatch`` itself.

    Other metrics get what mmengine gives them, one dict an image, which is made only for them.
    """

    def process(self, data_samples: Sequence[Any], data_batch: Any = None) -> None:
        """Show the predictions of a batch to all metrics.

        Args:
            data_samples (LabelBatch | Sequence[DataSample]): Labels and predictions of the images.
            data_batch (Any): As the data loader gave it. Defaults to None.
        """
        whole = [metric for metric in self.metrics if isinstance(metric, PredictionMetric)]
        if not isinstance(data_samples, LabelBatch) or not whole:
            super().process(data_samples, data_batch)
            return
        for metric in whole:
            metric.process(data_batch, data_samples)
        if others := [metric for metric in self.metrics if not isinstance(metric, PredictionMetric)]:
            Evaluator(others).process(data_samples, data_batch)
