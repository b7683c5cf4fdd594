"""Adjust the classifier of a trained model: logit adjustment, tau-norm, NCM, temperature, test prior, expert weights.

One feature pass, one table with the best setting of each method on the test set, and a figure of few-shot against
many-shot accuracy. Settings are chosen on the validation images; where the config has none, on the test set, and the
table says so. --out writes a checkpoint with one method, which the other tools take.
"""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from lt_plugins.atomic_write import atomic_write, check_output
from lt_plugins.errors import UserInputError
from lt_plugins.runs.cli import (
    ToolParser,
    add_config_arguments,
    add_pickle_argument,
    add_stage_argument,
    user_errors,
)

if TYPE_CHECKING:
    from lt_plugins.analysis.posthoc_sweep import SweepRow

NAMES = ("logit-adjustment", "tau-norm", "ncm", "temperature", "em", "bbse", "expert-weights")
COLUMNS = {"overall": "Overall", "many": "Many", "medium": "Medium", "few": "Few", "ece": "ECE"}
MAX_SETTINGS = 201


def parse_args(argv: Sequence[str] | None) -> argparse.Namespace:
    """Read the command line."""
    parser = ToolParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    add_config_arguments(parser)
    parser.add_argument("checkpoint", help="checkpoint file, or work dir of a run (its last checkpoint)")
    add_stage_argument(parser, "stage of the run (default: the last one)")
    parser.add_argument("--method", nargs="+", choices=NAMES, default=[], help="methods (default: all that fit)")
    parser.add_argument(
        "--grid",
        type=parse_grid,
        default="0:2:0.1",
        metavar="FROM:TO:STEP|VALUE",
        help="settings of the methods that have one, tau (default: 0:2:0.1)",
    )
    parser.add_argument("--out", type=Path, metavar="FILE.pth", help="write a checkpoint with the one --method")
    parser.add_argument(
        "--json",
        type=Path,
        metavar="FILE",
        help="the table with all settings (default: posthoc_<checkpoint>.json beside the checkpoint)",
    )
    parser.add_argument("--plot", type=Path, metavar="FILE.png", help="the figure (default: the same, .png)")
    parser.add_argument(
        "--device", choices=["cpu", "cuda"], help="where the model runs (default: cuda if there is one)"
    )
    add_pickle_argument(parser)
    return parser.parse_args(argv)


def parse_grid(text: str) -> list[float]:
    """Read settings: ``FROM:TO:STEP``, both ends included, or a single value.

    Args:
        text (str): The text.

    Returns:
        list[float]: The settings, in order.

    Raises:
        argparse.ArgumentTypeError: If it is none.
    """
    try:
        numbers = [float(part) for part in text.split(":")]
    except ValueError:
        numbers = []
    if len(numbers) == 1 and abs(numbers[0]) < float("inf"):
        return numbers
    if len(numbers) == 3 and numbers[2] > 0 and 0 <= (steps := (numbers[1] - numbers[0]) / numbers[2]) < MAX_SETTINGS:
        return [round(numbers[0] + index * numbers[2], 10) for index in range(int(steps + 1e-9) + 1)]
    raise argparse.ArgumentTypeError(
        f"{text!r} must be FROM:TO:STEP of at most {MAX_SETTINGS} settings, like 0:2:0.1, or one value, like 0.7"
    )


