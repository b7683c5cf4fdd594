"""Trained model: the model of a config with the weights of a checkpoint, and its data, outside of a runner."""

from __future__ import annotations

from pathlib import Path
from typing import Any, NamedTuple

from mmengine.config import Config
from mmengine.registry import init_default_scope
from mmpretrain.registry import DATASETS

from lt_plugins.checkpoints.checkpoint_fit import check_checkpoint_fit
from lt_plugins.checkpoints.normalisation import follow_normalisation
from lt_plugins.checkpoints.run_checkpoints import open_checkpoint, warn_fallback
from lt_plugins.checks.preflight import Allowed
from lt_plugins.datasets.class_names import check_same_classes, checkpoint_classes, leaf_classes
from lt_plugins.datasets.pipelines import find_test_pipeline, replace_pipeline
from lt_plugins.errors import UserInputError
from lt_plugins.evaluation.shot_thresholds import shot_thresholds
from lt_plugins.models.build import build_model
from lt_plugins.models.structures import ClassDistribution


class TrainedModel(NamedTuple):
    """Outcome of :func:`load_trained_model`.

    Args:
        model (nn.Module): The model, in evaluation mode. Typed as Any, since its parts are reached by name.
        checkpoint (Path): The file that its weights came from.
        epoch (int | None): Number of finished epochs, if the checkpoint says.
        classes (tuple[str, ...] | None): Class names that it was trained on, in label order, if the checkpoint says.
    """

    model: Any
    checkpoint: Path
    epoch: int | None
    classes: tuple[str, ...] | None = None


def load_trained_model(
    cfg: Config, source: str | Path, device: str = "cpu", allow_pickle: bool = False
) -> TrainedModel:
    """Build the model of a config and load a checkpoint into it, see :func:`load_weights`.

    Args:
        cfg (Config): The config.
        source (str | Path): As for :func:`load_weights`.
        device (str): As for :func:`load_weights`. Defaults to ``"cpu"``.
        allow_pickle (bool): As for :func:`load_weights`. Defaults to False.

    Raises:
        UserInputError: If there is no (readable) checkpoint, or it does not fit the model.
    """
    return load_weights(cfg, build_model(cfg), source, device, allow_pickle)


def load_weights(
    cfg: Config, model: Any, source: str | Path, device: str = "cpu", allow_pickle: bool = False
) -> TrainedModel:
    """Load a checkpoint into a model, with the class counts of its training set.

    Args:
        cfg (Config): The config, whose metric says which classes are many-, medium- and few-shot.
        model (nn.Module): The model. Changed in place.
        source (str | Path): A checkpoint file, or the work dir of a run, whose last checkpoint is taken; the run may
            be going on.
        device (str): Where the model goes. Defaults to ``"cpu"``.
        allow_pickle (bool): As for :func:`~lt_plugins.checkpoints.checkpoint.load_checkpoint`. Defaults to False.

    Raises:
        UserInputError: If there is no (readable) checkpoint, or it does not fit the model.
    """
    found = open_checkpoint(source, allow_pickle)
    warn_fallback(found)
    checkpoint = found.content
    state_dict = {key.removeprefix("module."): value for key, value in checkpoint.get("state_dict", checkpoint).items()}
    check_checkpoint_fit(model, state_dict, str(found.path), "test")
    counts = state_dict.get("class_distribution.counts")
    if counts is not None and not hasattr(model, "class_distribution"):
        model.class_distribution = ClassDistribution(len(counts))  # as ClassDistributionHook gave the trained model one
    for module in model.modules():
        if isinstance(module, ClassDistribution):
            module.set_thresholds(*shot_thresholds(cfg))
    model.load_state_dict(state_dict, strict=False)
    follow_normalisation(model, checkpoint)
    epoch = checkpoint.get("meta", {}).get("epoch")
    return TrainedModel(model.to(device).eval(), found.path, epoch, checkpoint_classes(checkpoint))


def build_plain_dataset(cfg: Config, split: str, trained: TrainedModel | None = None) -> Any:
    """Build the training, validation or test set of a config with the transforms of the test set.

    Args:
        cfg (Config): The config.
        split (str): ``"train"``, ``"val"`` or ``"test"``.
        trained (TrainedModel, optional): The model that will look at it; its classes must be the same.

    Raises:
        UserInputError: If the config has no such dataset or no test pipeline, or the class names differ from those of
            the model (unless ``PreflightHook`` has ``allow_renamed_classes``).
    """
    init_default_scope(cfg.get("default_scope", "mmpretrain"))
    loader = cfg.get(f"{split}_dataloader") or {}
    pipeline = find_test_pipeline(cfg)
    if "dataset" not in loader or pipeline is None:
        raise UserInputError(
            f"the config has no {split}_dataloader.dataset, or no test_dataloader or val_dataloader with a pipeline "
            "to read it through."
        )
    dataset = DATASETS.build(loader["dataset"])
    if trained is not None and not Allowed.by_config(cfg).renamed_classes:
        named = {str(trained.checkpoint): trained.classes, **leaf_classes(f"the {split} dataset", dataset)}
        check_same_classes(named)
    return replace_pipeline(dataset, pipeline)
