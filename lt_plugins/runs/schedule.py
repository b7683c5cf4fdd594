"""Schedules: scales param schedulers and hooks to the length of the training.

A config gives its length twice: in ``train_cfg`` and in what happens when, that is in ``param_scheduler`` and in the
first epochs of hooks, of deferred class weights, sampling and mixing, and of the phases of an optimiser. Whoever
changes the first, as by ``--cfg-options train_cfg.max_epochs=4``, means a shorter training of the same shape, so the
second is scaled with it. ``scale_schedule = False`` in the config leaves it alone. ``--shorten N`` is the same for all
stages of a run at once, and scales how often hooks come, too.
"""

from __future__ import annotations

import copy
import inspect
from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass
from fractions import Fraction
from typing import Any

from mmengine.config import Config
from mmengine.registry import HOOKS
from mmengine.runner import Runner

from lt_plugins.checks.component_check import find_component
from lt_plugins.errors import UserInputError

SWITCH = "--cfg-options scale_schedule=False"
# Arguments of hooks, of samplers, and of parts of the model, that name a first epoch, or a first step.
MODEL_STARTS = (
    *("reweight_from", "switch_from", "mix_from", "mix_until", "translate_from", "queue_from", "prototypes_from"),
)
STARTS = ("start", "begin_epoch", "begin_iter", *MODEL_STARTS)
# Arguments that list epochs: of hooks, and of auxiliary losses pairs of an epoch and a weight.
EPOCH_LISTS = ("milestones", "weights")
# Arguments of schedulers that count epochs or steps.
TIMES = ("begin", "end", "T_max", "total_steps", "step_size", "milestones", "periods", "cool_down_time")
WARM_UPS = ("LinearLR", "LinearParamScheduler", "LinearMomentum", "ConstantLR", "ConstantParamScheduler")
FOREVER = 10**9  # mmengine's default end
MIN_SHORTENED = 10  # epochs that --shorten leaves


@dataclass(frozen=True)
class Length:
    """Length of a training, in epochs or steps.

    Args:
        total (int): Its epochs; of a loop by iterations, its steps.
        steps (int): Steps an epoch; 1 in a loop by iterations.
        by_epoch (bool): Whether the loop counts epochs.
    """

    total: int
    steps: int
    by_epoch: bool

    def __str__(self) -> str:
        return f"{self.total} {self.unit}"

    @property
    def unit(self) -> str:
        """Unit of the loop: epochs or iterations."""
        return "epochs" if self.by_epoch else "iterations"

    def of(self, scheduler: dict) -> int:
        """Length in the unit of a scheduler.

        Args:
            scheduler (dict): Its config.
        """
        return self.total * (1 if counts_epochs(scheduler) or not self.by_epoch else self.steps)


def training_length(cfg: Config) -> int | None:
    """Read the length of a training in epochs or, of a loop by iterations, steps; None if it has none.

    Args:
        cfg (Config): The config of a run.
    """
    train_cfg = cfg.get("train_cfg")
    if not isinstance(train_cfg, dict):  # of no kind that a training has: the check of the config says so
        return None
    length = train_cfg.get("max_iters") or train_cfg.get("max_epochs")
    return length if isinstance(length, int) and length > 0 else None


def follow_overrides(cfg: Config, written: int | None, given: Collection[str]) -> None:
    """Scale the first epochs of hooks and the like with an override of the length, and note the length as written.

    What is overridden itself stays as it is given.

    Args:
        cfg (Config): The config with its overrides; changed in place.
        written (int | None): Its length without them.
        given (Collection[str]): Dotted keys of the overrides.

    Raises:
        UserInputError: If ``scale_schedule`` is neither True nor False.
    """
    if not isinstance(cfg.get("scale_schedule", True), bool):
        raise UserInputError(f"scale_schedule={cfg.scale_schedule!r} must be True or False.")
    noted: dict[str, Any] = {}
    if any(key.split(".")[0] == "param_scheduler" for key in given):
        noted["is_given"] = True
    length = training_length(cfg)
    if written is not None and length is not None and written != length and cfg.get("scale_schedule", True):
        noted |= {"length": written, "hooks": _scale_starts(cfg, Fraction(length, written), length, given)}
    if noted:
        cfg.written_schedule = noted


