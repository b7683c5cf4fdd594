"""What all command lines share: one-line errors, config files with overrides, the guard against pickles.

A tool is a thin ``main``::

    def main(argv: Sequence[str] | None = None) -> None:
        with user_errors():
            parser = ToolParser(description=__doc__)
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
import re
import textwrap
from collections.abc import Sequence
from difflib import get_close_matches
from pathlib import Path
from typing import Any, NoReturn

from mmengine.config import Config, DictAction
from mmengine.config.utils import ConfigParsingError
from mmengine.runner import Runner

from lt_plugins.compat import check_detection
from lt_plugins.engine.checkpoint import ALLOW_PICKLE_OPTION
from lt_plugins.engine.user_errors import user_errors
from lt_plugins.errors import UserInputError

# Keys that mmengine's runner reads and a config need not have.
RUNNER_KEYS = {*inspect.signature(Runner).parameters} | {
    "activation_checkpointing",
    "compile",
    "custom_imports",
    "find_unused_parameters",
    "model_wrapper_cfg",
}

__all__ = [
    "OverrideAction",
    "ToolParser",
    "add_config_arguments",
    "add_pickle_argument",
    "load_config",
    "parse_overrides",
    "user_errors",
]


class ToolParser(argparse.ArgumentParser):
    """A parser of arguments whose mistakes are a :class:`UserInputError`: one line, as all others."""

    def error(self, message: str) -> NoReturn:
        """Refuse the command line.

        Args:
            message (str): What argparse says about it.

        Raises:
            UserInputError: Always.
        """
        raise UserInputError(f"{message}; see {self.prog} --help")


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
    parser = ToolParser()
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
