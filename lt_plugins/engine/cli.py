"""What all command lines share: one-line errors, config files with overrides, the guard against pickles.

A tool is a thin ``main``::

    def main(argv: Sequence[str] | None = None) -> None:
        with user_errors():
            parser = argparse.ArgumentParser(description=__doc__)
            add_config_arguments(parser)       # CONFIG --cfg-options
            add_pickle_argument(parser)        # --allow-pickle, for a tool that reads a checkpoint
            args = parser.parse_args(argv)
            guard_pickles(args.allow_pickle)   # before anything is loaded, by mmengine's runner too
            cfg = load_config(args.config, args.cfg_options)
            checkpoint = load_checkpoint(args.checkpoint, allow_pickle=args.allow_pickle)
"""

from __future__ import annotations

import argparse
import inspect
import os
import pickle
import re
import sys
import textwrap
import traceback
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from difflib import get_close_matches
from pathlib import Path
from typing import Any
from urllib.error import URLError

import torch
import torch.distributed as dist
from mmengine.config import Config, DictAction
from mmengine.config.utils import ConfigParsingError
from mmengine.runner import Runner

from lt_plugins.compat import check_detection
from lt_plugins.engine.checkpoint import ALLOW_PICKLE_OPTION
from lt_plugins.errors import UserInputError

DEBUG_VARIABLE = "LT_PLUGINS_DEBUG"

# Keys that mmengine's runner reads and a config need not have.
RUNNER_KEYS = {*inspect.signature(Runner).parameters} | {
    "activation_checkpointing",
    "compile",
    "custom_imports",
    "find_unused_parameters",
    "model_wrapper_cfg",
}

# How mmengine, python and torch word a mistake in a config, once the components are built from it.
CONFIG_MISTAKE = re.compile(
    r"is not in the .* registry|unexpected keyword argument|missing \d+ required (positional|keyword-only) argument"
    r"|loaded state dict .* (parameter groups|match the size)"
)


class OverrideAction(DictAction):
    """``--cfg-options key=value ...`` of OpenMMLab; a malformed one is a :class:`UserInputError`."""

    def __call__(self, parser: Any, namespace: Any, values: Sequence[str], option_string: str | None = None) -> None:
        """Parse the pairs.

        Args:
            parser: The argument parser.
            namespace: Takes the result.
            values (Sequence[str]): ``key=value`` strings.
            option_string (str | None): The option as given.

        Raises:
            UserInputError: If one is not ``key=value``.
        """
        for value in values:
            if not re.match(r"[^=\s]+=", value):
                raise UserInputError(f"{option_string} {value!r} is not key=value, like randomness.seed=1.")
        try:
            super().__call__(parser, namespace, values, option_string)
        except (ValueError, AssertionError, IndexError) as error:
            raise UserInputError(f"{option_string} {' '.join(values)!r} cannot be parsed: {error}") from error


def parse_overrides(pairs: Sequence[str]) -> dict[str, Any]:
    """Read the values of ``--cfg-options`` where the text is needed as well, to hand it on to another tool.

    Args:
        pairs (Sequence[str]): ``key=value`` strings.

    Returns:
        dict: Dotted keys and values.

    Raises:
        UserInputError: If one is not ``key=value``.
    """
    parser = argparse.ArgumentParser()
    parser.add_argument("--cfg-options", nargs="*", action=OverrideAction, default={})
    return dict(parser.parse_args(["--cfg-options", *pairs]).cfg_options)


