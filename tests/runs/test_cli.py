"""What the command lines share."""

from __future__ import annotations

import argparse

import pytest

from lt_plugins.errors import UserInputError
from lt_plugins.runs.cli import OverrideAction, ToolParser, add_config_arguments
from lt_plugins.runs.config import load_config
from tests.tool_process import ROOT

CONFIG = str(ROOT / "configs/ce/ce_r32_digits.py")


def test_a_mistake_in_the_arguments_is_a_user_error() -> None:
    parser = ToolParser(prog="train.py")
    parser.add_argument("--seeds", type=int)
    for arguments in (["--seeds", "x"], ["--sed"], ["a"]):
        with pytest.raises(UserInputError, match=r"; see train.py --help$"):
            parser.parse_args(arguments)


def test_overrides() -> None:
    parser = argparse.ArgumentParser()
    add_config_arguments(parser)
    overrides = ["train_cfg.max_epochs=7", "randomness.seed=3", "find_unused_parameters=True"]
    args = parser.parse_args([CONFIG, "--cfg-options", *overrides])
    cfg = load_config(args.config, args.cfg_options)
    assert (cfg.train_cfg.max_epochs, cfg.randomness.seed, cfg.find_unused_parameters) == (7, 3, True)


@pytest.mark.parametrize("values", [["train_cfg.max_epochs"], ["=3"], ["a b=3"], ["model.x=[1,2"]])
def test_malformed_overrides(values: list[str]) -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("--cfg-options", nargs="+", action=OverrideAction)
    with pytest.raises(UserInputError, match="--cfg-options"):
        parser.parse_args(["--cfg-options", *values])
