"""Class counts: copies them from the train dataset to the model, from the model to the metrics."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import torch
from mmengine.evaluator import Evaluator
from mmengine.hooks import Hook
from mmengine.runner import Runner
from torch import Tensor, nn

from lt_plugins.datasets.labels import get_class_counts
from lt_plugins.datasets.loader_order import ordinary_dataset
from lt_plugins.errors import UserInputError
from lt_plugins.evaluation.prediction_metric import inform_metric
from lt_plugins.evaluation.shot_thresholds import shot_thresholds
from lt_plugins.models.structures import ClassDistribution
from lt_plugins.models.unwrap import unwrap_model
from lt_plugins.registry import HOOKS


@HOOKS.register_module()
class ClassDistributionHook(Hook):
    """Class-distribution hook: fills every :class:`ClassDistribution` of the model and the metrics with class counts.

    A model without one at its root gets one, ``model.class_distribution``, so that every checkpoint holds the class
    counts of its training set. Before validation and testing the counts go to each metric with ``set_class_counts``,
    and the metainfo of the train dataset to each with ``set_training_metainfo``; testing builds no train dataset, it
    takes them from the checkpoint. Their many-, medium- and few-shot classes are those of the ``ShotAccuracy`` of the
    config.

    Config::

        default_hooks = dict(class_distribution=dict(type='ClassDistributionHook'))

    Args:
        lexicographic_counts (bool): Whether losses get the counts in the order of labels as strings (0, 1, 10, 100,
            ...), as in the released code of Tang et al., "Invariant Feature Learning for Generalized Long-Tailed
            Classification" (ECCV 2022), from which its numbers of LDAM, balanced softmax, TADE and RIDE come. Metrics
            and post-hoc methods have the right ones. Defaults to False.

    Raises:
        UserInputError: If the labels or classes of the train dataset do not fit the head's ``num_classes``, or a
            resumed checkpoint was trained on other class counts, or two metrics have different shot thresholds.
    """

    # Before the hooks that read the counts (PreflightHook, ReclusterHook).
    priority = "VERY_HIGH"

    def __init__(self, lexicographic_counts: bool = False) -> None:
        self.lexicographic_counts = lexicographic_counts
        self._resumed_counts: Tensor | None = None
        self._training_metainfo: Mapping[str, Any] = {}

    def before_run(self, runner: Runner) -> None:
        """Add a class distribution to a model without one, before a checkpoint is loaded.

        Args:
            runner (Runner): The runner.
        """
        model = unwrap_model(runner.model)
        if not isinstance(getattr(model, "class_distribution", None), ClassDistribution):
            device = next((parameter.device for parameter in model.parameters()), None)
            model.class_distribution = ClassDistribution(find_num_classes(model)).to(device)
        for distribution in class_distributions(model):
            distribution.set_thresholds(*shot_thresholds(runner.cfg))

    def after_load_checkpoint(self, runner: Runner, checkpoint: dict[str, Any]) -> None:
        """Note the metainfo of a checkpoint, and the counts of one that training resumes from.

        Args:
            runner (Runner): The runner.
            checkpoint (dict): The loaded checkpoint.
        """
        self._training_metainfo = checkpoint.get("meta", {}).get("dataset_meta") or {}
        if runner._resume and not runner.cfg.get("accept_changes"):
            self._resumed_counts = checkpoint.get("state_dict", {}).get("class_distribution.counts")

    def before_train(self, runner: Runner) -> None:
        """Fill the counts from the train dataset, or from the part of it that its sampler gives.

        Args:
            runner (Runner): The runner of the training process.
        """
        model = unwrap_model(runner.model)
        dataset = ordinary_dataset(runner.train_dataloader)
        num_classes = model.class_distribution.num_classes
        declared = getattr(dataset, "metainfo", {}).get("classes")
        if declared is not None and len(declared) != num_classes:
            raise UserInputError(
                f"the train dataset has {len(declared)} classes, but model.head.num_classes={num_classes}; "
                f"set model.head.num_classes={len(declared)}."
            )
        counts = get_class_counts(dataset, num_classes)
        self._check_resumed(counts)
        self._training_metainfo = getattr(dataset, "metainfo", {})
        for distribution in class_distributions(model):
            is_permuted = self.lexicographic_counts and distribution is not model.class_distribution
            distribution.set_counts(counts[sorted(range(num_classes), key=str)] if is_permuted else counts)

    def before_val_epoch(self, runner: Runner) -> None:
        """Pass the counts to the metrics.

        Args:
            runner (Runner): The runner of the validation process.
        """
        self._inform(runner.model, runner.val_evaluator)

    def before_test_epoch(self, runner: Runner) -> None:
        """Pass the counts to the metrics.

        Args:
            runner (Runner): The runner of the testing process.
        """
        self._inform(runner.model, runner.test_evaluator)

    def _check_resumed(self, counts: Tensor) -> None:
        if self._resumed_counts is None:
            return
        before = self._resumed_counts.cpu()
        if not before.any() or torch.equal(before, counts):
            return
        classes = (before != counts).nonzero().flatten() if before.shape == counts.shape else torch.arange(0)
        where = ""
        if len(classes):
            first = int(classes[0])
            where = f", first at class {first} ({before[first]} and {counts[first]})"
        raise UserInputError(
            f"the checkpoint was trained on {int(before.sum())} images of {len(before)} classes, the train dataset "
            f"has {int(counts.sum())} of {len(counts)}{where}; resume with the same data, or start anew with load_from."
        )

    def _inform(self, model: nn.Module, evaluator: Evaluator) -> None:
        counts = unwrap_model(model).class_distribution.counts
        for metric in evaluator.metrics:
            inform_metric(metric, counts.cpu(), self._training_metainfo)


def class_distributions(model: nn.Module) -> list[ClassDistribution]:
    """Find all class distributions in a model, each once.

    Args:
        model (nn.Module): The model.

    Returns:
        list[ClassDistribution]: Its class distributions, the root's and those of losses and heads.
    """
    return [module for module in model.modules() if isinstance(module, ClassDistribution)]


def find_num_classes(model: nn.Module) -> int:
    """Find the number of classes of a classifier.

    Args:
        model (nn.Module): The classifier, without wrappers.

    Returns:
        int: ``num_classes`` of its head, or of a ``ClassDistribution`` inside it.

    Raises:
        UserInputError: If neither is there.
    """
    num_classes = getattr(getattr(model, "head", None), "num_classes", None)
    if num_classes is not None:
        return int(num_classes)
    inside = [distribution.num_classes for distribution in class_distributions(model) if distribution.num_classes]
    if inside:
        return inside[0]
    raise UserInputError(
        f"{type(model).__name__} has no head.num_classes, so its class counts have no size; give the head num_classes, "
        "or do without ClassDistributionHook: default_hooks.class_distribution=None."
    )
