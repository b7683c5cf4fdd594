"""Config files: reads Python configs with variants, stages and overrides of the command line, and checks them."""

from __future__ import annotations

import copy
import itertools
import os
import re
import textwrap
import traceback
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any, NamedTuple

from mmengine.config import Config
from mmengine.config.config import DELETE_KEY

from lt_plugins.checks.config_check import check_config
from lt_plugins.checks.config_rules import RUNNER_KEYS, Loop
from lt_plugins.checks.did_you_mean import did_you_mean
from lt_plugins.compat import check_detection
from lt_plugins.errors import UserInputError
from lt_plugins.evaluation.shot_thresholds import set_shot_thresholds
from lt_plugins.resources import SCOPE, find_config, ready_configs
from lt_plugins.runs.derived_data import derive_datasets, seed_draws
from lt_plugins.runs.imbalance import named_factor, set_factor, variant_factor
from lt_plugins.runs.net import follow_backbone, use_net
from lt_plugins.runs.old_configs import new_spelling
from lt_plugins.runs.own_data import find_data, require_data, use_data
from lt_plugins.runs.pretrained import set_pretrained
from lt_plugins.runs.schedule import dotted_keys, follow_overrides, shorten_training, training_length
from lt_plugins.runs.spec import CONFIGS, STAGE, from_here, is_variant_name, parse_spec
from lt_plugins.runs.teachers import describe_teachers

MAX_FILES = 100  # of a config and all its bases; ours have at most nine
# Settings of a dataset, but for its transforms.
_DATASET = re.compile(r"(train|val|test)_dataloader\.dataset\b(?!.*\bpipeline\b)")
# Overrides that make another network of the backbone, and those that say the width of its features.
_CHANGES_BACKBONE = re.compile(r"model\.backbone(\.(type|depth|arch|model_name))?")
_WIDTH = re.compile(r"model\..*in_channels$")
# What the head of a stage takes from that of the stage before; one of the same type takes all num_... of it.
TAKEN_OVER = ("num_classes", "in_channels")

# What mmengine reads each config and each base of it with; either calls itself for the bases.
_READERS = ("_file2dict", "_parse_lazy_import")
_FINDER = "_get_cfg_path"  # and what it finds a base with


class _Stage(NamedTuple):
    """Stage of a config: the patch of the file and the overrides of the command line.

    Args:
        cfg (Config): Its config, complete.
        written (int | None): Length of its training without the overrides.
        given (frozenset[str]): Dotted keys of the overrides that reach it.
    """

    cfg: Config
    written: int | None
    given: frozenset[str]


def read_stages(
    spec: str, overrides: dict[str, Any] | None = None, data: str | None = None, shorten: int = 1
) -> list[Config]:
    """Read a config file and resolve it: its variants, overrides and stages.

    A stage is the config of the stage before with the file's ``stage2`` (``stage3``, ...) merged over it, as a child
    config would be. A ``model`` there replaces the one before, of which it takes ``backbone`` (without ``init_cfg``),
    ``head.num_classes`` and ``head.in_channels`` where it does not say them; a head of the same type takes all
    ``num_...`` of the head before. A ``model``, ``backbone`` or ``head`` without a ``type`` is merged over that of the
    stage before. With ``from_scratch = True`` a stage does not take the weights of the one before, and its backbone may
    have an ``init_cfg``, by default that of the last stage that began so; it may learn from the stage before all the
    same, by ``model.teachers``. ``hold_out`` and
    ``class_subset`` become datasets last (:func:`~lt_plugins.runs.derived_data.derive_datasets`).

    Args:
        spec (str): ``CONFIG.py[:VARIANT[,VARIANT]]``, a file or the name of a ready config; variants are merged over
            the file in this order, and ``stage1`` (``stage2``, ...) among them leaves out the stages after it.
        overrides (dict | None): Dotted keys and values, as ``--cfg-options`` gives them. One reaches all stages that do
            not say something else; ``stage2.KEY`` reaches the second one, and in the same way those after it.
        data (str | None): Class folders or a list of images in place of the config's datasets, as
            :func:`~lt_plugins.runs.own_data.use_data` takes them.
        shorten (int): How many times shorter to train, see :func:`~lt_plugins.runs.schedule.shorten_training`. Defaults
            to 1.

    Returns:
        list[Config]: One config a stage, in order: complete, without ``variants`` and ``stage2``.

    Raises:
        UserInputError: If the file cannot be read, has no such variant, or an override or stage does not fit it.
    """
    return [stage.cfg for stage in _read(spec, overrides or {}, data, shorten, _no_check)]


