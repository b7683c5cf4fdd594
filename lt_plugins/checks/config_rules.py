"""What the values that mmengine's runner reads must be, as a table of rules."""

from __future__ import annotations

import inspect
import math
from collections.abc import Mapping
from numbers import Integral, Real
from typing import Any, Literal, NamedTuple

from mmengine.runner import Runner
from torch.utils.data import DataLoader

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
    "class_subset",
    "compile",
    "custom_imports",
    "find_unused_parameters",
    "from_scratch",
    "hold_out",
    "model_wrapper_cfg",
    "net",
    "pretrained",
    "pretrained_on",
    "resident",
    "scale_schedule",
    "shot_thresholds",
    "skip_bad",
    "split",
    "sync_bn",
    "written_schedule",
}
# Of these, what holds nothing that is built.
NOT_BUILT = {
    "accept_changes",
    "class_subset",
    "custom_imports",
    "from_scratch",
    "hold_out",
    "net",
    "pretrained",
    "pretrained_on",
    "resident",
    "scale_schedule",
    "shot_thresholds",
    "skip_bad",
    "split",
    "written_schedule",
}
LOADER_KEYS = ({*inspect.signature(DataLoader).parameters} - {"shuffle", "generator"}) | {
    "disable_subprocess_warning",
    "num_batch_per_epoch",
}
CLOSED = {
    **dict.fromkeys(LOADERS, LOADER_KEYS),
    "randomness": {"seed", "diff_rank_seed", "deterministic"},
    "split": {"val_fraction", "seed", "copies_together"},
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
    "resident": FLAG,
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
    "optim_wrapper.rho": NOT_NEGATIVE,
    "optim_wrapper.phases.*": DICT,
    "optim_wrapper.phases.*.start": COUNT,
    "optim_wrapper.phases.*.rho": NOT_NEGATIVE,
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
    "default_hooks.checkpoint.min_seconds": NOT_NEGATIVE,
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
    "from_scratch": FLAG,
    "sync_bn": Rule("text", choices=("torch", "mmcv", None)),
    "net": _or_none(TEXT),
    "pretrained.checkpoint": TEXT,
    "pretrained.keep_normalisation": FLAG,
    "pretrained_on": _or_none(TEXT),
    "split": DICT,
    "split.val_fraction": Rule("number", above=0, high=0.9),
    "split.seed": NATURAL,
}


def _is_component(value: Any) -> bool:
    if isinstance(value, Mapping):
        return "type" in value
    return not isinstance(value, (bool, int, float, str, list, tuple)) and value is not None
