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
import re
import textwrap
from collections.abc import Sequence
from typing import Any, NoReturn

from mmengine.config import DictAction

from lt_plugins.checkpoints.checkpoint import ALLOW_PICKLE_OPTION
from lt_plugins.errors import UserInputError
from lt_plugins.runs.config import load_config
from lt_plugins.runs.user_errors import user_errors

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
        raise UserInputError(f"{textwrap.shorten(message, 400)}; see {self.prog} --help")


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
        except (ValueError, AssertionError, IndexError, RecursionError) as error:
            raise UserInputError(
                f"{option_string} {textwrap.shorten(' '.join(values), 200)!r} cannot be parsed "
                f"({textwrap.shorten(str(error), 100)}); a dict in a list goes into a config file."
            ) from error


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
    """Add ``--allow-pickle``; what it says goes to :func:`lt_plugins.checkpoints.checkpoint.guard_pickles`.

    Args:
        parser (ArgumentParser): Extended in place.
    """
    parser.add_argument(
        ALLOW_PICKLE_OPTION,
        action="store_true",
        help="run the pickles in checkpoints: they can do anything, so only for files from a source you trust",
    )
