"""Write the backbone of a checkpoint to a file of its own: weights only, no head, projector, queue or optimiser."""

from __future__ import annotations

import argparse
from collections.abc import Sequence

from lt_plugins.atomic_write import check_output
from lt_plugins.runs.cli import ToolParser, add_pickle_argument, add_stage_argument, user_errors


def parse_args(argv: Sequence[str] | None) -> argparse.Namespace:
    """Read the command line."""
    parser = ToolParser(description=__doc__)
    parser.add_argument(
        "checkpoint", help="checkpoint of any classifier, like work_dirs/NAME/epoch_200.pth, or work dir of its run"
    )
    add_stage_argument(parser, "of a work dir: stage of the run (default: the last one)")
    parser.add_argument("out", help="file to write; its ending says how: .pth or .safetensors")
    parser.add_argument(
        "--torchvision-keys",
        action="store_true",
        help="names as in torchvision.models (conv1.weight) instead of OpenMMLab's (backbone.conv1.weight)",
    )
    add_pickle_argument(parser)
    return parser.parse_args(argv)


def export(args: argparse.Namespace) -> None:
    """Do what the command line asks for."""
    from lt_plugins.checkpoints.backbone import BACKBONE_PREFIX, find_torchvision_model, read_backbone, write_backbone
    from lt_plugins.checkpoints.checkpoint import guard_pickles
    from lt_plugins.checkpoints.run_checkpoints import resolve_checkpoint
    from lt_plugins.runs.spec import stage_source

    guard_pickles(args.allow_pickle)
    checkpoint = resolve_checkpoint(stage_source(args.checkpoint, args.stage), args.allow_pickle)
    check_output(args.out, [checkpoint])
    backbone = read_backbone(checkpoint, args.allow_pickle)
    prefix, fits = BACKBONE_PREFIX, ""
    if args.torchvision_keys:
        prefix, fits = "", f", which fit torchvision.models.{find_torchvision_model(backbone.weights)}"
    write_backbone(backbone.weights, args.out, prefix)
    first = prefix + next(iter(backbone.weights))
    print(f"{checkpoint}: kept {backbone.describe()}")
    print(f"wrote {args.out} with names like {first}{fits}")


def main(argv: Sequence[str] | None = None) -> None:
    """Export."""
    with user_errors():
        export(parse_args(argv))


if __name__ == "__main__":
    main()
