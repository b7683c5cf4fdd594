"""Test a trained model and print its metrics; needs no training data."""

from __future__ import annotations

import argparse
import json
from collections.abc import Sequence
from pathlib import Path

from lt_plugins.atomic_write import atomic_write, check_output
from lt_plugins.runs.cli import (
    ToolParser,
    add_config_arguments,
    add_imbalance_argument,
    add_pickle_argument,
    add_resident_argument,
    add_shot_thresholds_argument,
    add_skip_bad_argument,
    add_stage_argument,
    config_overrides,
    user_errors,
)
from lt_plugins.runs.launch import add_launcher_argument, prepare_launch


def parse_args(argv: Sequence[str] | None) -> argparse.Namespace:
    """Read the command line."""
    parser = ToolParser(description=__doc__)
    add_config_arguments(parser)
    add_imbalance_argument(parser)
    add_resident_argument(parser)
    add_shot_thresholds_argument(parser)
    add_skip_bad_argument(parser)
    parser.add_argument(
        "checkpoint", help="checkpoint file, like work_dirs/NAME/epoch_200.pth, or work dir of a run (its last one)"
    )
    add_stage_argument(parser, "test stage N (default: the last one)")
    parser.add_argument("--work-dir", help="where logs go (default: work_dirs/<path of the config>)")
    parser.add_argument("--out", help="also write the metrics to this JSON file")
    add_launcher_argument(parser)
    add_pickle_argument(parser)
    return parser.parse_args(argv)


def test(args: argparse.Namespace) -> None:
    """Do what the command line asks for."""
    from mmengine.dist import is_main_process

    from lt_plugins.checkpoints.checkpoint import guard_pickles
    from lt_plugins.checkpoints.run_checkpoints import resolve_checkpoint
    from lt_plugins.runs.config import load_config
    from lt_plugins.runs.quiet_runner import QuietRunner
    from lt_plugins.runs.spec import parse_spec, run_name, stage_source

    guard_pickles(args.allow_pickle)
    cfg = load_config(args.config, config_overrides(args), ["test"], data=args.data, stage=args.stage)
    work_dir = args.work_dir or cfg.get("work_dir") or str(Path("work_dirs", run_name(args.config, args.data)))
    cfg.work_dir = stage_source(work_dir, args.stage)
    checkpoint = resolve_checkpoint(stage_source(args.checkpoint, args.stage), args.allow_pickle)
    if args.out:
        check_output(args.out, [parse_spec(args.config).file, checkpoint])
    cfg.load_from, cfg.resume = checkpoint, False
    prepare_launch(cfg, args.launcher)
    metrics = QuietRunner.from_cfg(cfg).test()
    if is_main_process():
        text = json.dumps(metrics, indent=2, default=float)
        print(text)
        if args.out:
            atomic_write(args.out, text.encode())


def main(argv: Sequence[str] | None = None) -> None:
    """Test."""
    with user_errors():
        test(parse_args(argv))


if __name__ == "__main__":
    main()