def add_config_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the positional ``config`` and ``--cfg-options``.

    Args:
        parser (ArgumentParser): Extended in place.
    """
    parser.add_argument("config", help="config file, like configs/lpa/paco_r50_inat.py")
    parser.add_argument(
        "--cfg-options",
        nargs="+",
        action=OverrideAction,
        metavar="KEY=VALUE",
        help="override config values, like train_cfg.max_epochs=20 randomness.seed=1 key='[a,b]'",
    )


def add_pickle_argument(parser: argparse.ArgumentParser) -> None:
    """Add ``--allow-pickle``; what it says goes to :func:`lt_plugins.engine.checkpoint.guard_pickles`.

    Args:
        parser (ArgumentParser): Extended in place.
    """
    parser.add_argument(
        ALLOW_PICKLE_OPTION,
        action="store_true",
        help="run the pickles in checkpoints: they can do anything, so only for files from a source you trust",
    )


def load_config(path: str, overrides: dict[str, Any] | None = None) -> Config:
    """Read a config file and merge overrides into it.

    Args:
        path (str): The config file.
        overrides (dict | None): Dotted keys and values, as ``--cfg-options`` gives them.

    Returns:
        Config: The config.

    Raises:
        UserInputError: If the file is missing or not a config, or an override does not fit it.
    """
    if not Path(path).is_file():
        raise UserInputError(f"config {path} does not exist; the ready ones are listed by: find configs -name '*.py'")
    try:
        cfg = Config.fromfile(path)
    except (
        OSError,
        ImportError,
        SyntaxError,
        NameError,
        LookupError,
        AttributeError,
        TypeError,
        ConfigParsingError,
    ) as error:
        if isinstance(error, ImportError) and "mmdet" in str(error):
            check_detection()  # says what is missing, and the command that installs it
        reason = (str(error).splitlines() or [""])[0]
        raise UserInputError(f"config {path} cannot be read: {type(error).__name__}: {reason}") from error
    for key in overrides or {}:
        top = key.split(".")[0]
        if top not in cfg and top not in RUNNER_KEYS:
            near = get_close_matches(top, {*cfg.keys(), *RUNNER_KEYS}, n=1)
            raise UserInputError(
                f"--cfg-options {key}: the config has no {top!r}"
                + (f"; did you mean {near[0]!r}?" if near else f"; it has {', '.join(sorted(cfg.keys()))}.")
            )
    try:
        cfg.merge_from_dict(overrides or {})
    except (KeyError, TypeError, IndexError, AssertionError, ValueError) as error:
        reason = textwrap.shorten(str(error), 200)  # mmengine prints the whole list that an index exceeds
        raise UserInputError(f"--cfg-options {overrides} does not fit {path}: {reason}") from error
    return cfg


@contextmanager
def user_errors() -> Iterator[None]:
    """Turn what the user can mend into one line ``error: ...`` on stderr and exit code 1; a bug keeps its traceback.

    With several processes the line appears once, and every process exits with 1. ``LT_PLUGINS_DEBUG=1`` shows the
    traceback of these errors too.
    """
    try:
        yield
    except (UserInputError, FileNotFoundError, NotADirectoryError, IsADirectoryError, PermissionError) as error:
        _exit(error)
    except URLError as error:
        _exit(UserInputError(f"download failed ({error.reason}); put the file where docs/data.md says by hand."))
    except torch.OutOfMemoryError as error:
        _exit(UserInputError(f"{error} Lower train_dataloader.batch_size, or train with --amp."))
    except pickle.UnpicklingError as error:
        _exit(UserInputError(f"{error}; if you trust the file, allow its pickles with {ALLOW_PICKLE_OPTION}."))
    except RuntimeError as error:
        # A connection that broke because another process stopped, which has said why.
        if dist.is_available() and dist.is_initialized() and _count_reports(0) > 0:
            raise SystemExit(1) from error
        raise
    except (KeyError, TypeError, ValueError) as error:
        if not CONFIG_MISTAKE.search(str(error)):
            raise
        _exit(UserInputError(f"the config does not fit the code: {error}"))


def _exit(error: Exception) -> None:
    if os.environ.get(DEBUG_VARIABLE) == "1":
        traceback.print_exc()
    text = f"{error.strerror}: {error.filename}" if isinstance(error, OSError) and error.filename else str(error)
    if _is_first_to_report():
        print(f"error: {' '.join(text.split())}", file=sys.stderr, flush=True)  # noqa: T201
    raise SystemExit(1)


def _is_first_to_report() -> bool:
    """Whether this process should print: the first of all that fail, or rank 0 before the processes are connected."""
    if dist.is_available() and dist.is_initialized():
        return _count_reports(1) == 1
    return os.environ.get("RANK", os.environ.get("SLURM_PROCID", "0")) == "0"


def _count_reports(more: int) -> int:
    """Add to the number of processes that have failed, and return it."""
    try:
        return dist.distributed_c10d._get_default_store().add("lt_plugins/errors", more)
    except dist.DistError:  # the first process, which keeps the count, has gone: it failed and has said so
        return 2
