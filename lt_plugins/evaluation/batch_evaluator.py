"""Evaluator that hands the predictions of a batch to a metric as a whole."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from mmengine.evaluator import Evaluator

from lt_plugins.evaluation.prediction_metric import PredictionMetric
from lt_plugins.models.structures import LabelBatch


class BatchEvaluator(Evaluator):
    """mmengine's evaluator, without Python for each image: a ``LabelBatch`` is reduced once for all our metrics.

    A metric that is no :class:`PredictionMetric`, or processes batches in its own way, gets what mmengine gives it, one
    dict an image, which is made only for such metrics.
    """

    def process(self, data_samples: Sequence[Any], data_batch: Any = None) -> None:
        """Show the predictions of a batch to all metrics.

        Args:
            data_samples (LabelBatch | Sequence[DataSample]): Labels and predictions of the images.
            data_batch (Any): As the data loader gave it. Defaults to None.
        """
        ours = [metric for metric in self.metrics if getattr(type(metric), "process", None) is PredictionMetric.process]
        if not isinstance(data_samples, LabelBatch) or not ours:
            super().process(data_samples, data_batch)
            return
        predictions = ours[0].read(data_samples)
        for metric in ours:
            metric.results.append(predictions)
        if others := [metric for metric in self.metrics if metric not in ours]:
            Evaluator(others).process(data_samples, data_batch)
