"""Metrics and what is watched of them, tried before the first step instead of after the first epoch."""

from __future__ import annotations

import copy
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import torch
from mmengine.evaluator import BaseMetric
from mmengine.hooks import CheckpointHook, EarlyStoppingHook
from mmengine.runner import Runner
from mmpretrain.structures import DataSample
from torch import Tensor

from lt_plugins.checks.did_you_mean import did_you_mean
from lt_plugins.errors import UserInputError
from lt_plugins.evaluation.prediction_metric import PredictionMetric, inform_metric
from lt_plugins.evaluation.predictions import Predictions
from lt_plugins.models.structures import ClassDistribution

OWN_METRICS = ("lt_plugins.", "mmpretrain.evaluation.metrics.single_label")


def check_metrics(runner: Runner, counts: Tensor) -> None:
    """Let copies of the validation metrics evaluate two made-up predictions, and look for the names that hooks watch.

    Args:
        runner (Runner): The runner of the training process.
        counts (Tensor): Images of each class, ``(C,)``.

    Raises:
        UserInputError: If a metric fails, or a hook watches one (``save_best``, ``monitor``) that is not computed.
    """
    if runner.val_loop is None:
        return
    metainfo = getattr(runner.train_dataloader.dataset, "metainfo", {})
    names: list[str] = []
    are_known = True
    for metric in runner.val_evaluator.metrics:
        found = _try_metric(metric, counts, metainfo)
        are_known &= found is not None
        names += found or []
    if not are_known:
        return
    for option, name in _watched(runner):
        if name not in names:
            raise UserInputError(
                f"{option}={name!r} is no metric of this run{did_you_mean(name, names)}"
                + ("" if names else " The run has none.")
            )


def _watched(runner: Runner) -> Iterator[tuple[str, str]]:
    for hook in runner.hooks:
        if isinstance(hook, CheckpointHook) and hook.save_best is not None:
            yield from (("save_best", name) for name in hook.key_indicators if name != "auto")
        if isinstance(hook, EarlyStoppingHook):
            yield "monitor", hook.monitor
    schedulers = runner.param_schedulers
    lists: Sequence[Any] = [schedulers] if isinstance(schedulers, list) else list((schedulers or {}).values())
    for scheduler in (scheduler for group in lists for scheduler in group):
        monitor = getattr(scheduler, "monitor", None)
        if monitor is not None and monitor != "loss":
            yield "monitor", monitor


def _try_metric(metric: BaseMetric, counts: Tensor, metainfo: Mapping[str, Any]) -> list[str] | None:
    """Names that a metric computes, with its prefix; None for a metric that takes more than a label and scores."""
    if not type(metric).__module__.startswith(OWN_METRICS):
        return None
    tried = copy.deepcopy(metric)
    if hasattr(tried, "is_trial"):
        tried.is_trial = True
    inform_metric(tried, counts, metainfo)
    num_classes = len(counts)
    scores = torch.full((num_classes,), 1 / num_classes)
    samples = [
        DataSample().set_gt_label(label).set_pred_score(scores).set_pred_label(0).to_dict()
        for label in _one_a_group(getattr(tried, "class_distribution", None))
    ]
    try:
        tried.process(None, samples)
        results = tried.results
        values = tried.compute_metrics(
            Predictions.concatenate(results) if isinstance(tried, PredictionMetric) else results
        )
    except UserInputError:
        raise
    except Exception as error:
        reason = " ".join(str(error).split())
        raise UserInputError(
            f"{type(metric).__name__} of val_evaluator cannot be computed for {num_classes} classes: {reason:.200}."
        ) from error
    return [f"{metric.prefix}/{name}" if metric.prefix else name for name in values]


def _one_a_group(distribution: ClassDistribution | None) -> list[int]:
    """A class with many, one with medium and one with few images, so that no accuracy of a group is left out."""
    if distribution is None or not distribution.is_set:
        return [0]
    groups = (distribution.many, distribution.medium, distribution.few)
    return [int(group.nonzero()[0]) for group in groups if group.any()]
