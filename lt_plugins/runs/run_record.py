"""Run record: config, data and machine of a training as plain data, stored in each checkpoint."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from typing import Any

import torch
from mmengine.config import Config
from mmengine.runner import Runner

from lt_plugins.checkpoints.fingerprint import fingerprint_weights
from lt_plugins.datasets.fingerprint import fingerprint_dataset
from lt_plugins.engine.hooks import MemoryFormatHook
from lt_plugins.models.unwrap import unwrap_model
from lt_plugins.runs.schedule import is_short

# What does not change the weights that training ends with.
NEUTRAL_HOOKS = frozenset(
    {
        "AccumulationHook",
        "AveragedModelHook",
        "CheckpointFitHook",
        "CheckpointHook",
        "ClassDistributionHook",
        "CompileHook",  # of the environment, too
        "DeferredInfoHook",
        "DetVisualizationHook",
        "DetectionPreflightHook",
        "DistSamplerSeedHook",
        "EpochHook",
        "FiniteTrainingHook",
        "IterTimerHook",
        "LoadBackboneHook",
        "LoggerHook",
        "MemoryFormatHook",  # recorded as what it chooses
        "ParamSchedulerHook",
        "PeakMemoryHook",
        "PreflightHook",
        "RunLogHook",
        "RunRecordHook",
        "RuntimeInfoHook",
        "SafeCheckpointHook",
        "TeacherHook",  # recorded by the teachers' weights
        "VisualizationHook",
    }
)
NEUTRAL = re.compile(
    r"train_cfg\.(val_interval|val_begin|dynamic_intervals)\b"
    r"|train_dataloader\.(num_workers|pin_memory|pin_memory_device|prefetch_factor|persistent_workers|timeout)\b"
    r"|model\.teachers\.\d+\."  # recorded by their weights
    r"|(.+\.)?init_cfg\b|(.+\.)?pretrained$"  # of weights that have been trained since
)
# Classes of mmpretrain, and ours that compute the same of a batch as a whole.
SAME_RESULT = {"LinearClsHead": "LinearHead", "ClsDataPreprocessor": "ImageBatchPreprocessor"}
PARTS = (
    "model",
    "data_preprocessor",
    "optim_wrapper",
    "param_scheduler",
    "train_dataloader",
    "train_cfg",
    "randomness",
)
SWITCHES = ("compile", "activation_checkpointing", "efficient_conv_bn_eval", "sync_bn")


def record_run(runner: Runner) -> dict[str, Any]:
    """Describe a run in plain types.

    Args:
        runner (Runner): Its train data loader and model are built.

    Returns:
        dict: ``config`` (:func:`record_config`), ``class_names``, ``data`` (number of images, their counts by class, a
        fingerprint of the list in its order, of a split also one of the names, steps an epoch), ``teachers``
        (fingerprints of the networks that the model learns from), ``environment`` (processes, workers, threads, device,
        torch, memory format, compilation) and ``schedule`` (``"full"``, or ``"short"`` of a training that was
        shortened), ``pretrained_on`` (labels that the weights had seen before) and ``sets_normalisation`` (whether
        ``--pretrained`` chose that of the images).
    """
    from lt_plugins.runs.hooks import CompileHook  # whose package imports this module

    loader = runner.train_dataloader
    dataset = loader.dataset
    model = unwrap_model(runner.model)
    distribution = getattr(model, "class_distribution", None)
    counts = distribution.counts.tolist() if distribution is not None and distribution.is_set else None
    return {
        "config": record_config(runner.cfg),
        "class_names": [str(name) for name in getattr(dataset, "metainfo", {}).get("classes") or ()],
        "data": {
            "images": len(dataset),
            "class_counts": counts,
            "list": fingerprint_dataset(dataset),
            "training_names": getattr(dataset, "training_names", None),
            "steps_per_epoch": len(loader),
        },
        "teachers": [fingerprint_weights(teacher.state_dict()) for teacher in getattr(model, "teachers", ())],
        "schedule": "short" if is_short(runner.cfg) else "full",
        "pretrained_on": runner.cfg.get("pretrained_on"),
        "sets_normalisation": bool(runner.cfg.get("pretrained")),
        "environment": {
            "world_size": runner.world_size,
            "num_workers": loader.num_workers,
            "threads": torch.get_num_threads(),
            "device": next(runner.model.parameters()).device.type,
            "torch": str(torch.__version__),
            "memory_format": _memory_format(runner),
            "compile": any(isinstance(hook, CompileHook) for hook in runner.hooks),
        },
    }


def _memory_format(runner: Runner) -> str:
    """Name the memory format that the run computes in, ``channels_last`` or ``contiguous_format``."""
    hooks = [hook for hook in runner.hooks if isinstance(hook, MemoryFormatHook)]
    chosen = hooks[-1].choose(runner) if hooks else torch.contiguous_format
    return str(chosen).removeprefix("torch.")


def record_config(cfg: Config) -> dict[str, Any]:
    """Collect the values of a config that change the result of a training.

    Args:
        cfg (Config): The config, complete.

    Returns:
        dict: Plain values by dotted key; hooks go by their type.
    """
    parts: dict[str, Any] = {name: cfg.get(name) for name in (*PARTS, *SWITCHES)}
    parts["param_scheduler"] = parts["param_scheduler"] or None
    parts["env_cfg"] = {"cudnn_benchmark": bool((cfg.get("env_cfg") or {}).get("cudnn_benchmark"))}
    scaling = cfg.get("auto_scale_lr") or {}
    parts["auto_scale_lr"] = {"base_batch_size": scaling.get("base_batch_size")} if scaling.get("enable") else None
    parts["resident"] = cfg.get("resident") or None  # its images are augmented by other random numbers
    hooks: dict[str, Any] = {}
    for hook in [*(cfg.get("default_hooks") or {}).values(), *(cfg.get("custom_hooks") or ())]:
        if isinstance(hook, dict) and (name := str(hook.get("type")).split(".")[-1]) not in NEUTRAL_HOOKS:
            hooks[name if name not in hooks else f"{name}.{len(hooks)}"] = hook
    parts["hooks"] = hooks
    return {key: value for key, value in _flatten(parts) if value is not None and not NEUTRAL.match(key)}


def compare_configs(before: Mapping[str, Any], now: Mapping[str, Any]) -> dict[str, tuple[Any, Any]]:
    """Compare two configs and list the keys whose values differ.

    Args:
        before (Mapping): Of a checkpoint, as :func:`record_config` gives it.
        now (Mapping): Of a run.

    Returns:
        dict: Old and new value by key, in the order of the old; None where there is none.
    """
    before, now = _same_names(before), _same_names(now)
    return {key: (before.get(key), now.get(key)) for key in {**before, **now} if before.get(key) != now.get(key)}


def _same_names(config: Mapping[str, Any]) -> dict[str, Any]:
    """A recorded config in which classes that compute the same have one name, and the usual preprocessor none."""
    named = {key: SAME_RESULT.get(value, value) if key.endswith("type") else value for key, value in config.items()}
    usual = SAME_RESULT["ClsDataPreprocessor"]
    return {k: v for k, v in named.items() if not (k.endswith("data_preprocessor.type") and v == usual)}


def _flatten(node: Any, prefix: str = "") -> Iterator[tuple[str, Any]]:
    """Flatten a nested config to dotted keys and plain values."""
    if isinstance(node, dict) or (isinstance(node, (list, tuple)) and node):
        for key, value in node.items() if isinstance(node, dict) else enumerate(node):
            yield from _flatten(value, f"{prefix}.{key}" if prefix else str(key))
    elif isinstance(node, (bool, int, float, str)) or node is None:
        yield prefix, node
    else:
        # Not the place in memory of a function or class.
        yield prefix, str(getattr(node, "__qualname__", None) or ([] if node in ((), []) else node))
