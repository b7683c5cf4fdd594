"""Learning from multiple experts: measures experts and student, before the training and after each epoch."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, ClassVar

import torch
from mmengine.runner import Runner
from torch import Tensor
from torch.utils.data import Dataset

from lt_plugins.checks.training_settings import check_validation
from lt_plugins.datasets.labels import get_labels
from lt_plugins.datasets.pipelines import replace_pipeline, require_test_pipeline
from lt_plugins.engine.features import gather_features
from lt_plugins.engine.hooks.image_buffers_hook import ImageBuffersHook
from lt_plugins.errors import UserInputError
from lt_plugins.models.classifiers import LFMEClassifier, classifier_outputs
from lt_plugins.models.evaluation_mode import evaluation_mode
from lt_plugins.models.losses.instance_curriculum import class_floors, instance_weights
from lt_plugins.models.structures import LabelBatch
from lt_plugins.models.unwrap import unwrap_model
from lt_plugins.registry import HOOKS


@HOOKS.register_module()
class LFMEHook(ImageBuffersHook):
    """LFME hook: finds the weights of the experts and of the images of an :class:`.LFMEClassifier`; else does nothing.

    * Before the first epoch the experts classify the validation images of their classes, which gives their accuracy,
      and the training images without augmentation, which gives what each weighs at the start of the curriculum.
    * After each epoch, before its checkpoint, the student classifies the validation images, and the experts that it has
      come near to weigh less in the next one.

    All of it is in buffers of the model, so that a resumed run has the same weights. Accuracies are means over classes;
    the student chooses among all classes and an expert among its own, as in the released code. The method learns from
    the labels of the validation set, so that must not be the test set; the log says how many there are.

    Source: Xiang et al., "Learning From Multiple Experts: Self-paced Knowledge Distillation for Long-tailed
    Classification" (ECCV 2020).

    Args:
        batch_size (int): Images a batch. Defaults to 256.
        num_workers (int): Data-loader workers. Defaults to 0.
        pipeline (Sequence[dict], optional): Transforms of training images. Defaults to None: those of the test set.

    Raises:
        UserInputError: If there is no validation set beside the test set, or it has no image of an expert's classes.

    Examples:
        >>> custom_hooks = [dict(type='LFMEHook')]
    """

    learns_from_validation: ClassVar[bool] = True
    """Whether a training is refused before its first stage where validation would be on the test set."""

    def __init__(self, batch_size: int = 256, num_workers: int = 0, pipeline: Sequence[dict] | None = None) -> None:
        self.batch_size = batch_size
        self.num_workers = num_workers
        self.pipeline = pipeline

    def before_train(self, runner: Runner) -> None:
        """Measure the experts, unless a resumed checkpoint brought what they reached.

        Args:
            runner (Runner): The runner of the training process.
        """
        model = unwrap_model(runner.model)
        if not isinstance(model, LFMEClassifier):
            runner.logger.info(f"{type(self).__name__} has nothing to do: {type(model).__name__} has no experts.")
            return
        check_validation(runner.cfg, type(self).__name__)
        if model.curriculum is not None:
            super().before_train(runner)
        if runner.iter > 0:
            return
        dataset = runner.val_dataloader.dataset
        runner.logger.info(
            f"LFME learns from the labels of the {len(dataset)} validation images, beside those of the training set."
        )
        accuracies = [
            self._accuracy(expert, dataset, classes, among=classes, description=f"expert {number}")
            for number, (expert, classes) in enumerate(zip(model.teachers, model.distill.classes, strict=True), start=1)
        ]
        model.distill.set_experts(model.distill.classes)  # a checkpoint that is started from may have had others
        model.distill.expert_accuracy.copy_(torch.tensor(accuracies, dtype=torch.float64))
        model.distill.weights.fill_(1.0)
        shown = ", ".join(
            f"{100 * accuracy:.2f} % of {len(classes)} classes"
            for accuracy, classes in zip(accuracies, model.distill.classes, strict=True)
        )
        runner.logger.info(f"Accuracy of the experts, each on its own: {shown}")
        if model.curriculum is not None:
            model.curriculum.set_start(self._start(runner, model))

    def after_train_epoch(self, runner: Runner) -> None:
        """Renew the weights of the experts.

        Args:
            runner (Runner): The runner of the training process.
        """
        model = unwrap_model(runner.model)
        if not isinstance(model, LFMEClassifier):
            return
        with evaluation_mode(model):
            predicted = self._predict(model, runner.val_dataloader.dataset, None, "student")
        labels = torch.from_numpy(get_labels(runner.val_dataloader.dataset))
        reached = torch.stack([class_mean(predicted == labels, labels, classes) for classes in model.distill.classes])
        model.distill.set_accuracies(reached)
        shown = ", ".join(
            f"{weight:.3g} ({100 * accuracy:.2f} % of {100 * expert:.2f} %)"
            for weight, accuracy, expert in zip(
                model.distill.weights.tolist(), reached.tolist(), model.distill.expert_accuracy.tolist(), strict=True
            )
        )
        runner.logger.info(f"Weights of the experts after epoch {runner.epoch + 1} (student of expert): {shown}")

    def _accuracy(self, expert: Any, dataset: Dataset, classes: Tensor, among: Tensor, description: str) -> float:
        """Accuracy of an expert on its classes, which it chooses among."""
        labels = torch.from_numpy(get_labels(dataset))
        predicted = self._predict(expert, dataset, among, description)
        return float(class_mean(predicted == labels, labels, classes))

    def _predict(self, model: Any, dataset: Dataset, among: Tensor | None, description: str) -> Tensor:
        """Predicted class of each image, int64 ``(N,)`` on the CPU."""

        def extract(batch: dict[str, Any]) -> Tensor:
            logits = classifier_outputs(model, model.data_preprocessor(batch, training=False)["inputs"]).mean_logits
            return logits.argmax(dim=1) if among is None else among[logits[:, among].argmax(dim=1)]

        return self._gather(extract, dataset, description).long()

    def _start(self, runner: Runner, model: LFMEClassifier) -> Tensor:
        """Weights of the training images at the start of the curriculum, ``(N,)``."""
        pipeline = require_test_pipeline(
            runner.cfg, type(self).__name__, self.pipeline, advice="set the hook's pipeline"
        )
        dataset = replace_pipeline(runner.train_dataloader.dataset, pipeline)
        num_classes = model.head.num_classes
        memberships = torch.zeros(len(model.distill.classes), num_classes, dtype=torch.bool)
        for row, classes in zip(memberships, model.distill.classes, strict=True):
            row[classes.cpu()] = True
        places = [expert_places.to(model.distill.weights.device) for expert_places in memberships]

        def extract(batch: dict[str, Any]) -> Tensor:
            data = model.data_preprocessor(batch, training=False)
            labels = LabelBatch.from_samples(data["data_samples"], data["inputs"].device).one_label_each
            found = []
            for expert, is_own in zip(model.teachers, places, strict=True):
                logits = classifier_outputs(expert, data["inputs"]).mean_logits.float()
                shares = logits.masked_fill(~is_own, -torch.inf).softmax(dim=1)
                found.append(shares.gather(1, labels[:, None])[:, 0])
            return torch.stack(found).amax(dim=0)  # that of the expert of its class; others say 0

        confidence = self._gather(extract, dataset, "experts on the training images")
        floors = class_floors(model.class_distribution.counts.cpu(), memberships)
        return instance_weights(confidence, torch.from_numpy(get_labels(dataset)), floors)

    def _gather(self, extract: Any, dataset: Dataset, description: str) -> Tensor:
        return gather_features(
            extract, dataset, batch_size=self.batch_size, num_workers=self.num_workers, description=description
        )


def class_mean(hits: Tensor, labels: Tensor, classes: Tensor) -> Tensor:
    """Mean over classes of the share of their images that are hit.

    Args:
        hits (Tensor): Whether each image is, bool ``(N,)``.
        labels (Tensor): Their classes, int64 ``(N,)``.
        classes (Tensor): The classes that count, int64 ``(K,)``; those without images are left out.

    Returns:
        Tensor: Scalar, float64.

    Raises:
        UserInputError: If none of them has an image.
    """
    size = int(max(labels.max(), classes.max())) + 1
    counts = torch.bincount(labels, minlength=size).double()[classes.cpu()]
    correct = torch.bincount(labels, weights=hits.double(), minlength=size)[classes.cpu()]
    if not bool((counts > 0).any()):
        raise UserInputError(
            f"the validation set has no image of the {len(classes)} classes of an expert, so its accuracy is unknown; "
            "give it images of all classes."
        )
    return (correct[counts > 0] / counts[counts > 0]).mean()
