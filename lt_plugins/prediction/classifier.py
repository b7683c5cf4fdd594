"""Trained classifier with its class names and test transforms, which turns images into probabilities."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import torch
from mmengine.config import Config
from mmengine.dataset import Compose
from mmengine.utils import import_modules_from_strings
from torch import Tensor

from lt_plugins.analysis.trained_model import TrainedModel, load_trained_model
from lt_plugins.checkpoints.run_checkpoints import open_checkpoint
from lt_plugins.checks.config_check import check_config
from lt_plugins.datasets.class_names import checkpoint_classes
from lt_plugins.datasets.pipelines import require_test_pipeline
from lt_plugins.errors import UserInputError
from lt_plugins.models.structures import LabelBatch
from lt_plugins.prediction.image_reader import ImageBatch
from lt_plugins.prediction.prediction_file import Prediction
from lt_plugins.registry import TRANSFORMS
from lt_plugins.runs.config import load_config
from lt_plugins.runs.own_data import set_num_classes
from lt_plugins.runs.run_folder import RunFolder
from lt_plugins.runs.spec import stage_source

_TINY = torch.finfo(torch.float64).tiny


class ImageClassifier:
    """Image classifier with its weights: probabilities of its classes, for images of any size that it takes.

    Args:
        cfg (Config): Its config.
        trained (TrainedModel): The model.

    Attributes:
        pipeline (Compose): Transforms of the test set, from a dict with ``img_path`` or ``img``.
        temperature (float): What the logits are divided by. Defaults to 1.0.

    Raises:
        UserInputError: If the model has no classifier, or the config no test transforms.
    """

    def __init__(self, cfg: Config, trained: TrainedModel) -> None:
        self.cfg, self.trained, self.model = cfg, trained, trained.model
        head = getattr(self.model, "head", None)
        if not hasattr(head, "predict") or not hasattr(self.model, "predict"):
            raise UserInputError(
                f"{trained.checkpoint} holds a {type(self.model).__name__} without a classifier, as of a stage that "
                "learns features; give the checkpoint of a later stage, with classes."
            )
        steps = require_test_pipeline(cfg, "prediction")
        self.pipeline = Compose([TRANSFORMS.build(step) for step in steps])
        self.temperature = 1.0

    @property
    def is_softmax(self) -> bool:
        """Whether its probabilities are a softmax of logits, which a temperature can calibrate."""
        return getattr(getattr(self.model.head, "loss_module", None), "link", "softmax") == "softmax"

    @property
    def device(self) -> torch.device:
        """Where its weights are."""
        return next(self.model.parameters()).device

    def class_name(self, label: int) -> str:
        """Name of a class; one without a name is called by its number.

        Args:
            label (int): The class.
        """
        names = self.trained.classes or ()
        return names[label] if label < len(names) else str(label)

    @torch.inference_mode()
    def probabilities(self, inputs: Any) -> Tensor:
        r"""Probabilities of a batch, :math:`\mathrm{softmax}(z / T)`.

        Args:
            inputs (Tensor | Sequence[Tensor]): Images of one size as the transforms give them, ``(B, 3, H, W)``.

        Returns:
            Tensor: Shape ``(B, C)``, float64 on the CPU.

        Raises:
            UserInputError: If they are not finite.
        """
        images = self.model.data_preprocessor({"inputs": inputs}, training=False)["inputs"]
        scores = _scores(self.model.predict(images)).double().cpu()
        if not scores.isfinite().all():
            raise UserInputError(
                f"the scores of {self.trained.checkpoint} are not finite: the model has diverged; use an earlier "
                "checkpoint."
            )
        if self.temperature == 1.0:
            return scores
        # The logarithms of a softmax are its logits, up to a constant for each image.
        return torch.softmax(scores.clamp(min=_TINY).log() / self.temperature, dim=1)

    def predict_batch(self, batch: ImageBatch, topk: int) -> list[Prediction]:
        """Predict the images of a batch.

        Args:
            batch (ImageBatch): The images.
            topk (int): How many classes of each, fewer if there are fewer.

        Returns:
            list[Prediction]: In the order of the batch.
        """
        predictions = [
            Prediction(path, error=problem) for path, problem in zip(batch.paths, batch.problems, strict=True)
        ]
        for positions, images in batch.groups:
            best = _best(self.probabilities(images), topk, self)
            for position, (names, confidence) in zip(positions, best, strict=True):
                predictions[position] = Prediction(batch.paths[position], names, confidence)
        return predictions


def choose_device(given: str | None) -> str:
    """Device of a model.

    Args:
        given (str | None): What the user asks for, like ``cuda:1``; None for a GPU if there is one.

    Raises:
        UserInputError: If it is none, or not here.
    """
    if given is None:
        return "cuda" if torch.cuda.is_available() else "cpu"
    try:
        device = torch.device(given)
    except RuntimeError as error:
        raise UserInputError(f"--device {given} is none; give cpu, cuda, or cuda:1.") from error
    if device.type == "cuda" and (device.index or 0) >= torch.cuda.device_count():
        raise UserInputError(
            f"--device {given} needs a CUDA device, and there are {torch.cuda.device_count()}; use --device cpu."
        )
    return given


def open_classifier(cfg: Config, source: str | Path, device: str, allow_pickle: bool = False) -> ImageClassifier:
    """Build the classifier of a config with the weights of a checkpoint, which also says how many classes there are.

    A config that was trained with ``--data`` needs no data here.

    Args:
        cfg (Config): The config; its numbers of classes are set to those of the checkpoint.
        source (str | Path): A checkpoint file, or the work dir of a run.
        device (str): Where the model goes.
        allow_pickle (bool): As for :func:`~lt_plugins.checkpoints.checkpoint.load_checkpoint`. Defaults to False.

    Raises:
        UserInputError: If the checkpoint cannot be read, does not fit, or has no classifier.
    """
    content = open_checkpoint(source, allow_pickle).content
    names = checkpoint_classes(content)
    state_dict = content.get("state_dict", content)
    sizes = {len(value) for key, value in state_dict.items() if key.startswith("head.") and getattr(value, "ndim", 0)}
    written = (cfg.model.get("head") or {}).get("num_classes")
    if names is not None and written not in sizes and len(names) in sizes:
        set_num_classes(cfg.model, len(names))
        set_num_classes(cfg.get("data_preprocessor"), len(names))
    return ImageClassifier(cfg, load_trained_model(cfg, source, device, allow_pickle))


def load_run_config(work_dir: str | Path, overrides: dict[str, Any] | None = None, stage: int | None = None) -> Config:
    """Config that a run was trained with, from its work dir; it is parsed, not executed.

    Args:
        work_dir (str | Path): The folder of the run.
        overrides (dict | None): Dotted keys and values, as ``--cfg-options`` gives them.
        stage (int | None): Number of the stage, from 1. Defaults to the last one.

    Raises:
        UserInputError: If there is none, or it is no config of a classifier.
    """
    folder = stage_source(str(work_dir), stage)
    cfg = Config(RunFolder(folder).config()[1])
    if overrides:
        cfg.merge_from_dict(overrides)
    if custom_imports := cfg.get("custom_imports"):
        import_modules_from_strings(**custom_imports)
    check_config(cfg)
    return cfg


def config_beside(source: str | Path) -> str:
    """Work dir that holds the config of a checkpoint.

    Args:
        source (str | Path): A checkpoint in the work dir of its run, or that folder.

    Raises:
        UserInputError: If there is no config of a run.
    """
    folder = Path(source) if Path(source).is_dir() else Path(source).parent
    if not [*folder.glob("*/vis_data/config.py")]:
        raise UserInputError(f"{folder} holds no config of the run; name it: CONFIG.py[:VARIANT,...] of {source}.")
    return str(folder)


def read_model_config(
    config: str,
    overrides: dict[str, Any] | None = None,
    data: str | None = None,
    stage: int | None = None,
) -> Config:
    """Config of a model, of a config file or as a work dir holds it.

    Args:
        config (str): ``CONFIG.py[:VARIANT,...]``, or the work dir of a run.
        overrides (dict | None): As for :func:`load_run_config`.
        data (str | None): Images in place of the config's, for a config file.
        stage (int | None): As for :func:`load_run_config`.

    Raises:
        UserInputError: If it cannot be read, or is none of a classifier.
    """
    if Path(config).is_dir():
        if data is not None:
            raise UserInputError(f"--data {data}: {config} is a work dir, which names its data; drop one of them.")
        cfg = load_run_config(config, overrides, stage)
    else:
        cfg = load_config(config, overrides, data=data, stage=stage)
    if cfg.get("default_scope") == "mmdet":
        raise UserInputError(f"{config} is the config of a detector; predict with tools/detection/predict.py.")
    return cfg


def _best(scores: Tensor, topk: int, classifier: ImageClassifier) -> list[tuple[tuple[str, ...], tuple[float, ...]]]:
    """Names and probabilities of the best classes of each image."""
    values, labels = scores.topk(min(topk, scores.shape[1]), dim=1)
    names = [tuple(map(classifier.class_name, row)) for row in labels.tolist()]
    return [*zip(names, map(tuple, values.tolist()), strict=True)]


def _scores(predicted: LabelBatch | Sequence[Any]) -> Tensor:
    """Probabilities ``(B, C)`` of what a model predicts."""
    if isinstance(predicted, LabelBatch) and predicted.pred_score is not None:
        return predicted.pred_score
    return torch.stack([sample.pred_score for sample in predicted])
