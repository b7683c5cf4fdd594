"""Sweep of post-hoc methods over one feature pass: which setting is chosen where, and what it does to the test set."""

from __future__ import annotations

import dataclasses
import io
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from mmengine.config import Config
from mmpretrain.registry import DATA_SAMPLERS
from torch import Tensor

from lt_plugins.analysis.expert_views import gather_expert_views
from lt_plugins.analysis.page import loader_settings
from lt_plugins.analysis.trained_model import TrainedModel, build_plain_dataset
from lt_plugins.atomic_write import atomic_write
from lt_plugins.checkpoints.checkpoint import load_checkpoint
from lt_plugins.checks.training_settings import has_validation
from lt_plugins.engine.classifier_features import (
    check_head,
    class_counts,
    gather_classifier_features,
    read_classifier,
)
from lt_plugins.engine.trained_prior import LAST_EPOCH, sampled_prior, trained_prior
from lt_plugins.errors import UserInputError
from lt_plugins.evaluation.functional import class_accuracy, expected_calibration_error, shot_accuracy
from lt_plugins.evaluation.shot_thresholds import shot_thresholds
from lt_plugins.posthoc import (
    AdjustedLogits,
    LabelledFeatures,
    TrainedClassifier,
    accuracy_under_prior,
    check_experts_of,
    check_prior_of,
    class_priors,
)
from lt_plugins.posthoc.methods import METHODS

NOTHING, VALIDATION, TEST = "-", "val", "TEST set"
"""What a setting was chosen on."""
TRAINED = "as trained"


@dataclass(frozen=True)
class SweepPoint:
    """A method with a setting, on the test set.

    Args:
        value (float | None): The setting; None if the method has none.
        adjusted (AdjustedLogits): What it puts in place of the classifier.
        metrics (dict[str, float]): In percent: ``overall``, ``many``, ``medium``, ``few``, ``balanced``, ``ece``, and
            ``train_prior``, the accuracy for classes as frequent as in the training set.
        score (float): What settings are chosen by: mean of the per-class accuracies on the images to choose on.
    """

    value: float | None
    adjusted: AdjustedLogits
    metrics: dict[str, float]
    score: float


@dataclass(frozen=True)
class SweepRow:
    """A method with all its settings.

    Args:
        name (str): Its name.
        setting (str | None): Name of what was swept.
        points (tuple[SweepPoint, ...]): One a setting, in order.
        chosen (SweepPoint): The best of them.
        chosen_on (str): Which images say so, or calibrated the classifier.
    """

    name: str
    setting: str | None
    points: tuple[SweepPoint, ...]
    chosen: SweepPoint
    chosen_on: str

    @property
    def shown_setting(self) -> str:
        """The chosen setting, and what was found."""
        end = " (end of the grid)" if len(self.points) > 1 and self.chosen is self.points[-1] else ""
        value = [] if self.chosen.value is None else [f"{self.setting} = {self.chosen.value:g}{end}"]
        return ", ".join([*value, *filter(None, [self.chosen.adjusted.note])]) or NOTHING

    def to_dict(self) -> dict[str, Any]:
        """The row for a JSON file."""
        points = [{"value": point.value, **_rounded(point.metrics)} for point in self.points]
        return {
            "method": self.name,
            "setting": self.setting,
            "value": self.chosen.value,
            "found": self.chosen.adjusted.note,
            "chosen_on": self.chosen_on,
            "metrics": _rounded(self.chosen.metrics),
            **({"sweep": points} if len(points) > 1 else {}),
        }


@dataclass(frozen=True)
class PosthocData:
    """A trained classifier with the features of its data.

    Args:
        trained (TrainedClassifier): The classifier, with what the methods may read.
        test (LabelledFeatures): The test set.
        validation (LabelledFeatures | None): The validation set, if the config has one beside the test set.
        thresholds (tuple[int, int]): Limits of many- and few-shot classes.
    """

    trained: TrainedClassifier
    test: LabelledFeatures
    validation: LabelledFeatures | None
    thresholds: tuple[int, int]


def choose_methods(cfg: Config, given: Sequence[str], trained: TrainedClassifier) -> tuple[list[str], list[str]]:
    """Choose the methods of a sweep.

    Args:
        cfg (Config): The config.
        given (Sequence[str]): Names that the user gave; without any, all that fit.
        trained (TrainedClassifier): The classifier.

    Returns:
        tuple[list[str], list[str]]: The methods, and a line for each that is left out.

    Raises:
        UserInputError: If a given one does not fit.
    """
    names, notes = [], []
    for name in given or METHODS:
        if not given and "views" in METHODS[name].needs and trained.num_experts < 2:
            continue  # nothing that a user of a single classifier would miss
        try:
            check_prior_of(name, trained)
            check_experts_of(name, trained)
            if name == "bbse" and not has_validation(cfg):
                raise UserInputError(
                    "bbse: the config has no validation images beside its test images, and the confusion of the test "
                    "set itself would be its answer; em needs no labels."
                )
        except UserInputError as error:
            if given:
                raise
            notes.append(f"left out, {error}")
        else:
            names.append(name)
    return names, notes


def find_trained_prior(cfg: Config, trained: TrainedModel) -> Tensor:
    """Class prior that a trained model answers for, by the sampler of its config and its loss.

    Args:
        cfg (Config): The config of the run.
        trained (TrainedModel): The model.

    Raises:
        UserInputError: If the head is none that post-hoc methods take, or the class counts are unknown.
    """
    check_head(trained.model)
    counts = class_counts(trained.model)
    epoch = LAST_EPOCH if trained.epoch is None else max(trained.epoch - 1, 0)
    sampled = class_priors(counts)
    settings = (cfg.get("train_dataloader") or {}).get("sampler")
    while settings is not None and settings.get("type") == "PartSampler":  # the counts are those of its part
        settings = settings["sampler"]
    if settings is not None and settings.get("type") != "DefaultSampler":
        labels = torch.arange(len(counts)).repeat_interleave(counts)
        sampler = DATA_SAMPLERS.build({"seed": 0, **settings, "dataset": labels.numpy()})
        sampled = sampled_prior(sampler, labels, counts, epoch)
    return trained_prior(trained.model.head, sampled, epoch)


