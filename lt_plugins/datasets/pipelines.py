"""Transform pipelines: that of a config's test set, and another one for a dataset."""

from __future__ import annotations

import copy
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from mmengine.config import Config
from mmengine.dataset import Compose

from lt_plugins.errors import UserInputError
from lt_plugins.registry import TRANSFORMS

Transform = dict | Callable[[dict], dict | None]


def find_test_pipeline(cfg: Config) -> list[dict] | None:
    """The transforms without augmentation of a config: those of its test set, else of its validation set.

    Args:
        cfg (Config): The config.

    Returns:
        list[dict] | None: The transforms; None if the config has neither.
    """
    pipelines = (loader_pipeline(cfg.get(name)) for name in ("test_dataloader", "val_dataloader"))
    return next((pipeline for pipeline in pipelines if pipeline is not None), None)


def loader_pipeline(loader: Mapping[str, Any] | None) -> list[dict] | None:
    """The transforms of the dataset of a data loader, through wrappers.

    Args:
        loader (Mapping[str, Any] | None): Config of the data loader.

    Returns:
        list[dict] | None: The transforms; None if there is no such dataset, or it has none.
    """
    dataset = (loader or {}).get("dataset")
    while dataset is not None and dataset.get("pipeline") is None:
        dataset = dataset.get("dataset")
    return None if dataset is None else dataset["pipeline"]


def require_test_pipeline(
    cfg: Config, needed_by: str, own: Sequence[dict] | None = None, advice: str = "give one a pipeline"
) -> Sequence[dict]:
    """The transforms without augmentation that a part of the training passes its images through.

    Args:
        cfg (Config): The config.
        needed_by (str): What needs them, for the error.
        own (Sequence[dict], optional): Its own ones, which come first.
        advice (str): What to do without any, for the error.

    Returns:
        Sequence[dict]: Its own, or those of :func:`find_test_pipeline`.

    Raises:
        UserInputError: If there are none.
    """
    pipeline = find_test_pipeline(cfg) if own is None else own
    if pipeline is None:
        raise UserInputError(
            f"{needed_by} needs transforms without augmentation and finds none in test_dataloader.dataset or "
            f"val_dataloader.dataset; {advice}."
        )
    return pipeline


def replace_pipeline(dataset: Any, pipeline: Sequence[Transform] | Compose) -> Any:
    """A copy of a (wrapped) dataset that reads the same samples through another transform pipeline.

    The copies down the chain are shallow: annotations and images are shared, and the original is untouched.

    Args:
        dataset: An mmpretrain dataset, or one in any nesting of wrappers.
        pipeline: Transform configs or callables, or an already composed pipeline.

    Returns:
        The copy, of the same type, length and order.
    """
    if not isinstance(pipeline, Compose):
        pipeline = Compose([TRANSFORMS.build(step) if isinstance(step, dict) else step for step in pipeline])
    if hasattr(dataset, "datasets"):
        clone = copy.copy(dataset)
        clone.datasets = [replace_pipeline(child, pipeline) for child in dataset.datasets]
    elif hasattr(dataset, "dataset"):
        child = replace_pipeline(dataset.dataset, pipeline)
        if hasattr(dataset, "rewrap"):  # wrappers of this package also hold a table of the leaves
            return dataset.rewrap(child)
        clone = copy.copy(dataset)
        clone.dataset = child
    else:
        clone = copy.copy(dataset)
        clone.pipeline = pipeline
    return clone