def shorten_training(cfg: Config, divisor: int) -> None:
    """Shorten a training and everything in it in proportion.

    Scaled are the length and, with it, the schedule (:func:`fit_schedule`), the first epochs of hooks, and the
    intervals of ``custom_hooks``. At least :data:`MIN_SHORTENED` epochs (or iterations) stay, or as many as there are.
    The interval of evaluation stays, so that their share of the time does, but for two evaluations at least; a run that
    is evaluated at its end alone still is.

    Args:
        cfg (Config): The config of a stage; changed in place.
        divisor (int): How many times shorter.

    Raises:
        UserInputError: If the divisor is not positive, or the config has no length or keeps its schedule as written.
    """
    if divisor < 1:
        raise UserInputError(f"--shorten {divisor} must be 1 or more.")
    length = training_length(cfg)
    if length is None:
        raise UserInputError("--shorten: train_cfg has neither max_epochs nor max_iters; give one.")
    if not cfg.get("scale_schedule", True):
        raise UserInputError("--shorten scales the schedule, and scale_schedule=False keeps it as written; drop one.")
    shorter = max(round(length / divisor), min(length, MIN_SHORTENED))
    if shorter == length:
        return
    train_cfg = cfg.train_cfg
    train_cfg["max_iters" if train_cfg.get("max_iters") else "max_epochs"] = shorter
    if "val_interval" in train_cfg:
        at_the_end = train_cfg.val_interval >= length
        train_cfg.val_interval = shorter if at_the_end else min(train_cfg.val_interval, max(shorter // 2, 1))
    _write_intervals(cfg)
    noted = cfg.get("written_schedule") or {}
    hooks = _scale_starts(cfg, Fraction(shorter, length), shorter, (), intervals=True)
    noted = {"length": length, **noted, "hooks": {**hooks, **noted.get("hooks", {})}}
    noted.pop("is_given", None)  # a schedule of the command line is scaled as well
    cfg.written_schedule = noted


def _write_intervals(cfg: Config) -> None:
    """Write the default intervals of ``custom_hooks`` into the config, where it does not give them."""
    for hook in cfg.get("custom_hooks") or ():
        component = find_component(hook["type"], HOOKS, cfg.get("default_scope") or "mmengine")
        arguments = {} if component is None else inspect.signature(component).parameters
        default = arguments["interval"].default if "interval" in arguments else None
        if isinstance(default, int) and "interval" not in hook:
            hook["interval"] = default


def is_short(cfg: Mapping[str, Any]) -> bool:
    """Check whether a training is shorter than that of its config file.

    Args:
        cfg (Mapping[str, Any]): The config of a run, as it is or as dumped.
    """
    train_cfg, written = cfg.get("train_cfg") or {}, (cfg.get("written_schedule") or {}).get("length")
    length = train_cfg.get("max_iters") or train_cfg.get("max_epochs")
    return bool(written and length and length < written)


def fit_schedule(runner: Runner) -> None:
    """Scale the schedule of a runner to the length of its training, before it begins.

    The dump of the config shows the schedule that is used, and ``written_schedule`` the one that was written.

    Args:
        runner (Runner): Its ``param_schedulers`` are still configs; they and its config are changed in place.

    Raises:
        UserInputError: If a milestone or the start of a hook would never come.
    """
    cfg = runner.cfg
    total, schedulers = training_length(cfg), cfg.get("param_scheduler") or []
    schedulers = [schedulers] if "type" in schedulers else schedulers
    if total is None or not isinstance(schedulers, Sequence):
        return
    by_epoch = "max_iters" not in cfg.train_cfg
    length = Length(total, len(runner.train_dataloader) if by_epoch else 1, by_epoch)
    if not cfg.get("scale_schedule", True):
        if late := " and ".join(text for _, text in unreachable(cfg, schedulers, length)):
            runner.logger.warning(f"Training ends after {length}, before {late}.")
        return
    noted = cfg.get("written_schedule") or {}
    notes = [f"{key} {before} -> {_value(cfg, key)}" for key, before in noted.get("hooks", {}).items()]
    written = explicit_length(schedulers, length)
    if written is None and "length" in noted and "param_scheduler" not in noted:
        written = Fraction(noted["length"])
    if schedulers and written is not None and not noted.get("is_given") and not _is_same(written, length):
        scaled = [scale_scheduler(item, total / written, length) for item in schedulers]
        dropped = [item["type"] for item, new in zip(schedulers, scaled, strict=True) if new is None]
        notes.insert(0, f"written for {float(written):g} {length.unit} and scaled to {total}")
        notes += [f"{name} is left out" for name in dropped]
        cfg.written_schedule = {"hooks": {}, **noted, "param_scheduler": schedulers}
        schedulers = [item for item in scaled if item is not None]
        runner.param_schedulers = cfg.param_scheduler = schedulers
        runner.dump_config()
    never = dict(unreachable(cfg, schedulers, length))
    scaled_hooks = noted.get("hooks", {})
    notes += [f"{key} never comes" for key in never if key in scaled_hooks]  # one epoch has one phase
    if notes:
        runner.logger.info(f"The schedule was {', '.join(notes)} ({SWITCH} keeps it).")
    if late := " and ".join(text for key, text in never.items() if key not in scaled_hooks):
        raise UserInputError(
            f"training ends after {length}, before {late}; set values below {total}, or keep them with {SWITCH}."
        )


def explicit_length(schedulers: Sequence[dict], length: Length) -> Fraction | None:
    """Find the end that the schedulers state.

    Args:
        schedulers (Sequence[dict]): Their configs.
        length (Length): Of the training.

    Returns:
        Fraction | None: The last of their ends, in what the loop counts; None if none says when it ends. A warm-up does
        not count.
    """
    ends = []
    for item in schedulers:
        begin, end = item.get("begin", 0), item.get("end")
        if is_warm_up(item) and begin == 0:
            continue
        if end is None and "CosineAnnealing" in item["type"] and item.get("T_max"):
            end = begin + item["T_max"]
        if end is None and item.get("periods"):
            end = begin + sum(item["periods"])
        if end is None and item.get("total_steps"):
            end = begin + item["total_steps"]
        if end is not None and end < FOREVER:
            ends.append(Fraction(end) * length.total / length.of(item))
    return max(ends, default=None)


def scale_scheduler(item: dict, ratio: Fraction, length: Length) -> dict | None:
    """Scale the times of a scheduler.

    It keeps counting epochs where all times stay whole epochs, else it counts steps.

    Args:
        item (dict): Its config.
        ratio (Fraction): New length over the written one.
        length (Length): The new one.

    Returns:
        dict | None: The config of the scaled one; None if nothing is left of it, or of a warm-up fewer than two steps
        (mmengine's ends at the full value after that).
    """
    times: dict[str, list[Fraction]] = {}
    for name in TIMES:
        value = item.get(name)
        if value is not None and value != FOREVER:
            times[name] = [Fraction(one) * ratio for one in (value if isinstance(value, Sequence) else [value])]
    scaled = copy.deepcopy(item)
    step = Fraction(1)
    if (
        length.by_epoch
        and counts_epochs(item)
        and any(one.denominator > 1 for value in times.values() for one in value)
    ):
        step = Fraction(length.steps)
        scaled["by_epoch"] = False
        scaled.pop("convert_to_iter_based", None)
    for name, values in times.items():
        rounded = [round(one * step) for one in values]
        scaled[name] = rounded if isinstance(item[name], Sequence) else rounded[0]
    if "gamma" in item and "milestones" not in item and "step_size" not in item:
        scaled["gamma"] = float(item["gamma"]) ** float(1 / (ratio * step))  # an exponential decay falls as far
    total = length.of(scaled)
    begin, end = scaled.get("begin", 0), min(scaled.get("end", total), total)
    taken = (end - begin) * (length.steps if scaled.get("convert_to_iter_based") else 1)
    if taken < (2 if is_warm_up(item) else 1) or ("milestones" in item and total == 1):
        return None
    if "milestones" in item:
        scaled["milestones"] = [min(max(one, 1), total - 1) for one in scaled["milestones"]]
    if item.get("T_max") and item.get("begin", 0) + item["T_max"] == item.get("end", length.total / ratio):
        scaled["T_max"] = end - begin
    for name in ("T_max", "total_steps", "step_size"):
        if name in times:
            scaled[name] = max(scaled[name], 1)
    return scaled


def unreachable(cfg: Config, schedulers: Sequence[dict], length: Length) -> Iterator[tuple[str, str]]:
    """List the events that a config plans after the end of the training.

    Args:
        cfg (Config): The config of a run.
        schedulers (Sequence[dict]): Configs of the schedulers.
        length (Length): Of the training.

    Yields:
        tuple[str, str]: The key, and key, value and type as shown to the user.
    """
    for index, item in enumerate(schedulers):
        last = length.of(item)
        if any(one >= last for one in item.get("milestones", ())):
            key = f"param_scheduler.{index}.milestones"
            yield key, f"{key}={list(item['milestones'])}"
        elif item.get("begin", 0) >= last:
            key = f"param_scheduler.{index}.begin"
            yield key, f"{key}={item['begin']} ({item['type']})"
    for path, part in _timed(cfg):
        for name in STARTS:
            value = part.get(name)
            last = length.total * length.steps if name == "begin_iter" else length.total
            # A start counts from 0, mmengine's begin_* from 1.
            if isinstance(value, int) and value >= last + name.startswith("begin"):
                yield f"{path}.{name}", f"{path}.{name}={value}{_kind(part)}"
        for name in EPOCH_LISTS:
            if max(_epochs(part.get(name)), default=0) >= length.total:
                yield f"{path}.{name}", f"{path}.{name}={list(part[name])}{_kind(part)}"


def _kind(part: dict) -> str:
    """Type of a component, as a remark in a message."""
    return f" ({part['type']})" if "type" in part else ""


def is_warm_up(item: dict) -> bool:
    """Check whether a scheduler is a warm-up, which must reach its end.

    Args:
        item (dict): Its config.
    """
    return item["type"].split(".")[-1] in WARM_UPS


def counts_epochs(item: dict) -> bool:
    """Check whether the times in a scheduler's config are epochs.

    Args:
        item (dict): Its config.
    """
    return bool(item.get("by_epoch", True))


def _is_same(written: Fraction, length: Length) -> bool:
    """Compare two ends; one in steps may miss the last epoch's end by less than an epoch."""
    return written == length.total or (written.denominator > 1 and abs(written - length.total) < 1)


def _timed(cfg: Config) -> Iterator[tuple[str, dict]]:
    """Yield dotted key and config of what begins at some time: hooks, samplers, optimiser phases, model parts."""
    for index, hook in enumerate(cfg.get("custom_hooks") or ()):
        yield f"custom_hooks.{index}", hook
    for name, hook in (cfg.get("default_hooks") or {}).items():
        yield f"default_hooks.{name}", hook or {}
    loader = cfg.get("train_dataloader")
    for key in ("sampler", "batch_sampler") if isinstance(loader, dict) else ():
        yield from _find_timed(loader.get(key), f"train_dataloader.{key}", STARTS)
    for index, phase in enumerate((cfg.get("optim_wrapper") or {}).get("phases") or ()):
        yield f"optim_wrapper.phases.{index}", phase
    yield from _find_timed(cfg.get("model"), "model", (*MODEL_STARTS, "weights"))


def _find_timed(node: Any, path: str, starts: Sequence[str]) -> Iterator[tuple[str, dict]]:
    """Yield dotted key and config of each part of a model, or of a sampler, that has a start."""
    if isinstance(node, dict) and any(name in node for name in starts):
        yield path, node
    if isinstance(node, (dict, list, tuple)):
        for key, value in node.items() if isinstance(node, dict) else enumerate(node):
            if key != "teachers":  # they are trained
                yield from _find_timed(value, f"{path}.{key}", starts)


def _scale_starts(
    cfg: Config, ratio: Fraction, length: int, given: Collection[str], intervals: bool = False
) -> dict[str, Any]:
    """Scale the first epochs of :func:`_timed`, but for overridden ones, and return the old ones by dotted key.

    Intervals of ``custom_hooks`` are scaled if asked for, others if they are the whole length.
    """
    before: dict[str, Any] = {}

    def scaled(start: int) -> int:
        return min(max(round(start * ratio), 1), max(length - 1, 1)) if start else 0

    for path, part in _timed(cfg):
        for name in (*STARTS, *EPOCH_LISTS, "interval"):
            key, value = f"{path}.{name}", part.get(name)
            if any(above in given for above in (key, path, path.rpartition(".")[0], path.split(".")[0])):
                continue
            if name in EPOCH_LISTS:
                if not isinstance(value, (list, tuple)) or not _epochs(value):
                    continue
                part[name] = [scaled(one) if isinstance(one, int) else [scaled(one[0]), *one[1:]] for one in value]
            elif not isinstance(value, int) or value < 1:
                continue
            elif name != "interval":
                part[name] = scaled(value)
            elif intervals and path.startswith("custom_hooks"):
                part[name] = max(round(value * ratio), 1)
            elif value * ratio == length:  # once, at the end
                part[name] = length
            else:
                continue
            before[key] = value
    return before


def _epochs(value: Any) -> list[int]:
    """The epochs of a list of them, or of pairs that begin with one; none of anything else."""
    items = value if isinstance(value, (list, tuple)) else []
    firsts = [item[0] if isinstance(item, (list, tuple)) and item else item for item in items]
    return firsts if all(isinstance(first, int) for first in firsts) else []


def _value(cfg: Config, key: str) -> Any:
    """Read the value of a dotted key of :func:`_timed`."""
    path, _, name = key.rpartition(".")
    return dict(_timed(cfg))[path][name]


def dotted_keys(overrides: Mapping[str, Any]) -> Iterator[str]:
    """Flatten nested overrides to dotted keys.

    Args:
        overrides (Mapping[str, Any]): The overrides, as ``--cfg-options`` gives them.
    """
    for key, value in overrides.items():
        if isinstance(value, dict) and value:
            yield from (f"{key}.{inner}" for inner in dotted_keys(value))
        else:
            yield str(key)
