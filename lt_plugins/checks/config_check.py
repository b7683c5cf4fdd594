"""What every config of a run must have, checked as soon as it is read.

Three parts: ``config_rules.RULES`` for the values that mmengine's runner reads, a few conditions
between values, and ``component_check`` for the components with their arguments. Nothing is built.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from difflib import get_close_matches
from typing import Any

from mmengine.config import Config

from lt_plugins.checks.component_check import check_components
from lt_plugins.checks.config_rules import CLOSED, LOOPS, NOT_BUILT, PARTS, RULES, RUNNER_KEYS, Loop
from lt_plugins.checks.did_you_mean import did_you_mean
from lt_plugins.errors import UserInputError

NEAR_KEY = 0.85  # a top-level key is a variable of the config unless it looks like one of the runner's


def check_config(cfg: Config, needs: Sequence[Loop] = (), allow_parts: bool = False) -> None:
    """Refuse a config that cannot work, in one line that names the value and what it must be.

    Args:
        cfg (Config): The config.
        needs (Sequence[Loop]): What it must be able to do, of ``"train"``, ``"val"`` and ``"test"``. Defaults to
            nothing: what is there is checked.
        allow_parts (bool): Whether it may have no model, like those of datasets; what it then lacks is not missed.

    Raises:
        UserInputError: If a key is misspelt or missing, a value not what the rules ask for, or a component unknown or
            given an argument that it does not take.
    """
    values = dict(cfg._cfg_dict.items())
    _check_keys(values)
    for path, rule in RULES.items():
        for place, value in _find(values, path.split(".")):
            if not rule.accepts(value):
                raise UserInputError(f"{place}={value!r:.100} in the config must be {rule}.")
    is_part = values.get("model") is None
    if is_part and not allow_parts:
        raise UserInputError(f"{_shown(cfg)} has no model; a config of a run has model = dict(type='ImageClassifier').")
    for loop in () if is_part else LOOPS:
        _check_loop(values, loop, loop in needs, cfg)
    used = {key: value for key, value in values.items() if key in RUNNER_KEYS - NOT_BUILT}
    check_components(used, values.get("default_scope") or ("mmpretrain" if is_part else "mmengine"))
    _check_num_classes(values)


def _check_keys(values: Mapping[str, Any]) -> None:
    for key in values:
        if key not in RUNNER_KEYS and isinstance(key, str):
            near = get_close_matches(key, RUNNER_KEYS - {*values}, n=1, cutoff=NEAR_KEY)
            if near:
                raise UserInputError(f"the config has {key!r}, which nothing reads; did you mean {near[0]!r}?")
    for path, known in CLOSED.items():
        if path == "optim_wrapper.paramwise_cfg" and "constructor" in (values.get("optim_wrapper") or {}):
            continue  # it may have keys of its own
        for place, value in _find(values, path.split(".")):
            for key in value if isinstance(value, Mapping) else ():
                if key not in known:
                    raise UserInputError(f"{place} has no key {key!r}{did_you_mean(str(key), known)}")


def _check_loop(values: Mapping[str, Any], loop: Loop, is_needed: bool, cfg: Config) -> None:
    """The parts of a loop are all there or none, and its data can be loaded."""
    parts = PARTS[loop]
    missing = [part for part in parts if values.get(part) is None]
    if missing and (is_needed or len(missing) < len(parts)):
        present = next((part for part in parts if part not in missing), None)
        verb = {"train": "training", "val": "validation", "test": "testing"}[loop]
        raise UserInputError(
            f"{_shown(cfg)} has no {', '.join(missing)}"
            + (f" beside its {present}" if present else "")
            + f"; {verb} needs {', '.join(parts)}"
            + (f", or set all of them to None for no {verb}." if not is_needed else ".")
        )
    if missing:
        if loop == "train" and values.get("param_scheduler"):
            raise UserInputError(f"{_shown(cfg)} has a param_scheduler but no optim_wrapper whose values it changes.")
        return
    if loop != "train" and not values[f"{loop}_evaluator"]:
        raise UserInputError(f"{loop}_evaluator is empty; name a metric, like [dict(type='ShotAccuracy')].")
    path, loader = f"{loop}_dataloader", values[f"{loop}_dataloader"]
    for key in ("dataset", "sampler"):
        if key not in loader:
            raise UserInputError(
                f"{path} has no {key}; add {key}=dict(type='NAME'), like sampler=dict(type="
                "'DefaultSampler', shuffle=True)."
            )
    if not loader.get("num_workers"):
        for key in ("persistent_workers", "prefetch_factor", "timeout"):
            if loader.get(key):
                raise UserInputError(f"{path}.{key}={loader[key]!r} needs workers; set {path}.num_workers, or drop it.")
    if loader.get("batch_sampler") and loader.get("drop_last"):
        raise UserInputError(
            f"{path}.drop_last=True may not stand beside a batch_sampler, which makes the batches; set "
            f"{path}.drop_last=False and {path}.batch_sampler.drop_last=True."
        )
    _check_dataset(loader["dataset"], f"{path}.dataset")
    if loop == "train":
        _check_training(values)


def _check_training(values: Mapping[str, Any]) -> None:
    train_cfg, wrapper = values["train_cfg"], values["optim_wrapper"]
    if "type" not in train_cfg and ("max_epochs" in train_cfg) == ("max_iters" in train_cfg):
        raise UserInputError("train_cfg needs max_epochs, or by_epoch=False with max_iters: one of them.")
    if "optimizer" not in wrapper and "constructor" not in wrapper:
        raise UserInputError(
            "optim_wrapper has no optimizer; add optimizer=dict(type='SGD', lr=0.1) to it"
            + did_you_mean("optimizer", [key for key in wrapper if isinstance(key, str)] or [""]).split("; it has")[0]
        )
    schedulers = values.get("param_scheduler") or []
    for index, scheduler in enumerate(schedulers if isinstance(schedulers, (list, tuple)) else [schedulers]):
        if scheduler.get("end") is not None and scheduler["end"] <= scheduler.get("begin", 0):
            raise UserInputError(
                f"param_scheduler.{index}: begin={scheduler.get('begin', 0)} must be below end={scheduler['end']}."
            )


def _check_dataset(dataset: Mapping[str, Any], path: str) -> None:
    """Names of classes are a list, and there is something to read images with."""
    for place in (path, f"{path}.metainfo"):
        holder = dataset if place == path else dataset.get("metainfo")
        classes = holder.get("classes") if isinstance(holder, Mapping) else None
        if isinstance(classes, str) and (place != path or ("/" not in classes and not classes.endswith(".txt"))):
            raise UserInputError(
                f"{place}.classes={classes!r} is one text; give a list of names, like classes=[{classes!r}]"
                + (", or a file with one name a line (NAME.txt)." if place == path else ".")
            )
    inner = dataset.get("dataset")
    if isinstance(inner, Mapping):
        _check_dataset(inner, f"{path}.dataset")
    elif isinstance(dataset.get("datasets"), (list, tuple)):
        for index, part in enumerate(dataset["datasets"]):
            if isinstance(part, Mapping):
                _check_dataset(part, f"{path}.datasets.{index}")
    elif "pipeline" in dataset and not isinstance(dataset["pipeline"], (list, tuple)):
        raise UserInputError(f"{path}.pipeline={dataset['pipeline']!r:.100} must be a list of transforms.")


def _check_num_classes(values: Mapping[str, Any]) -> None:
    """What counts classes agrees with the head."""
    head = (values.get("model") or {}).get("head")
    num_classes = head.get("num_classes") if isinstance(head, Mapping) else None
    if num_classes is None:
        return
    for evaluator in ("val_evaluator", "test_evaluator"):
        for place, metric in _find(values, [evaluator, "*"]):
            topk = metric.get("topk") if isinstance(metric, Mapping) else None
            largest = max(topk, default=0) if isinstance(topk, (list, tuple)) else topk
            if isinstance(largest, int) and largest > num_classes:
                raise UserInputError(
                    f"{place}.topk={topk} exceeds the {num_classes} classes of model.head.num_classes; lower it."
                )
    for path in ("model.data_preprocessor", "data_preprocessor"):
        for place, preprocessor in _find(values, path.split(".")):
            augments = (values["model"].get("train_cfg") or {}).get("augments") or (preprocessor or {}).get(
                "batch_augments"
            )
            found = (preprocessor or {}).get("num_classes")
            if augments and found is not None and found != num_classes:
                raise UserInputError(
                    f"{place}.num_classes={found}, with which Mixup and CutMix mix labels, is not "
                    f"model.head.num_classes={num_classes}; set both to the number of classes of the data."
                )


def _find(node: Any, keys: Sequence[str], place: str = "") -> Iterator[tuple[str, Any]]:
    """The values at a path whose keys may be ``*``; a single dict counts as a list of one."""
    if not keys:
        yield place, node
        return
    key, rest = keys[0], keys[1:]
    if key == "*":
        if isinstance(node, (list, tuple)):
            for index, value in enumerate(node):
                yield from _find(value, rest, f"{place}.{index}")
        elif isinstance(node, Mapping) and "type" in node:
            yield from _find(node, rest, place)
        elif isinstance(node, Mapping):
            for name, value in node.items():
                yield from _find(value, rest, f"{place}.{name}")
    elif isinstance(node, Mapping) and key in node:
        yield from _find(node[key], rest, f"{place}.{key}" if place else key)


def _shown(cfg: Config) -> str:
    return f"config {cfg.filename}" if cfg.filename else "the config"
