"""Training loop without a training: fits a post-hoc method to the model of the stage before."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from typing import Any, Literal

import torch
from mmengine.runner import EpochBasedTrainLoop, Runner
from torch import Tensor
from torch.utils.data import DataLoader

from lt_plugins.checks.training_settings import has_validation
from lt_plugins.datasets.labels import get_labels
from lt_plugins.datasets.loader_order import ordinary_sampler
from lt_plugins.datasets.pipelines import replace_pipeline, require_test_pipeline
from lt_plugins.engine.classifier_features import (
    check_head,
    class_counts,
    gather_classifier_features,
    read_classifier,
)
from lt_plugins.engine.trained_prior import sampled_prior, trained_prior
from lt_plugins.errors import UserInputError
from lt_plugins.evaluation.functional import shot_accuracy
from lt_plugins.models.unwrap import unwrap_model
from lt_plugins.posthoc import (
    LabelledFeatures,
    PosthocMethod,
    TrainedClassifier,
    check_prior_of,
    class_priors,
)
from lt_plugins.posthoc.methods import METHODS
from lt_plugins.registry import LOOPS

GRID = tuple(step / 10 for step in range(21))
"""Settings that are tried where validation images choose."""
CHECKED_IMAGES = 8
"""Of a method that reads no features, this many show whether the classifier is affine."""


@LOOPS.register_module()
class PosthocLoop(EpochBasedTrainLoop):
    """Post-hoc stage: one epoch without steps, in which a method puts another classifier beside the trained one.

    As the last stage of a config (``stage2``) it takes the whole model of the stage before, fits the method by one
    feature pass over the training set without augmentation where it needs one, saves a checkpoint and validates, as a
    training of one epoch does. The setting is the config's, or chosen on validation images that are not the test
    images: no test image ever chooses it. ``tools/posthoc.py`` shows all settings, and has the methods that need images
    that were not trained on.

    Args:
        runner (Runner): The runner.
        dataloader (DataLoader | dict): That of the training set.
        method (str): ``"logit-adjustment"``, ``"tau-norm"`` or ``"ncm"``, see :mod:`lt_plugins.posthoc`.
        tau (float | str, optional): Setting of a method that has one; ``"val"`` takes the one of 0, 0.1, ..., 2 with
            the highest mean of the per-class accuracies on the validation images. Defaults to None: 1.
        max_epochs (int): 1, by which other tools know the length of the stage. Defaults to 1.
        val_begin (int): As for ``EpochBasedTrainLoop``. Defaults to 1.
        val_interval (int): As for ``EpochBasedTrainLoop``. Defaults to 1.

    Raises:
        UserInputError: If the method is unknown or has no setting and one is given, there are several epochs, or a
            setting is to be chosen and the validation images are the test images.

    Examples:
        >>> stage2 = dict(
        ...     train_cfg=dict(_delete_=True, type='PosthocLoop', method='tau-norm', tau=0.7, max_epochs=1),
        ...     param_scheduler=[])
    """

    needs_trained_model = True

    def __init__(
        self,
        runner: Runner,
        dataloader: DataLoader[Any] | dict[str, Any],
        method: Literal["logit-adjustment", "tau-norm", "ncm"],
        tau: float | Literal["val"] | None = None,
        max_epochs: int = 1,
        val_begin: int = 1,
        val_interval: int = 1,
    ) -> None:
        known = [name for name, one in METHODS.items() if one.needs <= {"train"}]
        if method not in known:
            raise UserInputError(f"method={method!r} of PosthocLoop must be one of {', '.join(known)}.")
        if tau is not None and METHODS[method].setting is None:
            raise UserInputError(f"tau={tau}: {method} has no setting; remove it from train_cfg.")
        if max_epochs != 1:
            raise UserInputError(f"max_epochs={max_epochs}: PosthocLoop fits once, set train_cfg.max_epochs=1.")
        if isinstance(tau, str) and (tau != "val" or not has_validation(runner.cfg)):
            raise UserInputError(
                f"tau={tau!r} of PosthocLoop must be a number, or 'val' where val_dataloader has other images than "
                "test_dataloader; without such images fix it, like tau=1.0."
            )
        super().__init__(runner, dataloader, max_epochs, val_begin, val_interval)
        self.method = method
        self.tau: float | str = METHODS[method].default if tau is None else tau

    def run_epoch(self) -> None:
        """Fit, between the hooks of an epoch."""
        self.runner.call_hook("before_train_epoch")
        self.runner.model.eval()
        self.runner.logger.info(self._fit(unwrap_model(self.runner.model)))
        self.runner.call_hook("after_train_epoch")
        self._epoch += 1

    def _fit(self, model: Any) -> str:
        """Adjust the classifier, and say how."""
        check_head(model)
        method = METHODS[self.method]
        trained = read_classifier(model, self._trained_prior(model))
        check_prior_of(self.method, trained)
        pipeline = require_test_pipeline(self.runner.cfg, "PosthocLoop")
        reads_features = "train" in method.needs
        train = self._gather(model, self.dataloader, pipeline, "train", None if reads_features else CHECKED_IMAGES)
        if reads_features:
            trained = dataclasses.replace(trained, train=train)
        tau, chosen = self.tau, ""
        if isinstance(tau, str):
            tau, accuracy = choose_tau(
                method, trained, self._gather(model, self.runner.val_dataloader, pipeline, "val")
            )
            chosen = f", chosen by {accuracy:.2f} % on the validation images"
        adjusted = method.fit(trained, tau)
        model.head.adjust(*adjusted.classifier, adjusted.centre)
        setting = "" if method.setting is None else f", {method.setting} = {tau:g}{chosen}"
        return f"The classifier is adjusted by {self.method}{setting}; the trained one stays beside it."

    @staticmethod
    def _gather(
        model: Any, loader: DataLoader[Any], pipeline: Sequence[dict], split: str, first: int | None = None
    ) -> LabelledFeatures:
        """Features of a data loader's images, without augmentation."""
        return gather_classifier_features(
            model,
            replace_pipeline(loader.dataset, pipeline),
            batch_size=loader.batch_size or CHECKED_IMAGES,
            num_workers=loader.num_workers,
            description=f"{split} features",
            first=first,
        )

    def _trained_prior(self, model: Any) -> Tensor:
        counts = class_counts(model)
        sampler = ordinary_sampler(self.dataloader)
        sampled = class_priors(counts)
        if type(sampler).__name__ != "DefaultSampler":  # which gives each image once
            labels = torch.from_numpy(get_labels(self.dataloader.dataset))
            sampled = sampled_prior(sampler, labels, counts)
        return trained_prior(model.head, sampled)


def choose_tau(method: PosthocMethod, trained: TrainedClassifier, validation: LabelledFeatures) -> tuple[float, float]:
    """Choose the setting of a method on validation images.

    Args:
        method (PosthocMethod): The method.
        trained (TrainedClassifier): The classifier.
        validation (LabelledFeatures): The validation images.

    Returns:
        tuple[float, float]: The first of the best settings, and its mean of the per-class accuracies in percent.
    """
    found = {}
    for tau in GRID:
        logits = method.fit(trained, tau).logits(validation.features)
        found[tau] = shot_accuracy(logits, validation.labels)["balanced"]
    best = max(GRID, key=found.__getitem__)
    return best, found[best]
