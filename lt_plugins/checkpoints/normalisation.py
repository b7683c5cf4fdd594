"""Normalisation of images: what a training used, which its checkpoint records, and testing follows."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, NamedTuple

import torch
from mmengine.logging import print_log
from torch import Tensor, nn


class Normalisation(NamedTuple):
    """Normalisation: mean and standard deviation of red, green and blue in values of 0..255.

    Args:
        name (str): What it is called.
        mean (tuple[float, ...]): Subtracted.
        std (tuple[float, ...]): Divided by.
    """

    name: str
    mean: tuple[float, ...]
    std: tuple[float, ...]


def run_record(checkpoint: Mapping[str, Any]) -> dict[str, Any] | None:
    """Find the record of the run that wrote a checkpoint.

    Args:
        checkpoint (Mapping): The checkpoint.

    Returns:
        dict | None: None of a checkpoint from elsewhere.
    """
    meta = checkpoint.get("meta")
    record = meta.get("run_record") if isinstance(meta, dict) else None
    return record if isinstance(record, dict) and isinstance(record.get("config"), dict) else None


def recorded_normalisation(record: Mapping[str, Any]) -> Normalisation | None:
    """Normalisation of the training that a run record describes.

    Args:
        record (Mapping): ``meta['run_record']`` of a checkpoint.

    Returns:
        Normalisation | None: None if the record does not say.
    """
    config = record.get("config", {})
    for owner in ("data_preprocessor", "model.data_preprocessor"):
        parts = [tuple(config.get(f"{owner}.{part}.{i}") for i in range(3)) for part in ("mean", "std")]
        if all(isinstance(value, (int, float)) for part in parts for value in part):
            return Normalisation("the checkpoint's", *parts)
    return None


def follow_normalisation(model: nn.Module, checkpoint: Mapping[str, Any]) -> None:
    """Normalise images as the training did, where ``--pretrained`` has chosen that and the config says another.

    Args:
        model (nn.Module): The model that the checkpoint is loaded into. Changed in place.
        checkpoint (Mapping): The checkpoint.
    """
    record = run_record(checkpoint)
    trained = recorded_normalisation(record) if record is not None and record.get("sets_normalisation") else None
    preprocessor = getattr(model, "data_preprocessor", None)
    mean, std = (getattr(preprocessor, part, None) for part in ("mean", "std"))
    if trained is None or not isinstance(mean, Tensor) or not isinstance(std, Tensor):
        return
    wanted = [torch.tensor(values).view(-1, 1, 1).to(mean) for values in (trained.mean, trained.std)]
    if not (torch.equal(wanted[0], mean) and torch.equal(wanted[1], std)):
        mean.copy_(wanted[0])
        std.copy_(wanted[1])
        print_log(f"normalisation: mean {trained.mean}, std {trained.std}, as in the training", logger="current")
