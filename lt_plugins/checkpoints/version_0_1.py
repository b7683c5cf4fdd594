"""Checkpoints of version 0.1: their names, mapped to those of today as the file is read."""

from __future__ import annotations

import re
from typing import Any

# Of classes, as the run record has them: values of keys that end in `type`.
TYPES = {
    "ResNetCIFAR32": "CIFARResNet",
    "SupContrastHead": "SupConHead",
}
# Settings that have another name, and what becomes of their value.
INVERTED = {"model.live_batch_norm": "model.norm_eval"}


def update_checkpoint(checkpoint: dict[str, Any]) -> None:
    """Give what a checkpoint of version 0.1 holds the names of today; one of today stays as it is.

    Args:
        checkpoint (dict): As read from a file; changed in place.
    """
    meta = checkpoint.get("meta")
    record = meta.get("run_record") if isinstance(meta, dict) else None
    if isinstance(record, dict) and isinstance(record.get("config"), dict):
        record["config"] = update_run_config(record["config"])


def update_run_config(config: dict[str, Any]) -> dict[str, Any]:
    """The config of a run record with the names of today.

    Args:
        config (dict): Plain values by dotted key, as :func:`~lt_plugins.runs.run_record.record_config` gives them.

    Returns:
        dict: The same, with other keys and values.
    """
    updated = {}
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
    return updated