def collect(cfg: Config, trained: TrainedModel, prior: Tensor, methods: Sequence[str]) -> PosthocData:
    """Run the model once over each set that the methods read.

    Args:
        cfg (Config): The config, which names the data.
        trained (TrainedModel): The model.
        prior (Tensor): Class prior that it answers for.
        methods (Sequence[str]): Names of the methods.
    """
    classifier = read_classifier(trained.model, prior)
    needs = frozenset[str]().union(*(METHODS[name].needs for name in methods))

    def gather(split: str) -> LabelledFeatures:
        dataset = build_plain_dataset(cfg, split, trained)
        return gather_classifier_features(
            trained.model, dataset, **loader_settings(cfg, split), description=f"{split} features"
        )

    train = gather("train") if "train" in needs else None
    validation = gather("val") if has_validation(cfg) else None
    test = gather("test")
    held_out = validation or test
    views = None
    if "views" in needs:
        dataset = build_plain_dataset(cfg, "test", trained)
        views = gather_expert_views(trained.model, dataset, cfg, **loader_settings(cfg, "test"))
    classifier = dataclasses.replace(classifier, train=train, held_out=held_out, unlabelled=test.features, views=views)
    return PosthocData(classifier, test, validation, shot_thresholds(cfg))


def sweep(data: PosthocData, methods: Sequence[str], grid: Sequence[float]) -> list[SweepRow]:
    """Fit all methods with all their settings.

    Args:
        data (PosthocData): The classifier with its features.
        methods (Sequence[str]): Names of the methods.
        grid (Sequence[float]): Settings of those that have one.

    Returns:
        list[SweepRow]: First the classifier as trained, then one a method.
    """
    plain = data.trained.answer_by(data.trained.classifier)
    rows = [_row(TRAINED, None, [_point(data, None, plain)], NOTHING)]
    images = TEST if data.validation is None else VALIDATION
    for name in methods:
        method = METHODS[name]
        values = grid if method.setting else [method.default]
        points = [_point(data, value if method.setting else None, method.fit(data.trained, value)) for value in values]
        is_chosen = len(points) > 1 or "held_out" in method.needs
        rows.append(_row(name, method.setting, points, images if is_chosen else NOTHING))
    return rows


def write_adjusted(trained: TrainedModel, row: SweepRow, path: Path, allow_pickle: bool = False) -> None:
    """Write the checkpoint with the classifier of a row beside the trained one; without optimiser and logs.

    Args:
        trained (TrainedModel): The model, whose checkpoint is read again.
        row (SweepRow): The method.
        path (Path): The file to write.
        allow_pickle (bool): As for :func:`~lt_plugins.checkpoints.checkpoint.load_checkpoint`. Defaults to False.
    """
    checkpoint = load_checkpoint(trained.checkpoint, allow_pickle=allow_pickle)
    state = {key.removeprefix("module."): value for key, value in checkpoint.get("state_dict", checkpoint).items()}
    trained.model.head.adjust(*row.chosen.adjusted.classifier, row.chosen.adjusted.centre)
    state |= {f"head.adjusted.{key}": value.cpu() for key, value in trained.model.head.adjusted.state_dict().items()}
    trained.model.head.adjusted = None
    described = {key: value for key, value in row.to_dict().items() if key not in ("metrics", "sweep")}
    meta = {**checkpoint.get("meta", {}), "posthoc": {**described, "source": str(trained.checkpoint)}}
    buffer = io.BytesIO()
    torch.save({"meta": meta, "state_dict": state}, buffer)
    atomic_write(path, buffer.getvalue())


def measure(data: PosthocData, adjusted: AdjustedLogits) -> dict[str, float]:
    """Metrics of the test set, in percent, as :class:`SweepPoint` names them.

    Args:
        data (PosthocData): The classifier with its features.
        adjusted (AdjustedLogits): What answers.
    """
    logits, labels, counts = adjusted.logits(data.test.features), data.test.labels, data.trained.counts
    found = shot_accuracy(logits, labels, counts, (1,), *data.thresholds)
    confidence, predicted = logits.softmax(dim=1).max(dim=1)
    recalls = class_accuracy(predicted == labels, labels, len(counts))
    groups: dict[str, float] = {name: found[name] for name in ("many", "medium", "few", "balanced") if name in found}
    return {
        "overall": found["accuracy_top1"],
        **groups,
        "ece": expected_calibration_error(confidence, predicted == labels),
        "train_prior": accuracy_under_prior(torch.from_numpy(recalls), class_priors(counts)),
    }


def _point(data: PosthocData, value: float | None, adjusted: AdjustedLogits) -> SweepPoint:
    metrics = measure(data, adjusted)
    score = metrics["balanced"]
    if data.validation is not None:
        logits, labels = adjusted.logits(data.validation.features), data.validation.labels
        score = shot_accuracy(logits, labels)["balanced"]
    return SweepPoint(value, adjusted, metrics, score)


def _row(name: str, setting: str | None, points: Sequence[SweepPoint], chosen_on: str) -> SweepRow:
    """The best point is the first of equal ones."""
    return SweepRow(name, setting, tuple(points), max(points, key=lambda point: point.score), chosen_on)


def _rounded(metrics: dict[str, float]) -> dict[str, float]:
    return {name: round(value, 4) for name, value in metrics.items()}
