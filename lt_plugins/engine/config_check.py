"""What every config of a run must have, checked as soon as it is read.

Three parts: :data:`RULES` for the values that mmengine's runner reads, a few conditions between values, and
:mod:`~lt_plugins.engine.component_check` for the components with their arguments. Nothing is built.
"""

from __future__ import annotations

import inspect
import math
from collections.abc import Iterator, Mapping, Sequence
from difflib import get_close_matches
from numbers import Integral, Real
from typing import Any, Literal, NamedTuple

from mmengine.config import Config
from mmengine.runner import Runner
from torch.utils.data import DataLoader

from lt_plugins.engine.component_check import check_components
from lt_plugins.engine.did_you_mean import did_you_mean
from lt_plugins.errors import UserInputError

Loop = Literal["train", "val", "test"]
LOOPS: tuple[Loop, ...] = ("train", "val", "test")
PARTS: dict[Loop, tuple[str, ...]] = {
    "train": ("train_dataloader", "train_cfg", "optim_wrapper"),
    "val": ("val_dataloader", "val_cfg", "val_evaluator"),
    "test": ("test_dataloader", "test_cfg", "test_evaluator"),
}
LOADERS = tuple(f"{loop}_dataloader" for loop in LOOPS)

# Keys that mmengine's runner reads and a config need not have.
RUNNER_KEYS = ({*inspect.signature(Runner).parameters} - {"cfg"}) | {
    "accept_changes",
    "activation_checkpointing",
    "compile",
    "custom_imports",
    "find_unused_parameters",
    "model_wrapper_cfg",
    "previous_stage",
    "scale_schedule",
    "written_schedule",
}
# Of these, what holds nothing that is built.
NOT_BUILT = {"accept_changes", "custom_imports", "previous_stage", "scale_schedule", "written_schedule"}
LOADER_KEYS = ({*inspect.signature(DataLoader).parameters} - {"shuffle", "generator"}) | {
    "disable_subprocess_warning",
    "num_batch_per_epoch",
}
CLOSED = {
    **dict.fromkeys(LOADERS, LOADER_KEYS),
    "randomness": {"seed", "diff_rank_seed", "deterministic"},
    "auto_scale_lr": {"base_batch_size", "enable"},
    "env_cfg": {"cudnn_benchmark", "mp_cfg", "dist_cfg", "resource_limit"},
    "env_cfg.mp_cfg": {"mp_start_method", "opencv_num_threads"},
    "custom_imports": {"imports", "allow_failed_imports"},
    "optim_wrapper.paramwise_cfg": {
        *("custom_keys", "norm_decay_mult", "bias_lr_mult", "bias_decay_mult", "dwconv_decay_mult", "flat_decay_mult"),
        *("dcn_offset_lr_mult", "bypass_duplicate"),
    },
}
LEVELS = ("CRITICAL", "FATAL", "ERROR", "WARNING", "WARN", "INFO", "DEBUG", "NOTSET")
PRIORITIES = ("HIGHEST", "VERY_HIGH", "HIGH", "ABOVE_NORMAL", "NORMAL", "BELOW_NORMAL", "LOW", "VERY_LOW", "LOWEST")
NEAR_KEY = 0.85  # a top-level key is a variable of the config unless it looks like one of the runner's


