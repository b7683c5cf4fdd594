"""Detect objects in images: draw the boxes, and write them to predictions.json."""

from __future__ import annotations

import argparse
import io
import json
from collections.abc import Sequence
from pathlib import Path

from lt_plugins.atomic_write import atomic_write, check_output
from lt_plugins.compat import check_detection
from lt_plugins.datasets.image_file import DEFAULT_MAX_PIXELS, check_max_pixels
from lt_plugins.datasets.text_file import show_path
from lt_plugins.errors import UserInputError
from lt_plugins.runs.cli import ToolParser, add_config_arguments, add_pickle_argument, user_errors


def parse_args(argv: Sequence[str] | None) -> argparse.Namespace:
    """Read the command line."""
    parser = ToolParser(description=__doc__)
    add_config_arguments(parser)
    parser.add_argument("checkpoint", help="checkpoint of the detector, or the work dir of its run")
    parser.add_argument("images", nargs="+", help="image files, or folders of them")
    parser.add_argument("-o", "--out", type=Path, required=True, help="folder to write to")
    parser.add_argument(
        "--score-threshold",
        type=float,
        default=0.3,
        metavar="S",
        help="leave out boxes of a lower score (default: 0.3)",
    )
    parser.add_argument(
        "--max-pixels",
        type=int,
        default=DEFAULT_MAX_PIXELS,
        metavar="N",
        help="leave out images of more pixels, by their headers (default: %(default)s)",
    )
    parser.add_argument("--device", default="cpu", help="cpu, cuda, cuda:1, ... (default: cpu)")
    add_pickle_argument(parser)
    return parser.parse_args(argv)


def predict(args: argparse.Namespace) -> None:
    """Do what the command line asks for."""
    from PIL import Image

    from lt_plugins.analysis.page import check_device
    from lt_plugins.analysis.trained_model import load_trained_model
    from lt_plugins.checkpoints.checkpoint import guard_pickles
    from lt_plugins.datasets.class_names import check_same_classes
    from lt_plugins.datasets.integrity import DECODE_ERRORS, decode_image, describe_decode_error
    from lt_plugins.detection.predict import Predictor, find_images
    from lt_plugins.runs.config import load_config

    guard_pickles(args.allow_pickle)
    check_device(args.device)
    check_max_pixels(args.max_pixels)
    if not 0 <= args.score_threshold <= 1:
        raise UserInputError(f"--score-threshold {args.score_threshold} must be from 0 to 1.")
    images = find_images(args.images)
    names = [image.stem for image in images]
    if twice := [name for name in names if names.count(name) > 1]:
        raise UserInputError(f"two images are called {twice[0]}; predict them into different folders.")
    for image in images:
        check_output(args.out / f"{image.stem}.png", images)
    cfg = load_config(args.config, args.cfg_options, data=args.data)
    trained = load_trained_model(cfg, args.checkpoint, args.device, args.allow_pickle)
    predictor = Predictor(cfg, trained.model, args.score_threshold)
    named = {str(trained.checkpoint): trained.classes, "the test dataset of the config": predictor.classes}
    check_same_classes(named, exception="")
    records, unreadable = [], []
    for image in images:
        shown = show_path(image)
        try:
            decode_image(image, args.max_pixels)
        except DECODE_ERRORS as error:
            unreadable.append(f"{shown} ({describe_decode_error(error)})")
            print(f"{shown}: cannot be read", flush=True)
            continue
        record, drawn = predictor(image)
        buffer = io.BytesIO()
        Image.fromarray(drawn).save(buffer, format="PNG")
        atomic_write(args.out / f"{image.stem}.png", buffer.getvalue())
        records.append(record)
        print(f"{shown}: {len(record['detections'])} objects", flush=True)
    content = {"config": args.config, "checkpoint": str(trained.checkpoint), "images": records}
    atomic_write(args.out / "predictions.json", (json.dumps(content, indent=2) + "\n").encode())
    print(f"wrote {args.out / 'predictions.json'} and {len(records)} pictures beside it")
    if unreadable:
        raise UserInputError(
            f"{len(unreadable)} of {len(images)} images cannot be read, first {unreadable[0]}; mend or leave them "
            "out. The others are done."
        )


def main(argv: Sequence[str] | None = None) -> None:
    """Predict."""
    with user_errors():
        args = parse_args(argv)
        check_detection()
        predict(args)


if __name__ == "__main__":
    main()
