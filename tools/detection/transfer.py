"""Fine-tune detectors from several backbones and seeds, and print the table: AP50, AP, AP75, mean and spread.

    python tools/detection/transfer.py --backbones random ce.pth scl=work_dirs/scl/stage1/epoch_200.pth --seeds 0 1 2

A killed command goes on where it was; what is finished is not run again.
"""

from __future__ import annotations

import argparse
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from lt_plugins.atomic_write import atomic_write
from lt_plugins.compat import check_detection
from lt_plugins.errors import UserInputError
from lt_plugins.runs.cli import ToolParser, add_pickle_argument, user_errors
from lt_plugins.runs.metafile import published_results
from lt_plugins.runs.spec import run_name
from lt_plugins.runs.tables import markdown_table
from lt_plugins.runs.transfer_table import NUMERIC_COLUMNS, TRANSFER_HEADER, transfer_rows

ROOT = Path(__file__).resolve().parents[2]
PAPER_CONFIG = "configs/detection/faster-rcnn_r50-c4_24k_voc0712.py"


def parse_args(argv: Sequence[str] | None) -> argparse.Namespace:
    """Read the command line."""
    parser = ToolParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument(
        "--backbones",
        nargs="+",
        required=True,
        metavar="[NAME=]FILE",
        help="checkpoints of classifiers, or 'random'; the row is called NAME, or like the file or its folder",
    )
    parser.add_argument("--config", default=str(ROOT / PAPER_CONFIG), help=f"config of the detector ({PAPER_CONFIG})")
    parser.add_argument("--seeds", nargs="+", type=int, default=[0], metavar="N", help="seeds (default: 0)")
    parser.add_argument("--gpus", type=int, default=1, metavar="N", help="processes a run (default: 1)")
    parser.add_argument("--work-dir", type=Path, help="where runs and table go (default: work_dirs/transfer_CONFIG)")
    parser.add_argument("--cfg-options", nargs="+", default=[], metavar="KEY=VALUE", help="override config values")
    add_pickle_argument(parser)
    return parser.parse_args(argv)


def published_numbers() -> Mapping[str, Mapping[str, float]]:
    """The numbers of the paper by method, from the metafile of the detection configs."""
    found = published_results((ROOT / PAPER_CONFIG).with_name("metafile.yml"))
    return next(numbers for config, numbers in found if config == PAPER_CONFIG)


def write_table(transfers: Sequence[Any], config: str, out: Path) -> str:
    """Write what is finished as Markdown and HTML.

    Returns:
        str: The table in Markdown.
    """
    from lt_plugins.visualization import HtmlReport

    results = [result for transfer in transfers if (result := transfer.result()) is not None]
    names = list(dict.fromkeys(transfer.backbone.name for transfer in transfers))
    rows = transfer_rows(names, results, published_numbers())
    notes = [
        f"{len(results)} of {len(transfers)} runs of {config} are finished. Percent, after the last iteration, by the "
        "11-point metric of VOC 2007; ± is the standard deviation over seeds."
    ]
    if Path(config).resolve() != ROOT / PAPER_CONFIG:
        notes.append(
            f"The published numbers (SBCL, Tab. 3, pre-training on ImageNet-LT) belong to {Path(PAPER_CONFIG).stem}: "
            "of another detector, other data or a shorter schedule only the order can be compared with theirs."
        )
    markdown = markdown_table(TRANSFER_HEADER, rows, NUMERIC_COLUMNS)
    page = HtmlReport("Transfer to PASCAL VOC")
    page.add_table(TRANSFER_HEADER, rows)
    for note in notes:
        page.add_text(note)
    text = "\n\n".join([markdown, *notes]) + "\n"
    atomic_write(out / "table.md", text.encode())
    page.save(out / "table.html")
    return text


def transfer(args: argparse.Namespace) -> None:
    """Do what the command line asks for."""
    from lt_plugins.checkpoints.backbone import RANDOM_BACKBONE, read_backbone
    from lt_plugins.checkpoints.checkpoint import guard_pickles
    from lt_plugins.detection import load_backbone
    from lt_plugins.detection.transfer import Transfer, parse_backbone
    from lt_plugins.models.build import build_model
    from lt_plugins.runs.config import load_config

    guard_pickles(args.allow_pickle)
    backbones = [parse_backbone(text, args.allow_pickle) for text in args.backbones]
    names = [backbone.name for backbone in backbones]
    if twice := [name for name in names if names.count(name) > 1]:
        raise UserInputError(f"--backbones has two that are called {twice[0]!r}; name them, NAME=FILE.")
    if args.gpus < 1:
        raise UserInputError(f"--gpus {args.gpus} must be 1 or more.")
    cfg = load_config(args.config)
    detector = build_model(cfg)
    for backbone in backbones:  # all of them, before the first one trains for hours
        if backbone.source != RANDOM_BACKBONE:
            weights = read_backbone(backbone.source, args.allow_pickle)
            print(f"{backbone.name}: {load_backbone(detector, weights, backbone.source)}")
    out = args.work_dir or Path("work_dirs", f"transfer_{Path(run_name(args.config)).name}")
    transfers = [
        Transfer(args.config, backbone, seed, out / f"{backbone.name}_seed{seed}", args.cfg_options)
        for seed in dict.fromkeys(args.seeds)
        for backbone in backbones
    ]
    for number, one in enumerate(transfers, start=1):
        done = one.result() is not None
        print(f"run {number} of {len(transfers)}: {one}{', finished before' if done else ''}", flush=True)
        if not done:
            one.run(args.gpus, args.allow_pickle)
        table = write_table(transfers, args.config, out)
    print(f"\n{table}\nwrote {out / 'table.md'} and {out / 'table.html'}")


def main(argv: Sequence[str] | None = None) -> None:
    """Run the table."""
    with user_errors("the same command continues there"):
        args = parse_args(argv)
        check_detection()
        transfer(args)


if __name__ == "__main__":
    main()
