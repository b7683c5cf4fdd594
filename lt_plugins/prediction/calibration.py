"""Calibrated confidence: a temperature fitted once on validation images, kept beside the checkpoint."""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass
from pathlib import Path

import torch
from torch import Tensor

from lt_plugins.analysis.trained_model import build_plain_dataset
from lt_plugins.atomic_write import atomic_write
from lt_plugins.checkpoints.fingerprint import fingerprint_weights
from lt_plugins.checks.training_settings import has_validation
from lt_plugins.datasets.labels import get_labels
from lt_plugins.engine.features import gather_features
from lt_plugins.errors import UserInputError
from lt_plugins.evaluation.functional import expected_calibration_error
from lt_plugins.posthoc.temperature import LIMITS, fit_temperature
from lt_plugins.prediction.classifier import ImageClassifier
from lt_plugins.unreadable import read_json, refuse_unreadable

MAX_IMAGES = 2000
"""How many validation images a temperature is fitted on: one number needs no more."""
MIN_IMAGES = 10


@dataclass(frozen=True)
class Calibration:
    """Temperature of a classifier, and where it is from.

    Args:
        temperature (float): What logits are divided by.
        num_images (int): How many images it was fitted on.
        images (str): Which images these were.
        ece_before (float): Expected calibration error of these images without it, in percent.
        ece_after (float): The same with it, in percent.
        weights (str): Fingerprint of the weights that it belongs to.
    """

    temperature: float
    num_images: int
    images: str
    ece_before: float
    ece_after: float
    weights: str

    def describe(self) -> str:
        """The temperature, in a line."""
        return (
            f"temperature {self.temperature:.3f} of {self.num_images:,} {self.images} (calibration error "
            f"{self.ece_before:.1f} to {self.ece_after:.1f} %)"
        )


def calibrate(
    classifier: ImageClassifier, batch_size: int, num_workers: int, max_images: int = MAX_IMAGES
) -> tuple[Calibration, str]:
    """Set the temperature of a classifier: that of an earlier call for these weights, or a new one, which is kept.

    It is fitted to validation images of the config by maximum likelihood (:func:`.fit_temperature`), as they are
    distributed. It stands in ``calibration_<checkpoint>.json`` beside the checkpoint; delete the file to fit it again.

    Args:
        classifier (ImageClassifier): The classifier; its temperature is set.
        batch_size (int): Images a batch.
        num_workers (int): Data-loader workers.
        max_images (int): How many validation images are used at most, chosen by seed 0. Defaults to 2000.

    Returns:
        tuple[Calibration, str]: The calibration, and what was done with its file.

    Raises:
        UserInputError: If the config has no images for it, or they set no temperature; the classifier stays as it is.
    """
    checkpoint = classifier.trained.checkpoint
    path = checkpoint.with_name(f"calibration_{checkpoint.stem}.json")
    weights = fingerprint_weights(classifier.model.state_dict())
    found = _read(path)
    done = f"read from {path}"
    if found is None or found.weights != weights:
        found = fit_calibration(classifier, weights, batch_size, num_workers, max_images)
        try:
            atomic_write(path, (json.dumps(asdict(found), indent=2) + "\n").encode())
            done = f"kept in {path}"
        except OSError as error:
            done = f"not kept, {path} cannot be written ({error.strerror})"
    classifier.temperature = found.temperature
    return found, done


def try_calibrate(classifier: ImageClassifier, is_wanted: bool, batch_size: int, num_workers: int) -> tuple[bool, str]:
    """Set the temperature of a classifier where that is wanted and possible, see :func:`calibrate`.

    Args:
        classifier (ImageClassifier): The classifier.
        is_wanted (bool): Whether the user wants it.
        batch_size (int): As for :func:`calibrate`.
        num_workers (int): As for :func:`calibrate`.

    Returns:
        tuple[bool, str]: Whether it is calibrated now, and how or why not.
    """
    if not is_wanted:
        return False, "as the model gives them (--no-calibration)"
    try:
        found, kept = calibrate(classifier, batch_size, num_workers)
    except UserInputError as error:
        return False, f"not calibrated: {str(error).rstrip('.')}"
    return True, f"calibrated by {found.describe()}, {kept}"


def fit_calibration(
    classifier: ImageClassifier, weights: str, batch_size: int, num_workers: int, max_images: int = MAX_IMAGES
) -> Calibration:
    """Fit the temperature of a classifier, see :func:`calibrate`.

    Args:
        classifier (ImageClassifier): The classifier, at temperature 1.
        weights (str): Fingerprint of its weights.
        batch_size (int): As for :func:`calibrate`.
        num_workers (int): As for :func:`calibrate`.
        max_images (int): As for :func:`calibrate`.

    Raises:
        UserInputError: As for :func:`calibrate`.
    """
    if not classifier.is_softmax:
        link = classifier.model.head.loss_module.link
        raise UserInputError(f"its probabilities are {link}s of each class by itself, and a temperature is for softmax")
    logits, labels, images = _validate(classifier, batch_size, num_workers, max_images)
    temperature = fit_temperature(logits, labels)
    correct = int((logits.argmax(dim=1) == labels).sum())
    if correct == len(labels) or not 2 * LIMITS[0] < temperature < LIMITS[1] / 2:
        raise UserInputError(f"{correct} of {len(labels)} {images} are right, which sets no temperature")
    before, after = (_calibration_error(logits / value, labels) for value in (1.0, temperature))
    return Calibration(temperature, len(labels), images, before, after, weights)


def _validate(
    classifier: ImageClassifier, batch_size: int, num_workers: int, max_images: int
) -> tuple[Tensor, Tensor, str]:
    """Log-probabilities ``(N, C)`` of validation images, their labels ``(N,)``, and which images these are."""
    cfg = classifier.cfg
    split = "val" if (cfg.get("val_dataloader") or {}).get("dataset") is not None else "test"
    try:
        dataset = build_plain_dataset(cfg, split, classifier.trained)
    except (UserInputError, OSError) as error:
        raise UserInputError(f"its validation images are not here: {' '.join(str(error).split())}") from error
    labels = torch.from_numpy(get_labels(dataset))
    if len(labels) < MIN_IMAGES:
        raise UserInputError(f"there are {len(labels)} validation images, fewer than {MIN_IMAGES}")
    chosen = torch.randperm(len(labels), generator=torch.Generator().manual_seed(0))[:max_images].sort().values
    logits = gather_features(
        lambda batch: classifier.probabilities(batch["inputs"]).clamp(min=torch.finfo(torch.float32).tiny).log(),
        dataset,
        batch_size=batch_size,
        num_workers=num_workers,
        indices=chosen,
        description="calibration, once",
    )
    shared = "" if has_validation(cfg) else ", which are its test images"
    return logits, labels[chosen], f"validation images{shared}"


def _calibration_error(logits: Tensor, labels: Tensor) -> float:
    confidence, predicted = logits.softmax(dim=1).max(dim=1)
    return float(expected_calibration_error(confidence, predicted == labels))


def _read(path: Path) -> Calibration | None:
    if not path.is_file():
        return None
    values = read_json(path, "delete it, and the temperature is fitted again.")
    with refuse_unreadable(path, "a calibration", "delete it, and the temperature is fitted again."):
        found = Calibration(**values)
        if not 0 < float(found.temperature) < float("inf"):
            raise ValueError(f"temperature={found.temperature}")
    return found