def load_stages(
    spec: str,
    overrides: dict[str, Any] | None = None,
    needs: Sequence[Loop] = (),
    allow_parts: bool = False,
    data: str | None = None,
    shorten: int = 1,
) -> list[Config]:
    """Read a config file, resolve it, and check all stages.

    Args:
        spec (str): As for :func:`read_stages`.
        overrides (dict | None): As for :func:`read_stages`.
        needs (Sequence[Loop]): What each stage must be able to do, of ``"train"``, ``"val"`` and ``"test"``. Defaults
            to nothing.
        allow_parts (bool): Whether it may be a part without a model, like those of datasets. Defaults to False.
        data (str | None): As for :func:`read_stages`.
        shorten (int): As for :func:`read_stages`. Defaults to 1.

    Returns:
        list[Config]: One config a stage, in order.

    Raises:
        UserInputError: As :func:`read_stages`, or if a stage is no config of a run (see
            :func:`~lt_plugins.checks.config_check.check_config`).
    """

    def check(cfg: Config) -> None:
        require_data(cfg)
        check_config(cfg, needs, allow_parts)

    return [stage.cfg for stage in _read(spec, overrides or {}, data, shorten, check)]


def load_config(
    spec: str,
    overrides: dict[str, Any] | None = None,
    needs: Sequence[Loop] = (),
    allow_parts: bool = False,
    data: str | None = None,
    stage: int | None = None,
) -> Config:
    """Read a config file, resolve it, check all stages, and return one.

    Args:
        spec (str): As for :func:`read_stages`.
        overrides (dict | None): As for :func:`read_stages`.
        needs (Sequence[Loop]): As for :func:`load_stages`.
        allow_parts (bool): As for :func:`load_stages`. Defaults to False.
        data (str | None): As for :func:`read_stages`.
        stage (int | None): Number of the stage, from 1. Defaults to the last one.

    Returns:
        Config: The config of the stage.

    Raises:
        UserInputError: As :func:`load_stages`, or if there is no such stage.
    """
    stages = load_stages(spec, overrides, needs, allow_parts, data)
    return stages[-1] if stage is None else stages[stage_index(stage, len(stages), spec)]


def stage_index(number: int, total: int, spec: str) -> int:
    """Find the index of the stage that a user asks for.

    Args:
        number (int): Its number, from 1.
        total (int): How many there are.
        spec (str): The config, for the message.

    Raises:
        UserInputError: If there is no such stage.
    """
    if not 1 <= number <= total:
        count = "one stage" if total == 1 else f"{total} stages"
        raise UserInputError(f"stage {number} is asked for, but {spec} has {count}.")
    return number - 1


def _no_check(cfg: Config) -> None:
    """Leave a config unchecked."""


def _read(
    spec: str, overrides: dict[str, Any], data: str | None, shorten: int, check: Callable[[Config], None]
) -> list[_Stage]:
    """Resolve a config, then replace its data, check it, and fit its hooks to the length of the training."""
    factor = named_factor(parse_spec(spec).variants)
    own_data = None if data is None else replace(find_data(data), imbalance_factor=factor)
    stages = _resolve(spec, overrides, own_data is not None)
    for number, stage in enumerate(stages, start=1):
        try:
            if own_data is not None:
                if lost := [key for key in sorted(stage.given) if _DATASET.match(key)]:
                    raise UserInputError(f"--cfg-options {lost[0]}: --data replaces this dataset; drop one of them.")
                use_data(stage.cfg, own_data)
                if "resident" in stage.cfg and "resident" not in stage.given:
                    stage.cfg.resident = False  # they may be of any size and number
            derive_datasets(stage.cfg)
            seed_draws(stage.cfg)
            set_shot_thresholds(stage.cfg)
            check(stage.cfg)
            follow_overrides(stage.cfg, stage.written, stage.given)
            if shorten != 1:
                shorten_training(stage.cfg, shorten)
        except UserInputError as error:
            if len(stages) == 1:
                raise
            raise UserInputError(f"stage {number} of {spec}: {error}") from error
    describe_teachers([stage.cfg for stage in stages], load_config)
    return stages