def posthoc(args: argparse.Namespace) -> None:
    """Do what the command line asks for."""
    import torch

    from lt_plugins.analysis.page import check_device
    from lt_plugins.analysis.posthoc_sweep import (
        TEST,
        choose_methods,
        collect,
        find_trained_prior,
        sweep,
        write_adjusted,
    )
    from lt_plugins.analysis.trained_model import load_trained_model
    from lt_plugins.checkpoints.checkpoint import guard_pickles
    from lt_plugins.engine.classifier_features import read_classifier
    from lt_plugins.runs.config import load_config
    from lt_plugins.runs.spec import parse_spec, run_name, stage_source

    if args.out and len(args.method) != 1:
        raise UserInputError(f"--out {args.out} writes one method; name it, like --method tau-norm.")
    if args.out and args.out.suffix != ".pth":
        raise UserInputError(f"--out {args.out} must end in .pth.")
    guard_pickles(args.allow_pickle)
    device = args.device or ("cuda" if torch.cuda.is_available() else "cpu")
    check_device(device)
    cfg = load_config(args.config, args.cfg_options, ["test"], data=args.data, stage=args.stage)
    trained = load_trained_model(cfg, stage_source(args.checkpoint, args.stage), device, args.allow_pickle)
    beside = trained.checkpoint.with_name(f"posthoc_{trained.checkpoint.stem}")
    table, figure = args.json or beside.with_suffix(".json"), args.plot or beside.with_suffix(".png")
    for path in filter(None, (args.out, table, figure)):
        check_output(path, [parse_spec(args.config).file, trained.checkpoint])

    prior = find_trained_prior(cfg, trained)
    methods, notes = choose_methods(cfg, args.method, read_classifier(trained.model, prior))
    for note in notes:
        print(note, file=sys.stderr)
    data = collect(cfg, trained, prior, methods)
    rows = sweep(data, methods, args.grid)
    name = run_name(args.config, args.data)
    print_table(rows)
    if any(row.chosen_on == TEST for row in rows):
        print(
            "The config has no validation images beside its test images: settings that were chosen on the TEST set are "
            "too good; fix them beforehand (--grid VALUE), or hold out a part of the training set in training."
        )
    content = {
        "config": args.config,
        "checkpoint": str(trained.checkpoint),
        "trained_prior": [round(share, 8) for share in prior.tolist()],
        "rows": [row.to_dict() for row in rows],
    }
    atomic_write(table, json.dumps(content, indent=2).encode())
    written = [str(table)]
    if picture := draw(rows, f"{name}: settings on the test set"):
        atomic_write(figure, picture)
        written.append(str(figure))
    if args.out:
        write_adjusted(trained, rows[1], args.out, args.allow_pickle)
        written.append(str(args.out))
    print(f"wrote {', '.join(written)}")


def print_table(rows: Sequence[SweepRow]) -> None:
    """Print one line a method."""
    from rich.box import SIMPLE_HEAD
    from rich.console import Console
    from rich.table import Table

    from lt_plugins.terminal import drawing_stream

    names = {key: title for key, title in COLUMNS.items() if any(key in row.chosen.metrics for row in rows)}
    table = Table(box=SIMPLE_HEAD, pad_edge=False)
    table.add_column("Method", no_wrap=True)
    for title in names.values():
        table.add_column(title, justify="right", no_wrap=True)
    table.add_column("Setting")
    table.add_column("Chosen on")
    for row in rows:
        values = [f"{row.chosen.metrics[key]:.2f}" if key in row.chosen.metrics else "-" for key in names]
        table.add_row(row.name, *values, row.shown_setting, row.chosen_on)
    console = Console(file=drawing_stream(sys.stdout))
    (console if console.is_terminal else Console(file=sys.stdout, width=140)).print(table)


def draw(rows: Sequence[SweepRow], title: str) -> bytes | None:
    """Draw few-shot against many-shot accuracy, or the two groups that there are; None with a single group."""
    from lt_plugins.visualization import SweepLine, figure_to_png, plot_shot_tradeoff

    groups = [group for group in ("many", "medium", "few") if group in rows[0].chosen.metrics]
    if len(groups) < 2:
        return None
    head, tail = groups[0], groups[-1]
    start = rows[0].chosen.metrics
    # A method that leaves the predictions as they are would lie on those of the trained classifier.
    moved = [row for row in rows[1:] if any(point.metrics["overall"] != start["overall"] for point in row.points)]
    lines = [
        SweepLine(
            row.name,
            [point.metrics[head] for point in row.points],
            [point.metrics[tail] for point in row.points],
            # Every fifth setting, the last one, and the chosen one.
            [
                f"{point.value:g}"
                if point.value is not None and (index % 5 == 0 or index == len(row.points) - 1 or point is row.chosen)
                else ""
                for index, point in enumerate(row.points)
            ],
            row.points.index(row.chosen),
        )
        for row in (rows[0], *moved)
    ]
    return figure_to_png(plot_shot_tradeoff(lines, f"{head}-shot", f"{tail}-shot", title))


def main(argv: Sequence[str] | None = None) -> None:
    """Adjust."""
    with user_errors():
        posthoc(parse_args(argv))


if __name__ == "__main__":
    main()
