"""A metric over every prediction of the test set, each sample counted once."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Mapping, Sequence
from itertools import chain
from pathlib import Path
from typing import Any

import torch
from mmengine.dist import all_gather_object
from mmengine.evaluator import BaseMetric
from mmengine.logging import MMLogger
from torch import Tensor

from lt_plugins.errors import UserInputError
from lt_plugins.evaluation.predictions import Predictions
from lt_plugins.models.structures import LabelBatch


class PredictionMetric(BaseMetric):
    """Base of metrics that are functions of the :class:`Predictions` for the whole dataset.

    mmengine's own collection drops padding by position, which only fits samplers that deal samples out in turn, and
    passes one pickled dict a sample through files. Here every process gathers the compact arrays of all, drops repeated
    samples by ``sample_idx`` and computes the same numbers, so that shards may be of any size and order.

    Args:
        prefix (str | None): Prefix of the metric's keys in the log. Defaults to the class's own; an empty one is none.
    """

    is_trial = False  # True on a copy that is tried with made-up predictions: it says and writes nothing
    results: list[Predictions]

    def __init__(self, prefix: str | None = None) -> None:
        super().__init__(prefix=prefix)

    def process(self, data_batch: Any, data_samples: LabelBatch | Sequence[dict]) -> None:  # noqa: ARG002
        """Keep the predictions of a batch.

        Args:
            data_batch (Any): Unused.
            data_samples (LabelBatch | Sequence[dict]): As for :meth:`read`.

        Raises:
            UserInputError: If a sample has no scores, or not exactly one label.
        """
        self.results.append(self.read(data_samples))

    def read(self, data_samples: LabelBatch | Sequence[dict]) -> Predictions:
        """Reduce what a model predicts for a batch; metrics of one model may share the result.

        Args:
            data_samples (LabelBatch | Sequence[dict]): Labels and predictions, as heads of this package give them; or,
                from mmengine's evaluator, samples with ``pred_score (C,)``, ``gt_label (1,)`` and, if the pipeline
                packs it, ``sample_idx``.

        Raises:
            UserInputError: If a sample has no scores, or not exactly one label.
        """
        scores, labels, sample_idx = (
            (data_samples.pred_score, data_samples.labels, data_samples.sample_idx)
            if isinstance(data_samples, LabelBatch)
            else (None, None, None)
        )
        if scores is None or labels is None:
            scores, labels, sample_idx = self._collect(data_samples)
        return Predictions.from_scores(scores, labels, sample_idx)

    def _collect(self, data_samples: Sequence[Any]) -> tuple[Tensor, Tensor, Tensor]:
        """Scores ``(B, C)``, labels and positions ``(B,)`` of single samples, all of which must have the first two."""
        for sample in data_samples:
            if "pred_score" not in sample:
                raise UserInputError(
                    f"{type(self).__name__} needs the class scores, but the model gives only {sorted(sample.keys())}; "
                    "use a head whose predict() sets pred_score."
                )
            if "gt_label" not in sample or len(sample.get("gt_label")) != 1:
                raise UserInputError(
                    f"{type(self).__name__} needs exactly one gt_label a sample, got {sample.get('gt_label')}; "
                    "evaluate on a labelled single-label dataset."
                )
        scores = torch.stack([sample.get("pred_score") for sample in data_samples])  # (B, C)
        labels = torch.cat([sample.get("gt_label") for sample in data_samples]).to(scores.device)  # (B,)
        sample_idx = torch.tensor([int(sample.get("sample_idx", -1)) for sample in data_samples])
        return scores, labels, sample_idx

    def evaluate(self, size: int) -> dict[str, float]:
        """Compute the metric from the predictions of all processes.

        Args:
            size (int): Number of samples of the test set.

        Returns:
            dict[str, float]: The numbers by name, the same on every process.

        Raises:
            UserInputError: If there are no predictions, repeated ones that cannot be told apart, or some whose scores
                are not finite.
        """
        parts = list(chain.from_iterable(all_gather_object(self.results)))
        self.results.clear()
        if not parts:
            raise UserInputError(f"{type(self).__name__} got no predictions: test set empty? Check its ann_file.")
        predictions = Predictions.concatenate(parts).once_each(size)
        if num_invalid := predictions.num_invalid:
            first = int(predictions.sample_idx[predictions.predicted < 0][0])
            raise UserInputError(
                f"{num_invalid} of {len(predictions)} predictions have scores that are not finite, first that of "
                f"sample {first} of the test set; the model has diverged, or half precision overflows: use an earlier "
                "checkpoint, or float32."
            )
        prefix = f"{self.prefix}/" if self.prefix else ""
        return {f"{prefix}{name}": value for name, value in self.compute_metrics(predictions).items()}

    @abstractmethod
    def compute_metrics(self, predictions: Predictions) -> dict[str, float]:
        """Compute the numbers from the predictions for the whole dataset.

        Args:
            predictions (Predictions): One prediction a sample, in dataset order.
        """

    @staticmethod
    def output_folder(out_dir: str | None) -> Path | None:
        """Folder for the files of a metric.

        Args:
            out_dir (str | None): That of the config.

        Returns:
            Path | None: By default the folder of the run's log file; None without one.
        """
        if out_dir is not None:
            return Path(out_dir)
        # A metric does not know its runner, but the runner's logger, which is the current one, knows the run's folder.
        log_file = MMLogger.get_current_instance().log_file
        return None if log_file is None else Path(log_file).parent


def inform_metric(metric: BaseMetric, counts: Tensor, metainfo: Mapping[str, Any]) -> None:
    """Tell a metric about the training set, as far as it asks.

    Args:
        metric (BaseMetric): Any metric; one with ``set_class_counts`` or ``set_training_metainfo`` asks.
        counts (Tensor): Training images of each class, ``(C,)``.
        metainfo (Mapping[str, Any]): Metainfo of the training set.
    """
    if hasattr(metric, "set_class_counts"):
        metric.set_class_counts(counts)
    if hasattr(metric, "set_training_metainfo"):
        metric.set_training_metainfo(metainfo)
