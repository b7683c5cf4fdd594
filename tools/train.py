"""Train a model."""

from __future__ import annotations

import argparse
import os
from collections.abc import Sequence
from pathlib import Path

from mmengine.config import Config
from mmengine.runner import Runner

from lt_plugins.engine.checkpoint import find_last_checkpoint, guard_pickles
from lt_plugins.engine.cli import add_config_arguments, add_pickle_argument, load_config, user_errors
from lt_plugins.engine.launch import add_launcher_argument, prepare_launch
from lt_plugins.engine.preflight import check_batches
from lt_plugins.errors import UserInputError


def parse_args(argv: Sequence[str] | None) -> argparse.Namespace:
    """Read the command line."""
    parser = argparse.ArgumentParser(description=__doc__)
    add_config_arguments(parser)
    parser.add_argument("--work-dir", help="where logs and checkpoints go (default: work_dirs/<name of the config>)")
    parser.add_argument(
        "--resume",
        nargs="?",
        const="auto",
        help="go on from this checkpoint; without a path, from the last one in the work dir, or start if there is none",
    )
    parser.add_argument("--amp", action="store_true", help="mixed precision (CUDA)")
    parser.add_argument("--no-validate", action="store_true", help="no evaluation during training")
    parser.add_argument(
        "--auto-scale-lr", action="store_true", help="scale the learning rate with the batch size of all processes"
    )
    add_launcher_argument(parser)
    add_pickle_argument(parser)
    return parser.parse_args(argv)


def merge_args(cfg: Config, args: argparse.Namespace) -> None:
    """Bring the command line into the config."""
    cfg.work_dir = args.work_dir or cfg.get("work_dir") or str(Path("work_dirs", Path(args.config).stem))
    if args.no_validate:
        cfg.val_cfg = cfg.val_dataloader = cfg.val_evaluator = None
    if args.amp:
        cfg.optim_wrapper.type = "AmpOptimWrapper"
        cfg.optim_wrapper.setdefault("loss_scale", "dynamic")
    if args.auto_scale_lr:
        if "base_batch_size" not in cfg.get("auto_scale_lr", {}):
            raise UserInputError("--auto-scale-lr needs auto_scale_lr = dict(base_batch_size=...) in the config.")
        cfg.auto_scale_lr.enable = True
    checkpoint = find_last_checkpoint(cfg.work_dir) if args.resume == "auto" else args.resume
    if checkpoint:
        cfg.resume, cfg.load_from = True, checkpoint
    if cfg.get("randomness", {}).get("deterministic"):
        os.environ.setdefault("CUBLAS_WORKSPACE_CONFIG", ":4096:8")  # what cuBLAS asks for


def main(argv: Sequence[str] | None = None) -> None:
    """Train."""
    with user_errors():
        args = parse_args(argv)
        guard_pickles(args.allow_pickle)
        cfg = load_config(args.config, args.cfg_options)
        merge_args(cfg, args)
        prepare_launch(cfg, args.launcher)
        runner = Runner.from_cfg(cfg)
        # PreflightHook checks it too, but schedulers that count steps fail on an empty epoch before any hook runs.
        check_batches("train", runner.train_dataloader)
        runner.train()


if __name__ == "__main__":
    main()
