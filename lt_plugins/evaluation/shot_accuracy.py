"""Accuracy overall and over many-, medium- and few-shot classes."""

from __future__ import annotations

import logging
from collections.abc import Sequence

from mmengine.dist import is_main_process
from mmengine.logging import print_log
from torch import Tensor

from lt_plugins.errors import UserInputError
from lt_plugins.evaluation.class_table import ClassTable
from lt_plugins.evaluation.functional import topk_accuracy
from lt_plugins.evaluation.prediction_metric import PredictionMetric
from lt_plugins.evaluation.predictions import Predictions
from lt_plugins.models.structures import ClassDistribution
from lt_plugins.models.structures.class_distribution import FEW_THRESHOLD, MANY_THRESHOLD
from lt_plugins.registry import METRICS


@METRICS.register_module()
class ShotAccuracy(PredictionMetric):
    """Top-k accuracy, and the mean of the per-class accuracies over classes with many, medium and few training images.

    All numbers are in percent: ``accuracy_top{k}`` (share of all test images), ``many``, ``medium``, ``few``,
    ``balanced``, ``geometric_mean`` and ``harmonic_mean`` (means of the per-class top-1 accuracies, see
    :meth:`ClassTable.means`). A group without classes is left out, as are classes without test images.

    The pre-flight summary, galleries and pictures of a run group classes by the thresholds of its config's metric.
    The main process also writes ``per_class.csv`` and ``predictions.npz``, which ``tools/report.py`` reads.

    The groups follow Liu et al., "Large-Scale Long-Tailed Recognition in an Open World" (CVPR 2019), their accuracy
    Kang et al., "Decoupling Representation and Classifier for Long-Tailed Recognition" (ICLR 2020).

    Args:
        topk (int | Sequence[int]): The ``k`` of the overall accuracies. Defaults to ``(1,)``.
        many_threshold (int): Classes with more training images than this are many-shot. Defaults to 100.
        few_threshold (int): Classes with fewer training images than this are few-shot; all others are medium-shot.
            Defaults to 20.
        class_counts (Sequence[int] | None): Training images of each class. By default ``ClassDistributionHook`` hands
            over the ones that are saved with the model; counts given here win.
        out_dir (str | None): Folder for the two files. Defaults to the folder of the run's log file; without a log file
            nothing is written.
        prefix (str | None): Prefix of the keys in the log. Defaults to ``'shot'``.

    Raises:
        UserInputError: If ``topk``, the thresholds or the counts are out of range.

    Example:
        >>> val_evaluator = dict(type='ShotAccuracy', topk=(1, 5))
        >>> default_hooks = dict(checkpoint=dict(type='SafeCheckpointHook', save_best='shot/accuracy_top1'))
    """

    default_prefix = "shot"

    def __init__(
        self,
        topk: int | Sequence[int] = (1,),
        many_threshold: int = MANY_THRESHOLD,
        few_threshold: int = FEW_THRESHOLD,
        class_counts: Sequence[int] | None = None,
        out_dir: str | None = None,
        prefix: str | None = None,
    ) -> None:
        super().__init__(prefix=prefix)
        self.topk = (topk,) if isinstance(topk, int) else tuple(topk)
        if not self.topk or min(self.topk) < 1:
            raise UserInputError(f"topk={topk} must hold numbers of at least 1, for example (1, 5).")
        ClassDistribution(None, many_threshold, few_threshold)  # refuses bad thresholds now, not after the first epoch
        self.many_threshold = many_threshold
        self.few_threshold = few_threshold
        self.out_dir = out_dir
        self.class_distribution: ClassDistribution | None = None
        self._counts_are_fixed = False
        if class_counts is not None:
            self.set_class_counts(class_counts)
            self._counts_are_fixed = True
        self._warned: set[str] = set()

    def set_class_counts(self, counts: Tensor | Sequence[int]) -> None:
        """Take the number of training images of each class, unless the config gave ``class_counts``.

        Args:
            counts (Tensor | Sequence[int]): Images per class, ``(C,)``.

        Raises:
            UserInputError: If a count is negative or all are zero.
        """
        if self._counts_are_fixed:
            return
        self.class_distribution = ClassDistribution(len(counts), self.many_threshold, self.few_threshold)
        self.class_distribution.set_counts(counts)

    def compute_metrics(self, predictions: Predictions) -> dict[str, float]:
        """Compute the accuracies and, on the main process, write the files.

        Raises:
            UserInputError: If the counts are for another number of classes than the model scores, or k exceeds it.
        """
        num_classes = predictions.num_classes
        hits = topk_accuracy(predictions.label_rank, self.topk, num_classes)
        distribution = self.class_distribution
        if distribution is None:
            self._warn_once(
                "the class counts are not known, so many/medium/few are left out; "
                "add class_distribution=dict(type='ClassDistributionHook') to default_hooks, or set class_counts."
            )
        elif distribution.num_classes != num_classes:
            raise UserInputError(
                f"class counts for {distribution.num_classes} classes do not fit the {num_classes} that the model "
                "scores; set class_counts of ShotAccuracy, or the head's num_classes, to those of the data."
            )
        names = tuple((self.dataset_meta or {}).get("classes") or ())
        if len(names) != num_classes:  # a list file has no names
            names = tuple(map(str, range(num_classes)))
        table = ClassTable.from_hits(predictions.label, predictions.correct, names, distribution)
        if num_untested := int((table.test_counts == 0).sum()):
            self._warn_once(f"{num_untested} of {num_classes} classes have no test images; the means leave them out.")
        if not self.is_trial and is_main_process() and (folder := self.output_folder(self.out_dir)) is not None:
            table.save(folder / "per_class.csv")
            predictions.save(folder / "predictions.npz")
        return {**hits, **table.means()}

    def _warn_once(self, message: str) -> None:
        if not self.is_trial and message not in self._warned:
            self._warned.add(message)
            print_log(f"{type(self).__name__}: {message}", logger="current", level=logging.WARNING)