def _resolve(spec: str, overrides: dict[str, Any], is_own_data: bool) -> list[_Stage]:
    """Resolve a file into its stages, with variants and overrides."""
    parsed = parse_spec(spec)
    path, variants = parsed.file, parsed.variants
    cfg = read_config(path)
    _merge_variants(cfg, [name for name in variants if not STAGE.fullmatch(name)], path, is_own_data)
    _check_stage_keys(cfg, path)
    for name in variants:
        if match := STAGE.fullmatch(name):
            _keep_stages(cfg, int(match[1]), spec)
    lengths = [training_length(stage) for stage in _derive_stages(cfg, path)]
    _merge_overrides(cfg, overrides, spec)
    if cfg.get("net"):
        use_net(cfg)
    elif any(_CHANGES_BACKBONE.fullmatch(key) for key in overrides) and not any(map(_WIDTH.search, overrides)):
        follow_backbone(cfg)
    if cfg.get("pretrained"):
        set_pretrained(cfg, any(key.removeprefix("model.").startswith("data_preprocessor") for key in overrides))
    given: dict[int, set[str]] = {number: set() for number in range(1, len(lengths) + 1)}
    for key in dotted_keys(overrides):
        top, _, rest = key.partition(".")
        number = int(match[1]) if (match := STAGE.fullmatch(top)) else 1
        # It goes on to later stages up to the first that says something else.
        own = rest if match else key
        for later in range(number, len(lengths) + 1):
            if later > number and own.split(".")[0] in cfg[f"stage{later}"]:
                break
            given[later].add(own)
    return [
        _Stage(stage, length, frozenset(keys))
        for stage, length, keys in zip(_derive_stages(cfg, path), lengths, given.values(), strict=True)
    ]


def _merge_variants(cfg: Config, chosen: Sequence[str], path: str, is_own_data: bool) -> None:
    """Merge variants of a config over it, in order; a factor of own data is set where those are."""
    variants = cfg.get("variants") or {}
    if not isinstance(variants, dict) or not all(isinstance(variant, dict) for variant in variants.values()):
        raise UserInputError(f"{path} has variants={variants!r:.100}, expected variants = dict(NAME=dict(...)).")
    if bad := [name for name in variants if not is_variant_name(str(name))]:
        raise UserInputError(
            f"{path} has a variant called {bad[0]!r}; use letters, digits and ._-, and not stageN or shortN, "
            "which have a meaning of their own."
        )
    for name in chosen:
        factor = variant_factor(name)
        if name not in variants and factor is not None:
            if not is_own_data:
                set_factor(cfg, factor, f"{path}:{name}")
            continue
        if name not in variants:
            hint = did_you_mean(name, variants) if variants else ", and no other either."
            raise UserInputError(f"config {path} has no variant {name!r}{hint}")
        for key in variants[name]:
            top = str(key).split(".")[0]
            if not STAGE.fullmatch(top):  # it may add a stage
                _require_known(top, cfg, f"variant {name} of {path}")
        with _fitting(f"variant {name}", path):
            cfg.merge_from_dict(copy.deepcopy(variants[name]))


