"""Export a trained model: its backbone, or with --to the whole classifier.

    python tools/export.py CHECKPOINT backbone.pth                      # weights of the backbone, as .safetensors too
    python tools/export.py WORK_DIR classifier.onnx --to onnx           # preprocessing, class names, temperature inside

A whole classifier takes RGB pixels, uint8 (batch, 3, H, W), and gives probabilities. What was written is opened again
and compared with the model before it gets its name.
"""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from typing import Any

from lt_plugins.atomic_write import atomic_write, check_output
from lt_plugins.errors import UserInputError
from lt_plugins.runs.cli import (
    OverrideAction,
    ToolParser,
    add_pickle_argument,
    add_stage_argument,
    positive_int,
    user_errors,
)

BACKBONE = "backbone"
GRAPHS = ("onnx", "torchscript")
CALIBRATION_BATCH = 32


def parse_args(argv: Sequence[str] | None) -> argparse.Namespace:
    """Read the command line."""
    parser = ToolParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument(
        "checkpoint", help="checkpoint of any classifier, like work_dirs/NAME/epoch_200.pth, or work dir of its run"
    )
    parser.add_argument("out", help="file to write; of a backbone its ending says how: .pth or .safetensors")
    parser.add_argument(
        "--to",
        choices=[BACKBONE, *GRAPHS, "safetensors"],
        default=BACKBONE,
        help="the backbone alone (default), or the whole classifier as .onnx, .pt or .safetensors",
    )
    add_stage_argument(parser, "of a work dir: stage of the run (default: the last one)")
    parser.add_argument(
        "--torchvision-keys",
        action="store_true",
        help="of a backbone: names as in torchvision.models (conv1.weight) instead of OpenMMLab's "
        "(backbone.conv1.weight)",
    )
    whole = parser.add_argument_group("of a whole classifier")
    whole.add_argument(
        "--config", metavar="CONFIG.py[:VARIANT,...]", help="its config (default: that in the work dir of its run)"
    )
    whole.add_argument(
        "--cfg-options", nargs="+", action=OverrideAction, metavar="KEY=VALUE", help="override config values"
    )
    whole.add_argument("--logits", action="store_true", help="give logits instead of probabilities")
    whole.add_argument(
        "--no-calibration",
        dest="calibration",
        action="store_false",
        help="no temperature; by default it is fitted once on the validation images, as by tools/predict.py",
    )
    whole.add_argument(
        "--size",
        type=positive_int,
        nargs=2,
        metavar=("H", "W"),
        help="size of the input (default: what the test transforms of the config give)",
    )
    add_pickle_argument(parser)
    args = parser.parse_args(argv)
    if args.to == BACKBONE:
        given = {
            "--config": args.config,
            "--logits": args.logits,
            "--size": args.size,
            "--cfg-options": args.cfg_options,
        }
        if mistaken := [name for name, value in given.items() if value]:
            raise UserInputError(f"{mistaken[0]} is for a whole classifier; say which by --to {', '.join(GRAPHS)}.")
    elif args.logits and args.to not in GRAPHS:
        raise UserInputError(f"--logits is for a graph, --to {' or '.join(GRAPHS)}; {args.to} holds weights alone.")
    elif args.torchvision_keys:
        raise UserInputError(f"--torchvision-keys is for a backbone; leave it out, or --to {args.to}.")
    return args


def export_backbone(args: argparse.Namespace) -> None:
    """Write the backbone alone: no head, projector, queue or optimiser."""
    from lt_plugins.checkpoints.backbone import BACKBONE_PREFIX, find_torchvision_model, read_backbone, write_backbone
    from lt_plugins.checkpoints.run_checkpoints import resolve_checkpoint
    from lt_plugins.runs.spec import stage_source

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


def export_classifier(args: argparse.Namespace) -> None:
    """Write the whole classifier, after it was compared with the model."""
    import torch

    from lt_plugins.prediction.calibration import try_calibrate
    from lt_plugins.prediction.classifier import open_classifier, read_model_config
    from lt_plugins.prediction.export import FORMATS, compare, describe_classifier
    from lt_plugins.prediction.pixel_classifier import PixelClassifier, find_input_size
    from lt_plugins.runs.spec import stage_source

    form = FORMATS[args.to]
    if not args.out.endswith(form.endings):
        raise UserInputError(f"{args.out} must end in {' or '.join(form.endings)}, as files of {args.to} do.")
    source = stage_source(args.checkpoint, args.stage)
    cfg: Any = read_model_config(*config_of(args, source))
    classifier = open_classifier(cfg, source, "cpu", args.allow_pickle)
    check_output(args.out, [classifier.trained.checkpoint])
    size = find_input_size(classifier, tuple(args.size) if args.size else None)
    is_calibrated, how = try_calibrate(classifier, args.calibration, CALIBRATION_BATCH, 0)
    module = PixelClassifier(classifier, args.logits).eval().requires_grad_(False)
    metadata = describe_classifier(classifier, size, args.logits, is_calibrated)
    print(f"{classifier.trained.checkpoint}: {metadata['input']}; {metadata['output']} {how}", flush=True)
    data = form.pack(module, torch.zeros(2, 3, *size, dtype=torch.uint8), metadata)
    by, opened = form.open(data, classifier)
    parity = compare(opened, by, classifier, size, args.logits and args.to in GRAPHS)
    print(parity.describe())
    if not parity.holds:
        raise UserInputError(
            f"{args.out} is not written: its probabilities differ by {parity.difference:.1e} from those of the model; "
            "take another format, and please report the config."
        )
    atomic_write(args.out, data)
    print(f"wrote {args.out} ({len(data) / 2**20:.1f} MB), with the class names inside")


def config_of(args: argparse.Namespace, source: str) -> tuple[str, Any, None, int | None]:
    """Config of the classifier: the given one, or the work dir in which the checkpoint lies."""
    if args.config:
        return args.config, args.cfg_options, None, args.stage
    from lt_plugins.prediction.classifier import config_beside

    return config_beside(source), args.cfg_options, None, None


def export(args: argparse.Namespace) -> None:
    """Do what the command line asks for."""
    from lt_plugins.checkpoints.checkpoint import guard_pickles

    guard_pickles(args.allow_pickle)
    (export_backbone if args.to == BACKBONE else export_classifier)(args)


def main(argv: Sequence[str] | None = None) -> None:
    """Export."""
    with user_errors():
        export(parse_args(argv))


if __name__ == "__main__":
    main()
