"""Base class of the pages about a trained model, and sentences, checks and settings of all of them."""

from __future__ import annotations

import time
from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from pathlib import Path
from types import MappingProxyType, SimpleNamespace
from typing import Any, ClassVar

import torch
from mmengine.config import Config

from lt_plugins.analysis.trained_model import TrainedModel
from lt_plugins.datasets.labels import get_class_names
from lt_plugins.errors import UserInputError
from lt_plugins.visualization import FigurePage


class NotClusteredError(UserInputError):
    """Error for a checkpoint from before the first clustering, of which this page can show nothing."""


class AnalysisPage(ABC):
    """Base class of a page about what a trained model has learned; ``fits`` says about which models.

    A subclass in a module of its own becomes a page of ``tools/inspect_model.py`` by a line in
    ``PAGES`` of :mod:`lt_plugins.analysis.inspection`.

    Args:
        options (Mapping[str, Any]): Values of options that the user gave; the others have those of ``defaults``.

    Attributes:
        name (str): Name of the page in ``PAGES``; the default folder is called after it.
        title (str): Title of the page.
        needs (str): Component that a model needs for it, and where configs with it are.
        defaults (Mapping[str, Any]): Options of the page, as the command line calls them, with their defaults.

    Raises:
        UserInputError: If an option has a value that it cannot have.
    """

    name: ClassVar[str]
    title: ClassVar[str]
    needs: ClassVar[str]
    defaults: ClassVar[Mapping[str, Any]]

    def __init__(self, options: Mapping[str, Any] = MappingProxyType({})) -> None:
        self.options = SimpleNamespace(**{**self.defaults, **options})
        self.check_options()

    @staticmethod
    @abstractmethod
    def fits(model: Any, cfg: Config) -> bool:
        """Whether a model learns what the page shows.

        Args:
            model (nn.Module): A model, trained or not.
            cfg (Config): Its config.
        """

    @classmethod
    def shows(cls, model: Any, cfg: Config) -> bool:
        """Whether the page, asked for by name, can show a model of a run where it fits none. Defaults to :meth:`fits`.

        Args:
            model (nn.Module): A model, trained or not.
            cfg (Config): Its config.
        """
        return cls.fits(model, cfg)

    @abstractmethod
    def check_options(self) -> None:
        """Refuse values that ``self.options`` cannot have.

        Raises:
            UserInputError: If there is one.
        """

    @abstractmethod
    def write(self, cfg: Config, trained: TrainedModel, run: str, out_dir: Path | None = None) -> str:
        """Write the page and its pictures.

        Args:
            cfg (Config): Config of the model, which names the data.
            trained (TrainedModel): A model that the page fits.
            run (str): Name of the run, for the title.
            out_dir (Path | None): Folder of the page. Defaults to ``<name>_<checkpoint>`` beside the checkpoint.

        Returns:
            str: What was written, for the user.

        Raises:
            UserInputError: If the checkpoint has not learned it yet, an option does not fit the model or the data, or
                the folder cannot be made.
        """

    def open(self, trained: TrainedModel, run: str, out_dir: Path | None, inputs: Sequence[Path] = ()) -> FigurePage:
        """Begin the page.

        Args:
            trained (TrainedModel): As for :meth:`write`.
            run (str): As for :meth:`write`.
            out_dir (Path | None): As for :meth:`write`.
            inputs (Sequence[Path]): Pictures that are shown, which those of the page must not replace. Defaults to
                none.

        Raises:
            UserInputError: If the folder cannot be made.
        """
        folder = out_dir or trained.checkpoint.with_name(f"{self.name}_{trained.checkpoint.stem}")
        return FigurePage(f"{self.title}: {run}", folder, inputs)


def describe_origin(trained: TrainedModel) -> str:
    """Checkpoint that was read, and when, as the beginning of a sentence.

    Args:
        trained (TrainedModel): The model.
    """
    epoch = "" if trained.epoch is None else f", after epoch {trained.epoch}"
    return f"{trained.checkpoint}{epoch}, read on {time.strftime('%Y-%m-%d %H:%M')}"


def not_clustered_error(cfg: Config, trained: TrainedModel, missing: str) -> NotClusteredError:
    """Error for a checkpoint from before the first clustering; names the first epoch after one.

    Args:
        cfg (Config): The config.
        trained (TrainedModel): The model.
        missing (str): What a clustering finds.
    """
    epoch = "" if trained.epoch is None else f" (epoch {trained.epoch})"
    starts = [hook.get("start", 0) for hook in cfg.get("custom_hooks", []) if hook["type"] == "ReclusterHook"]
    when = (
        f"ReclusterHook first clusters before epoch {starts[0] + 1}; use a checkpoint of that epoch or a later one."
        if starts
        else "the config has no ReclusterHook in custom_hooks."
    )
    return NotClusteredError(f"{trained.checkpoint}{epoch} has no {missing} yet: {when}")


def loader_settings(cfg: Config, split: str) -> dict[str, Any]:
    """Batch size and workers of a pass over a dataset, as the config has them.

    Args:
        cfg (Config): The config.
        split (str): ``"train"``, ``"val"`` or ``"test"``.
    """
    loader = cfg[f"{split}_dataloader"]
    return {"batch_size": loader.get("batch_size", 64), "num_workers": loader.get("num_workers", 0)}


def all_class_names(dataset: Any, num_classes: int) -> list[str]:
    """Names of all classes of a model; a class that the dataset does not name is called by its number.

    Args:
        dataset (Dataset): The dataset.
        num_classes (int): Number of classes ``C``.
    """
    names = get_class_names(dataset)
    return [*names, *map(str, range(len(names), num_classes))]


def check_device(device: str) -> None:
    """Refuse a device that is not here.

    Args:
        device (str): ``"cpu"`` or ``"cuda"``.

    Raises:
        UserInputError: If it is CUDA, without a CUDA device.
    """
    if device == "cuda" and not torch.cuda.is_available():
        raise UserInputError("--device cuda needs a CUDA device, and none is here; use --device cpu.")