def _merge_overrides(cfg: Config, overrides: dict[str, Any], spec: str) -> None:
    """Merge ``--cfg-options`` over a config."""
    for key in overrides:
        top, _, rest = key.partition(".")
        _require_known(top, cfg, f"--cfg-options {key}")
        inner = [rest] if rest else overrides[key] if isinstance(overrides[key], dict) else []
        if STAGE.fullmatch(top):
            for name in inner:
                _require_known(name.split(".")[0], cfg, f"--cfg-options {key}")
    with _fitting(f"--cfg-options {textwrap.shorten(str(overrides), 200)}", spec):
        cfg.merge_from_dict(copy.deepcopy(overrides))


def _require_known(key: str, cfg: Config, place: str) -> None:
    """Refuse top-level keys that neither the config has nor the runner reads."""
    if key not in cfg and key not in RUNNER_KEYS:
        raise UserInputError(f"{place}: the config has no {key!r}{did_you_mean(key, {*cfg.keys(), *RUNNER_KEYS})}")


def _check_stage_keys(cfg: Config, path: str) -> None:
    """Refuse stages that are no dicts, or whose numbers do not go up from 2."""
    numbers = sorted(int(match[1]) for key in cfg if (match := STAGE.fullmatch(str(key))))
    for place, number in enumerate(numbers, start=2):
        if number != place:
            hint = "the file itself is stage 1" if number < 2 else f"name it stage{place}"
            raise UserInputError(f"config {path} has stage{number} without stage{place}; {hint}.")
        patch = cfg[f"stage{number}"]
        if not isinstance(patch, dict):
            raise UserInputError(f"config {path} has stage{number}={patch!r:.100}, expected stage{number} = dict(...).")
        for key in patch:
            if STAGE.fullmatch(str(key)) or key == "variants":
                raise UserInputError(f"config {path} has {key} inside of stage{number}; move it beside it.")
            _require_known(str(key), cfg, f"stage{number} of {path}")


def _keep_stages(cfg: Config, number: int, spec: str) -> None:
    """Drop the stages after one, for ``CONFIG.py:stageN``."""
    later = list(_later_stages(cfg))
    for after in later[stage_index(number, 1 + len(later), spec) :]:
        cfg.pop(f"stage{after}")


def _derive_stages(cfg: Config, path: str) -> list[Config]:
    """Derive the config of each stage."""
    first = copy.deepcopy(cfg)
    patches = [first.pop(f"stage{number}") for number in _later_stages(cfg)]
    first.pop("variants", None)
    stages = [first]
    for number, patch in enumerate(patches, start=2):
        with _fitting(f"stage{number}", path):
            stages.append(_next_stage(stages, patch))
    for stage in stages:
        _drop_delete_keys(stage._cfg_dict)
    return stages


def _later_stages(cfg: Config) -> Iterator[int]:
    return itertools.takewhile(lambda number: f"stage{number}" in cfg, itertools.count(2))


def _next_stage(stages: list[Config], patch: dict[str, Any]) -> Config:
    """Derive the config of a stage: that of the last stage with a patch merged over it."""
    before = stages[-1]
    after = copy.deepcopy(before)
    # Where the stage before has started.
    for key, nothing in {"load_from": None, "resume": False, "from_scratch": False}.items():
        if key in after:
            after[key] = nothing
    model = patch.pop("model", None)
    if isinstance(model, dict) and isinstance(before.get("model"), dict):
        from_scratch = bool(patch.get("from_scratch"))
        after.model = _take_over_model(model, _as_begun(stages) if from_scratch else before.model, from_scratch)
    elif model is not None:
        after.model = model
    after.merge_from_dict(patch)
    return after


def _as_begun(stages: list[Config]) -> dict[str, Any]:
    """The model of the last stage, with the initialisation that its backbone had when its weights were begun."""
    model = copy.deepcopy(stages[-1].model)
    begun = next(stage for stage in reversed(stages) if stage is stages[0] or stage.get("from_scratch"))
    backbone, initial = model.get("backbone"), begun.get("model", {}).get("backbone")
    if isinstance(backbone, dict) and isinstance(initial, dict) and backbone.get("type") == initial.get("type"):
        backbone.pop("init_cfg", None)
        backbone.update({key: copy.deepcopy(value) for key, value in initial.items() if key == "init_cfg"})
    return model


