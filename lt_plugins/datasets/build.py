"""Pipelines of the datasets of a config."""

from __future__ import annotations

from mmengine.config import Config


def find_test_pipeline(cfg: Config) -> list[dict] | None:
    """The transforms without augmentation of a config: those of its test set, else of its validation set.

    Args:
        cfg (Config): The config.

    Returns:
        list[dict] | None: The transforms; None if the config has neither.
    """
    for name in ("test_dataloader", "val_dataloader"):
        dataset = (cfg.get(name) or {}).get("dataset")
        while dataset is not None and "pipeline" not in dataset:  # through wrappers
            dataset = dataset.get("dataset")
        if dataset is not None:
            return dataset["pipeline"]
    return None