class Rule(NamedTuple):
    """What a value must be.

    Args:
        kind (str): ``"whole"``, ``"wholes"`` (a list), ``"number"``, ``"numbers"`` (one or a list), ``"flag"``,
            ``"text"``, ``"dict"``, ``"component"`` (a dict with a type) or ``"components"`` (a list of those).
        low (float): The smallest number. Defaults to none.
        above (float): What a number must be larger than. Defaults to none.
        high (float): The largest number. Defaults to none.
        choices (tuple): Values that are allowed besides, or the only texts. Defaults to none.
    """

    kind: str
    low: float = -math.inf
    above: float = -math.inf
    high: float = math.inf
    choices: tuple[Any, ...] = ()

    def accepts(self, value: Any) -> bool:
        """Whether a value fits."""
        if any(value is choice for choice in self.choices if not isinstance(choice, str)):
            return True
        if self.kind in ("whole", "number"):
            number = Integral if self.kind == "whole" else Real
            if isinstance(value, str):
                return value in self.choices
            if isinstance(value, bool) or not isinstance(value, number) or not math.isfinite(value):
                return False
            return value in self.choices or (self.low <= float(value) <= self.high and float(value) > self.above)
        if self.kind == "flag":
            return isinstance(value, bool)
        if self.kind == "text":
            texts = [choice for choice in self.choices if isinstance(choice, str)]
            return isinstance(value, str) and (not texts or value in texts)
        if self.kind == "wholes":
            is_list = isinstance(value, (list, tuple))
            return is_list and all(self._replace(kind="whole").accepts(number) for number in value)
        if self.kind == "numbers":
            numbers = value if isinstance(value, (list, tuple)) else [value]
            return all(self._replace(kind="number", choices=()).accepts(number) for number in numbers)
        if self.kind == "components":
            items = value if isinstance(value, (list, tuple)) else [value]
            return isinstance(value, (Mapping, list, tuple)) and all(map(_is_component, items))
        return _is_component(value) if self.kind == "component" else isinstance(value, Mapping)

    def __str__(self) -> str:
        words = {
            "whole": "a whole number",
            "wholes": "a list of whole numbers, each",
            "number": "a number",
            "numbers": "a number or a list of numbers, each",
            "flag": "True or False",
            "text": "a text",
            "dict": "a dict",
            "component": "a dict with a type, like dict(type='NAME')",
            "components": "a dict with a type, or a list of them, like [dict(type='NAME')]",
        }
        limits = [
            f"{word} {limit:g}"
            for word, limit in (("of at least", self.low), ("above", self.above), ("of at most", self.high))
            if math.isfinite(limit)
        ]
        extra = [repr(choice) if isinstance(choice, str) else str(choice) for choice in self.choices]
        if self.kind == "text" and any(isinstance(choice, str) for choice in self.choices):
            return f"one of {', '.join(extra)}"
        return " or ".join([" ".join([words[self.kind], " and ".join(limits)]).strip(), *extra])


COUNT = Rule("whole", low=1)
NATURAL = Rule("whole", low=0)
FLAG = Rule("flag")
TEXT = Rule("text")
DICT = Rule("dict")
COMPONENT = Rule("component")
NOT_NEGATIVE = Rule("number", low=0)
EVERY = Rule("whole", low=1, choices=(-1,))  # an interval; -1 is never


def _or_none(rule: Rule) -> Rule:
    return rule._replace(choices=(*rule.choices, None))