def _take_over_model(model: dict[str, Any], before: dict[str, Any], from_scratch: bool) -> dict[str, Any]:
    """Set parts and sizes of the stage before on the model of a stage that has none of its own, or merge the two."""
    if "type" not in model:
        merged = Config({"model": copy.deepcopy(before)})
        merged.merge_from_dict({"model": model})
        if not from_scratch and isinstance(merged.model.get("backbone"), dict):
            merged.model.backbone.init_cfg = None
        return merged.model
    for name in ("backbone", "head"):
        part, earlier = model.get(name), before.get(name)
        if isinstance(part, dict) and isinstance(earlier, dict) and "type" not in part:
            merged = Config({name: copy.deepcopy(earlier)})
            merged.merge_from_dict({name: part})
            model[name] = merged[name]
    backbone, head = before.get("backbone"), before.get("head")
    if isinstance(backbone, dict):
        backbone = copy.deepcopy(backbone)
        model.setdefault("backbone", backbone if from_scratch else {**backbone, "init_cfg": None})
    if isinstance(model.get("head"), dict) and isinstance(head, dict):
        is_same = model["head"].get("type") == head.get("type")
        for key, value in head.items():
            if key in TAKEN_OVER or (is_same and key.startswith("num_")):
                model["head"].setdefault(key, value)
    return model


def _drop_delete_keys(node: Any) -> None:
    """Remove the ``_delete_`` that mmengine leaves where there was nothing to delete."""
    if isinstance(node, dict):
        node.pop(DELETE_KEY, None)
    for value in node.values() if isinstance(node, dict) else node if isinstance(node, (list, tuple)) else ():
        _drop_delete_keys(value)


@contextmanager
def _fitting(what: str, path: str) -> Iterator[None]:
    """Convert the errors of mmengine's merge to one line."""
    try:
        yield
    except (KeyError, TypeError, IndexError, AssertionError, ValueError, AttributeError) as error:
        if isinstance(error, UserInputError):
            raise
        reason = textwrap.shorten(str(error), 200)  # mmengine prints the whole list that an index exceeds
        raise UserInputError(f"{what} does not fit {path}: {reason}") from error


def read_config(path: str | Path) -> Config:
    """Read a config file, which is Python code, with all its bases.

    mmengine would also read YAML and JSON, as a config or as a base of one; its YAML reader runs code that a file
    names (``!!python/object/apply``), so both are refused.

    Args:
        path (str | Path): The config file.

    Returns:
        Config: The config as it is in the file.

    Raises:
        UserInputError: If the file or a base of it is missing, no Python file, a base of itself, or ends in an error.
    """
    path = str(path)
    if os.path.isdir(path):  # noqa: PTH112 (of pathlib's, some raise on names that no file can have)
        raise UserInputError(f"config {path} is a folder; give a file in it, like {Path(path, 'NAME.py')}.")
    if not os.path.isfile(path):  # noqa: PTH113
        if spelling := new_spelling(path):
            raise UserInputError(f"config {path!s:.300} has moved: it is {spelling} now.")
        state = "is no regular file" if os.path.lexists(path) else "does not exist"
        raise UserInputError(f"config {path!s:.300} {state}{_nearest_config(path)}")
    try:
        with _guarded_readers(path):
            cfg = Config.fromfile(path)
        _import_lazily_named(cfg._cfg_dict)
        return cfg
    except UserInputError:
        raise
    except ImportError as error:
        if "mmdet" in str(error):
            check_detection()  # says what is missing, and the command that installs it
        raise _unreadable(path, path, error) from error
    except (Exception, SystemExit) as error:
        raise _unreadable(path, path, error) from error


