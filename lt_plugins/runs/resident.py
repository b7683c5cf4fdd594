"""Resident data, ``resident = True`` in a config: wraps the datasets of all data loaders."""

from __future__ import annotations

from mmengine.config import Config, ConfigDict

from lt_plugins.checks.config_rules import LOOPS

WRAPPER = "ResidentDataset"


def use_resident(cfg: Config) -> None:
    """Keep the images of a config in memory, if it says ``resident = True``.

    Args:
        cfg (Config): The config of a stage; changed in place.
    """
    if cfg.get("resident") is not True:
        return
    for loop in LOOPS:
        loader = cfg.get(f"{loop}_dataloader")
        dataset = loader.get("dataset") if isinstance(loader, dict) else None
        if not isinstance(dataset, dict) or dataset.get("type") == WRAPPER:  # so is one of a dumped config
            continue
        own = {
            "dataset": {"type": WRAPPER, "dataset": dataset},
            "num_workers": 0,
            "persistent_workers": False,
            "collate_fn": {"type": "pseudo_collate"},
        }
        cfg[f"{loop}_dataloader"] = ConfigDict({**loader, **own})
