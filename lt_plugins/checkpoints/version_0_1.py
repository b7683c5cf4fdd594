"""Checkpoints of version 0.1: their names, mapped to those of today as the file is read."""

from __future__ import annotations

import re
from typing import Any

# Of classes, as the run record has them: values of keys that end in `type`.
TYPES = {
    "ResNetCIFAR32": "CIFARResNet",
    "SupContrastHead": "SupConHead",
    "FolderDataset": "ImageListDataset",
    "ListDataset": "ImageListDataset",
    "TwoViewDataPreprocessor": "ImageBatchPreprocessor",
}
# Settings that have another name, and what becomes of their value.
INVERTED = {"model.live_batch_norm": "model.norm_eval"}
# Losses that were told the number of classes.
SIZED_LOSSES = ("LDAMLoss", "LabelAwareSmoothLoss", "PaCoLoss")


def update_checkpoint(checkpoint: dict[str, Any]) -> None:
    """Give what a checkpoint of version 0.1 holds the names of today; one of today stays as it is.

    Args:
        checkpoint (dict): As read from a file; changed in place.
    """
    for key in ("state_dict", "ema_state_dict"):
        if isinstance(checkpoint.get(key), dict):
            update_state_dict(checkpoint[key])
    meta = checkpoint.get("meta")
    record = meta.get("run_record") if isinstance(meta, dict) else None
    if isinstance(record, dict) and isinstance(record.get("config"), dict):
        record["config"] = update_run_config(record["config"])


def update_state_dict(state_dict: dict[str, Any]) -> None:
    """Drop class weights, which follow from settings and counts now, and give an ``ISDALoss`` its class counts.

    Args:
        state_dict (dict): Tensors by key, with or without a prefix; changed in place.
    """
    for key in list(state_dict):
        owner, _, name = key.rpartition(".")
        counts = f"{owner}.class_distribution.counts"
        if name == "class_weight" and counts in state_dict:
            del state_dict[key]
        if name == "class_covariance" and counts not in state_dict:
            root = "module." if key.startswith("module.") else ""
            if (known := state_dict.get(f"{root}class_distribution.counts")) is not None:
                state_dict[counts] = known.clone()


def update_run_config(config: dict[str, Any]) -> dict[str, Any]:
    """The config of a run record with the names of today.

    Args:
        config (dict): Plain values by dotted key, as :func:`~lt_plugins.runs.run_record.record_config` gives them.

    Returns:
        dict: The same, with other keys and values.
    """
    updated: dict[str, Any] = {}
    for key, value in config.items():
        if key.startswith("hooks.SyncBatchNormHook."):
            if key.endswith(".enabled") and value:
                updated["sync_bn"] = "torch"
        elif key in INVERTED:
            updated[INVERTED[key]] = not value
        elif isinstance(value, str) and re.search(r"(^|\.)type$", key):
            updated[key] = TYPES.get(value, value)
        else:
            updated[key] = value
    _move_hook_settings(updated)
    for key in [key for key in updated if key.endswith(".num_classes")]:
        if updated.get(f"{key.removesuffix('num_classes')}type") in SIZED_LOSSES:
            del updated[key]
    return updated


def _move_hook_settings(config: dict[str, Any]) -> None:
    """Give ``ReclusterHook`` its task, which followed from the model, and the loss the settings of the DRW hook."""
    if "hooks.ReclusterHook.type" in config and "hooks.ReclusterHook.task.type" not in config:
        for key in [key for key in config if key.startswith("hooks.ReclusterHook.clustering.")]:
            config[key.replace(".clustering.", ".task.")] = config.pop(key)
        is_lpa = config.get("model.head.type") == "LPAHead"
        config["hooks.ReclusterHook.task.type"] = "AttributeClustering" if is_lpa else "SubclassClustering"
    if config.pop("hooks.DeferredReweightHook.type", None):
        config["model.head.loss.class_weight"] = "effective_number"
        for old, new in {"start": "reweight_from", "beta": "weight_beta"}.items():
            if value := config.pop(f"hooks.DeferredReweightHook.{old}", None):  # epoch 0 is the default
                config[f"model.head.loss.{new}"] = value
