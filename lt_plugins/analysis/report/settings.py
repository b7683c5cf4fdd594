"""Settings of a run as rows of a table, and those in which runs differ."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

# What says where and how a run was carried out, and not what was trained.
_NO_SETTINGS = ("work_dir", "launcher", "resume", "visualizer", "vis_backends", "log_level", "env_cfg", "log_processor")


def summarise(config: Mapping[str, Any]) -> list[tuple[str, str]]:
    """The settings that tell runs apart, as rows of a table; what a config does not have is left out.

    Args:
        config (Mapping[str, Any]): Values of a config.
    """
    keys = {
        "model": "model.type",
        "backbone": "model.backbone.type",
        "backbone depth": "model.backbone.depth",
        "head": "model.head.type",
        "loss": "model.head.loss.type",
        "classes": "model.head.num_classes",
        "dataset": "train_dataloader.dataset",
        "batch size per process": "train_dataloader.batch_size",
        "epochs": "train_cfg.max_epochs",
        "iterations": "train_cfg.max_iters",
        "optimizer": "optim_wrapper.optimizer",
        "schedule": "param_scheduler",
        "seed": "randomness.seed",
        "weights pretrained on": "pretrained_on",
    }
    rows = []
    for label, key in keys.items():
        value: Any = config
        for part in key.split("."):
            value = value.get(part) if isinstance(value, dict) else None
        if value is not None:
            rows.append((label, describe(value)))
    return rows


def describe(value: Any) -> str:
    """A config value in one line, without the transforms.

    Args:
        value (Any): The value.
    """
    if isinstance(value, dict):
        settings = [f"{key}={describe(item)}" for key, item in value.items() if key not in ("type", "pipeline")]
        return f"{value.get('type', 'dict')}({', '.join(settings)})"
    if isinstance(value, list):
        return f"[{', '.join(map(describe, value))}]"
    return str(value)


def differing_settings(configs: Mapping[str, Mapping[str, Any]]) -> list[tuple[str, ...]]:
    """Settings that differ, as rows of a table: dotted key, and the value of each run; empty where it has none.

    Args:
        configs (Mapping[str, Mapping[str, Any]]): Values of the config by the name of the run.
    """
    flat = [dict(_flatten(config)) for config in configs.values()]
    keys = dict.fromkeys(key for values in flat for key in values if key.split(".")[0] not in _NO_SETTINGS)
    rows = [(key, *(values.get(key, "") for values in flat)) for key in keys]
    return [row for row in rows if len(set(row[1:])) > 1]


def _flatten(value: Any, key: str = "") -> Iterator[tuple[str, str]]:
    items = value.items() if isinstance(value, Mapping) else enumerate(value) if isinstance(value, list) else None
    if items is None or not value:
        yield key, str(value)
    else:
        for name, item in items:
            yield from _flatten(item, f"{key}.{name}" if key else str(name))