@contextmanager
def _guarded_readers(config: str) -> Iterator[None]:
    """Guard mmengine's readers: Python files only, no cycles, errors with the file they arose in."""
    originals = {name: getattr(Config, name) for name in (*_READERS, _FINDER)}
    open_files: list[str] = []
    count = 0

    def guard(read: Callable[..., Any]) -> Callable[..., Any]:
        def guarded(filename: str, *args: Any, **kwargs: Any) -> Any:
            nonlocal count
            real = os.path.realpath(filename)
            role = "config" if not open_files else f"config {config} has _base_"
            if not str(filename).endswith(".py"):
                raise UserInputError(
                    f"{role} {filename}, which is not Python; configs are .py files (YAML and JSON are not read, since "
                    "YAML can run code): write it as one."
                )
            if open_files and not os.path.isfile(filename):  # noqa: PTH113
                raise UserInputError(
                    f"{role} {filename!s:.300}, which does not exist; the path is relative to the file that names it, "
                    f"{from_here(open_files[-1])}."
                )
            if real in open_files:
                circle = [*open_files[open_files.index(real) :], real]
                raise UserInputError(f"{role} that goes round in a circle: {' -> '.join(map(from_here, circle[-6:]))}.")
            count += 1
            if count > MAX_FILES:
                raise UserInputError(f"config {config} reads more than {MAX_FILES} files as _base_; name fewer.")
            open_files.append(real)
            try:
                return read(filename, *args, **kwargs)
            except UserInputError:
                raise
            except (Exception, SystemExit) as error:
                if isinstance(error, ImportError) and "mmdet" in str(error):
                    raise
                raise _unreadable(config, real, error) from error
            finally:
                open_files.pop()

        return guarded

    def find(base: str, filename: str) -> tuple[str, str | None]:
        if not str(base).startswith(SCOPE):
            return originals[_FINDER](base, filename)
        ready = find_config(base)
        if ready is None:
            place = from_here(filename)
            raise UserInputError(f"{place} has _base_ {base!s:.300}, which is none{_nearest_config(base)}")
        return str(ready), None

    try:
        for name in _READERS:
            setattr(Config, name, staticmethod(guard(originals[name])))
        setattr(Config, _FINDER, staticmethod(find))
        yield
    finally:
        for name, read in originals.items():
            setattr(Config, name, staticmethod(read))


def _nearest_config(name: str) -> str:
    """End of a message about a config that is missing: the ready one with the nearest name."""
    below = name.removeprefix(SCOPE).removeprefix(f"{CONFIGS}/").removesuffix(".py")
    near = did_you_mean(below, ready_configs())
    return near if near != "." else "; the ready ones are listed by: python tools/configs.py"


def _unreadable(config: str, file: str, error: BaseException) -> UserInputError:
    """Word an error in a config as one line with file, line and reason."""
    hint = ""
    if isinstance(error, SyntaxError) and isinstance(error.__context__, SyntaxError):
        error = error.__context__  # mmengine's own names a temporary copy
    reason = textwrap.shorten(str(error.args[0]) if error.args else "", 300, placeholder=" ...")
    lines = [frame.lineno for frame in traceback.extract_tb(error.__traceback__) if _is_same(frame.filename, file)]
    if isinstance(error, SyntaxError):
        lines = [error.lineno] if error.lineno else []
    elif isinstance(error, UnicodeError):
        reason, hint = "it is not UTF-8", "; save it as UTF-8"
    elif isinstance(error, SystemExit):
        reason, hint = "it ends the program", "; remove exit() or sys.exit()"
    elif isinstance(error, RecursionError):
        reason = "a function in it calls itself without end, or a value contains itself"
    base = "" if _is_same(config, file) else f" in its base {from_here(file)}"
    place = f", line {lines[-1]}" if lines else ""
    return UserInputError(f"config {config} cannot be read{base}{place}: {type(error).__name__}: {reason}{hint}.")


def _import_lazily_named(node: Any) -> None:
    """Read every value once, which imports the lazy imports of mmengine's newer configs."""
    if isinstance(node, dict):
        for value in node.values():
            _import_lazily_named(value)
    elif isinstance(node, (list, tuple)):
        for value in node:
            _import_lazily_named(value)


def _is_same(one: str, other: str) -> bool:
    return os.path.realpath(one) == os.path.realpath(other)