# Path -> what its value must be, where the config has it; * stands for each key of a dict or place of a list.
RULES: dict[str, Rule] = {
    "model": COMPONENT,
    "model.backbone": COMPONENT,
    "model.head": _or_none(Rule("components")),
    "model.head.num_classes": COUNT,
    "model.neck": _or_none(Rule("components")),
    "model.projector": COMPONENT,
    "model.data_preprocessor": _or_none(DICT),
    "model.train_cfg.augments": _or_none(Rule("components")),
    "model.train_cfg.probs": _or_none(Rule("numbers", low=0, high=1)),
    "data_preprocessor": _or_none(DICT),
    **{
        f"{preprocessor}.{key}": _or_none(rule)
        for preprocessor in ("data_preprocessor", "model.data_preprocessor")
        for key, rule in {
            "num_classes": COUNT,
            "mean": Rule("numbers"),
            "std": Rule("numbers", above=0),
            "to_rgb": FLAG,
            "batch_augments": DICT,
            "batch_augments.augments": Rule("components"),
            "batch_augments.probs": Rule("numbers", low=0, high=1),
        }.items()
    },
    "train_cfg": _or_none(DICT),
    "train_cfg.by_epoch": FLAG,
    "train_cfg.max_epochs": NATURAL,
    "train_cfg.max_iters": NATURAL,
    "train_cfg.val_begin": COUNT,
    "train_cfg.val_interval": COUNT,
    "val_cfg": _or_none(DICT),
    "test_cfg": _or_none(DICT),
    **{
        f"{loader}{key}": rule
        for loader in LOADERS
        for key, rule in {
            "": _or_none(DICT),
            ".dataset": COMPONENT,
            ".sampler": COMPONENT,
            ".batch_sampler": _or_none(COMPONENT),
            ".batch_size": COUNT,
            ".num_workers": NATURAL,
            ".prefetch_factor": _or_none(COUNT),
            ".persistent_workers": FLAG,
            ".drop_last": FLAG,
            ".pin_memory": FLAG,
            ".timeout": NOT_NEGATIVE,
            ".num_batch_per_epoch": _or_none(COUNT),
            ".collate_fn": COMPONENT,
            ".worker_init_fn": COMPONENT,
        }.items()
    },
    "val_evaluator": _or_none(Rule("components")),
    "test_evaluator": _or_none(Rule("components")),
    "optim_wrapper": _or_none(DICT),
    "optim_wrapper.optimizer": COMPONENT,
    "optim_wrapper.optimizer.lr": Rule("number", low=0),
    "optim_wrapper.optimizer.momentum": Rule("number", low=0, high=1),
    "optim_wrapper.optimizer.weight_decay": Rule("number", low=0),
    "optim_wrapper.accumulative_counts": COUNT,
    "optim_wrapper.clip_grad": _or_none(DICT),
    "optim_wrapper.clip_grad.max_norm": Rule("number", above=0),
    "optim_wrapper.clip_grad.clip_value": Rule("number", above=0),
    "optim_wrapper.paramwise_cfg": _or_none(DICT),
    "optim_wrapper.paramwise_cfg.custom_keys": _or_none(DICT),
    "optim_wrapper.paramwise_cfg.custom_keys.*": DICT,
    "optim_wrapper.paramwise_cfg.custom_keys.*.lr_mult": NOT_NEGATIVE,
    "optim_wrapper.paramwise_cfg.custom_keys.*.decay_mult": NOT_NEGATIVE,
    "param_scheduler": _or_none(Rule("components")),
    "param_scheduler.*.begin": NATURAL,
    "param_scheduler.*.end": COUNT,
    "param_scheduler.*.T_max": COUNT,
    "param_scheduler.*.by_epoch": FLAG,
    "param_scheduler.*.convert_to_iter_based": FLAG,
    "param_scheduler.*.gamma": Rule("number", low=0),
    "param_scheduler.*.start_factor": Rule("number", above=0, high=1),
    "param_scheduler.*.milestones": Rule("wholes", low=0),
    "default_hooks": _or_none(DICT),
    "default_hooks.*": _or_none(COMPONENT),
    "default_hooks.logger.interval": COUNT,
    "default_hooks.checkpoint.interval": EVERY,
    "default_hooks.checkpoint.max_keep_ckpts": EVERY,
    "default_hooks.checkpoint.out_dir": _or_none(TEXT),
    "custom_hooks": _or_none(Rule("components")),
    "custom_hooks.*.priority": Rule("whole", low=0, high=100, choices=PRIORITIES),
    "randomness": DICT,
    "randomness.seed": Rule("whole", low=0, high=2**32 - 1, choices=(None,)),
    "randomness.deterministic": FLAG,
    "randomness.diff_rank_seed": FLAG,
    "env_cfg": DICT,
    "env_cfg.cudnn_benchmark": FLAG,
    "env_cfg.dist_cfg": DICT,
    "env_cfg.mp_cfg": DICT,
    "env_cfg.mp_cfg.mp_start_method": Rule("text", choices=("fork", "spawn", "forkserver", None)),
    "env_cfg.mp_cfg.opencv_num_threads": NATURAL,
    "auto_scale_lr": _or_none(DICT),
    "auto_scale_lr.base_batch_size": COUNT,
    "auto_scale_lr.enable": FLAG,
    "visualizer": _or_none(DICT),
    "log_processor": _or_none(DICT),
    "log_processor.window_size": COUNT,
    "log_processor.by_epoch": FLAG,
    "model_wrapper_cfg": _or_none(DICT),
    "custom_imports": _or_none(DICT),
    "custom_imports.allow_failed_imports": FLAG,
    "log_level": Rule("text", choices=LEVELS),
    "load_from": _or_none(TEXT),
    "resume": FLAG,
    "work_dir": _or_none(TEXT),
    "experiment_name": _or_none(TEXT),
    "default_scope": TEXT,
    "launcher": Rule("text", choices=("none", "pytorch", "slurm", "mpi")),
    "find_unused_parameters": FLAG,
    "previous_stage.config": TEXT,
    "previous_stage.cfg_options": _or_none(DICT),
}


def check_config(cfg: Config, needs: Sequence[Loop] = (), allow_parts: bool = False) -> None:
    """Refuse a config that cannot work, in one line that names the value and what it must be.

    Args:
        cfg (Config): The config.
        needs (Sequence[Loop]): What it must be able to do, of ``"train"``, ``"val"`` and ``"test"``. Defaults to
            nothing: what is there is checked.
        allow_parts (bool): Whether it may have no model, like those of data sets; what it then lacks is not missed.

    Raises:
        UserInputError: If a key is misspelt or missing, a value not what :data:`RULES` ask for, or a component unknown
            or given an argument that it does not take.
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


def _is_component(value: Any) -> bool:
    if isinstance(value, Mapping):
        return "type" in value
    return not isinstance(value, (bool, int, float, str, list, tuple)) and value is not None


def _shown(cfg: Config) -> str:
    return f"config {cfg.filename}" if cfg.filename else "the config"
