"""Train a model, in all stages that its config names."""

from __future__ import annotations

import argparse
import os
import sys
import time
from collections.abc import Sequence
from contextlib import nullcontext
from pathlib import Path
from typing import TYPE_CHECKING

from lt_plugins.errors import UserInputError
from lt_plugins.options import OVERWRITE_OPTION, RESUME_OPTION
from lt_plugins.runs.cli import (
    ToolParser,
    add_config_arguments,
    add_early_stop_argument,
    add_imbalance_argument,
    add_pickle_argument,
    add_pretrained_argument,
    add_resident_argument,
    add_shorten_argument,
    add_shot_thresholds_argument,
    add_skip_bad_argument,
    add_val_interval_argument,
    config_overrides,
    user_errors,
)
from lt_plugins.runs.launch import add_launcher_argument, launch_rank, launch_size, prepare_launch
from lt_plugins.runs.trackers import add_tracker_arguments, use_trackers
from lt_plugins.runs.typed_command import resume_command, shared_options

if TYPE_CHECKING:
    from mmengine.config import Config


def parse_args(argv: Sequence[str] | None) -> argparse.Namespace:
    """Read the command line."""
    parser = ToolParser(description=__doc__)
    add_config_arguments(parser)
    add_imbalance_argument(parser)
    add_resident_argument(parser)
    add_shot_thresholds_argument(parser)
    add_skip_bad_argument(parser)
    add_shorten_argument(parser)
    add_pretrained_argument(parser)
    parser.add_argument("--work-dir", help="where logs and checkpoints go (default: work_dirs/<path of the config>)")
    parser.add_argument(
        RESUME_OPTION,
        nargs="?",
        const="auto",
        help="go on where the run in the work dir stopped, or start if there is none; with a path, go on from this "
        "checkpoint (of the last stage)",
    )
    parser.add_argument(
        OVERWRITE_OPTION, action="store_true", help="replace the checkpoints of an earlier run in the work dir"
    )
    parser.add_argument(
        "--backbone",
        metavar="CKPT",
        help="of a detector: start from the backbone of this checkpoint of a classifier; 'random' trains from scratch",
    )
    parser.add_argument(
        "--amp",
        nargs="?",
        const="auto",
        choices=["auto", "bf16", "fp16"],
        metavar="bf16|fp16",
        help="mixed precision (CUDA): bf16, without loss scaling, or fp16, with a dynamic one; without a value bf16 "
        "where the GPU computes in it",
    )
    parser.add_argument(
        "--compile",
        action="store_true",
        help="compile the backbone (torch.compile) at the first batches, which takes a minute or two",
    )
    evaluation = parser.add_mutually_exclusive_group()
    evaluation.add_argument("--no-validate", action="store_true", help="no evaluation during training")
    add_val_interval_argument(evaluation)
    learning_rate = parser.add_mutually_exclusive_group()
    learning_rate.add_argument(
        "--auto-scale-lr",
        action="store_true",
        help="scale the learning rate with the images of a step (batch x processes x accumulated batches)",
    )
    learning_rate.add_argument(
        "--keep-lr",
        action="store_true",
        help="train a recipe with another number of images a step, at its learning rate",
    )
    parser.add_argument(
        "--accept-changes",
        action="store_true",
        help="with --resume: take over settings and data that differ from those of the run so far",
    )
    add_early_stop_argument(parser)
    add_tracker_arguments(parser)
    add_launcher_argument(parser)
    add_pickle_argument(parser)
    args = parser.parse_args(argv)
    args.shared = shared_options(sys.argv[1:] if argv is None else argv)
    return args


def merge_args(cfg: Config, args: argparse.Namespace) -> None:
    """Bring the command line into the config of a stage."""
    from lt_plugins.checkpoints.backbone import set_backbone
    from lt_plugins.checks.global_batch import accumulative_counts
    from lt_plugins.runs.mixed_precision import use_mixed_precision

    if args.backbone is not None:
        set_backbone(cfg, args.backbone, args.allow_pickle)
    if args.accept_changes:
        cfg.accept_changes = True
    if args.no_validate:
        cfg.val_cfg = cfg.val_dataloader = cfg.val_evaluator = None
    if args.val_interval is not None:
        cfg.train_cfg.val_interval = args.val_interval
        cfg.train_cfg.pop("dynamic_intervals", None)
    if args.amp is not None:
        use_mixed_precision(cfg, args.amp)
    if args.compile:
        cfg.setdefault("default_hooks", {})["compile"] = {"type": "mmpretrain.CompileHook"}
    if args.auto_scale_lr:
        if "base_batch_size" not in (cfg.get("auto_scale_lr") or {}):
            raise UserInputError(
                f"--auto-scale-lr needs auto_scale_lr = dict(base_batch_size=...) in the config {cfg.filename}."
            )
        cfg.auto_scale_lr.enable = True
    if args.keep_lr and cfg.get("auto_scale_lr"):
        cfg.auto_scale_lr.enable = False
    if (cfg.get("auto_scale_lr") or {}).get("enable"):
        # mmengine counts the images of one forward pass, not those of a step.
        cfg.auto_scale_lr.base_batch_size /= accumulative_counts(cfg)
    if cfg.get("randomness", {}).get("deterministic"):
        os.environ.setdefault("CUBLAS_WORKSPACE_CONFIG", ":4096:8")  # what cuBLAS asks for


def train(args: argparse.Namespace) -> None:
    """Do what the command line asks for."""
    from lt_plugins.checkpoints.checkpoint import guard_pickles
    from lt_plugins.checks.global_batch import check_global_batch
    from lt_plugins.runs.best_epoch import keep_best_epoch, stop_early
    from lt_plugins.runs.config import load_stages
    from lt_plugins.runs.run_lock import lock_run
    from lt_plugins.runs.spec import run_name
    from lt_plugins.runs.stages import check_stages, configured_resume, place_stages, train_stages

    guard_pickles(args.allow_pickle)
    configs = load_stages(args.config, config_overrides(args), ["train"], data=args.data, shorten=args.shorten)
    cfg, name = configs[-1], run_name(args.config, args.data, args.shorten)
    stages = place_stages(configs, args.work_dir or cfg.get("work_dir") or Path("work_dirs", name))
    check_stages(stages, args.allow_pickle)
    for stage in stages:
        merge_args(stage.cfg, args)
        if args.data is not None:
            keep_best_epoch(stage.cfg)
        use_trackers(stage.cfg, args)
        prepare_launch(stage.cfg, args.launcher)
        check_global_batch(stage.cfg, launch_size(args.launcher))
    if args.early_stop is not None:
        stop_early(configs, args.early_stop)
    with lock_run(cfg.work_dir) if launch_rank(args.launcher) == 0 else nullcontext():
        started = time.monotonic()
        train_stages(stages, args.resume or configured_resume(configs), args.overwrite, args.allow_pickle)
        summarize(args, cfg.work_dir, time.monotonic() - started)


def summarize(args: argparse.Namespace, work_dir: str, seconds: float) -> None:
    """Print what a finished training has led to."""
    from lt_plugins.runs.run_summary import NO_SUMMARY, summarize_run

    if launch_rank(args.launcher) == 0 and not os.environ.get(NO_SUMMARY):
        print("\n" + summarize_run(work_dir, args.config, args.shared, seconds))


def main(argv: Sequence[str] | None = None) -> None:
    """Train."""
    with user_errors(lambda: f"resume from the last checkpoint with: {resume_command()}"):
        train(parse_args(argv))


if __name__ == "__main__":
    main()
