"""Config files: read without running anything but Python configs, overridden from the command line, and checked."""

from __future__ import annotations

import os
import textwrap
import traceback
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from mmengine.config import Config

from lt_plugins.checks.config_check import check_config
from lt_plugins.checks.config_rules import RUNNER_KEYS, Loop
from lt_plugins.checks.did_you_mean import did_you_mean
from lt_plugins.compat import check_detection
from lt_plugins.errors import UserInputError
from lt_plugins.runs.schedule import follow_overrides, training_length

MAX_FILES = 100  # of a config and all its bases; ours have at most nine

# What mmengine reads each config and each base of it with; either calls itself for the bases.
_READERS = ("_file2dict", "_parse_lazy_import")


def load_config(
    path: str, overrides: dict[str, Any] | None = None, needs: Sequence[Loop] = (), allow_parts: bool = False
) -> Config:
    """Read a config file, merge overrides into it and check the result.

    Args:
        path (str): The config file.
        overrides (dict | None): Dotted keys and values, as ``--cfg-options`` gives them.
        needs (Sequence[Loop]): What the config must be able to do, of ``"train"``, ``"val"`` and ``"test"``. Defaults
            to nothing.
        allow_parts (bool): Whether it may be a part without a model, like those of data sets. Defaults to False.

    Returns:
        Config: The config.

    Raises:
        UserInputError: If the file cannot be read, an override does not fit it, or it is no config of a run (see
            :func:`~lt_plugins.checks.config_check.check_config`).
    """
    cfg = read_config(path)
    for key in overrides or {}:
        top = key.split(".")[0]
        if top not in cfg and top not in RUNNER_KEYS:
            raise UserInputError(
                f"--cfg-options {key}: the config has no {top!r}{did_you_mean(top, {*cfg.keys(), *RUNNER_KEYS})}"
            )
    written = training_length(cfg)
    try:
        cfg.merge_from_dict(overrides or {})
    except (KeyError, TypeError, IndexError, AssertionError, ValueError, AttributeError) as error:
        reason = textwrap.shorten(str(error), 200)  # mmengine prints the whole list that an index exceeds
        shown = textwrap.shorten(str(overrides), 200)
        raise UserInputError(f"--cfg-options {shown} does not fit {path}: {reason}") from error
    check_config(cfg, needs, allow_parts)
    follow_overrides(cfg, written, overrides or {})
    return cfg


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
        state = "is no regular file" if os.path.lexists(path) else "does not exist"
        raise UserInputError(f"config {path!s:.300} {state}; the ready ones are listed by: find configs -name '*.py'")
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
    """Let mmengine read nothing but Python files, none of them within itself, and say in which one an error arose."""
    originals = {name: getattr(Config, name) for name in _READERS}
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
                    f"{_shown(open_files[-1])}."
                )
            if real in open_files:
                circle = [*open_files[open_files.index(real) :], real]
                raise UserInputError(f"{role} that goes round in a circle: {' -> '.join(map(_shown, circle[-6:]))}.")
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

    try:
        for name, read in originals.items():
            setattr(Config, name, staticmethod(guard(read)))
        yield
    finally:
        for name, read in originals.items():
            setattr(Config, name, staticmethod(read))


def _unreadable(config: str, file: str, error: BaseException) -> UserInputError:
    """One line with the file, the line and the reason of an error that arose in a config."""
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
    base = "" if _is_same(config, file) else f" in its base {_shown(file)}"
    place = f", line {lines[-1]}" if lines else ""
    return UserInputError(f"config {config} cannot be read{base}{place}: {type(error).__name__}: {reason}{hint}.")


def _import_lazily_named(node: Any) -> None:
    """Reach for every value once: what a config of mmengine's newer kind imports is imported only then."""
    if isinstance(node, dict):
        for value in node.values():
            _import_lazily_named(value)
    elif isinstance(node, (list, tuple)):
        for value in node:
            _import_lazily_named(value)


def _is_same(one: str, other: str) -> bool:
    return os.path.realpath(one) == os.path.realpath(other)


def _shown(path: str) -> str:
    shown = os.path.relpath(path)
    return path if shown.startswith("..") else shown
