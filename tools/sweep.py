"""Train several configs with several seeds, one after the other, and print a table: mean, spread, published numbers.

    python tools/sweep.py configs/lcreg/lcreg_r32_cifar10-lt.py{,:m20,:m30} --seeds 0 1 2

A killed command goes on where it was; what is finished is not run again. All stages of a method are trained.
"""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

from lt_plugins.atomic_write import atomic_write
from lt_plugins.errors import UserInputError
from lt_plugins.runs.cli import ToolParser, add_data_argument, add_shorten_argument, parse_overrides, user_errors
from lt_plugins.runs.metafile import published_results
from lt_plugins.runs.spec import parse_spec, run_name
from lt_plugins.runs.tables import markdown_table, mean_and_spread

if TYPE_CHECKING:
    from lt_plugins.runs.recorded_run import RecordedRun

METRICS = {
    "Overall": "shot/accuracy_top1",
    "Many": "shot/many",
    "Medium": "shot/medium",
    "Few": "shot/few",
    "ECE": "calibration/ece",
}
HEADER = ("Config", *METRICS, "Published", "Schedule", "Seeds")
NOTE = (
    "Top-1 accuracy and expected calibration error in percent, after the last epoch; ± is the standard deviation over "
    "seeds. Published: overall, of the whole schedule."
)


class Row(NamedTuple):
    """A config of a sweep.

    Args:
        config (str): ``CONFIG.py[:VARIANT,...]``.
        name (str): Its name, also of its folders.
        is_short (bool): Whether a stage of it is shorter than its config file says.
    """

    config: str
    name: str
    is_short: bool


def published(config: str) -> str:
    """Overall accuracy in the metafile beside a config, and where it is printed."""
    path, variants = parse_spec(config)
    metafile, own = Path(path).with_name("metafile.yml"), (Path(path).name, variants)
    if not metafile.is_file():
        return "-"
    listed = [(parse_spec(name), numbers) for name, numbers in published_results(metafile)]
    found = [numbers for spec, numbers in listed if (Path(spec.path).name, spec.variants) == own]
    if not found:
        return "-"
    overall = found[0].get("overall")
    if not isinstance(overall, int | float):
        raise UserInputError(f"{metafile}: Published of {config} has overall={overall!r}, expected a number.")
    return f"{overall:.1f} ({found[0]['source']})"


def cells(rows: Sequence[Row], runs: Sequence[RecordedRun]) -> list[tuple[str, ...]]:
    """The cells under :data:`HEADER`, a row a config, of what is finished."""
    table = []
    for row in rows:
        finished = [(run.seed, result) for run in runs if run.config == row.config and (result := run.metrics())]
        means = [mean_and_spread([result[key] for _, result in finished if key in result]) for key in METRICS.values()]
        schedule = "short" if row.is_short else "full"
        seeds = ", ".join(str(seed) for seed, _ in finished) or "-"
        table.append((row.name, *means, published(row.config), schedule, seeds))
    return table


def write_table(rows: Sequence[Row], runs: Sequence[RecordedRun], out: Path) -> str:
    """Write what is finished as Markdown and HTML, and return the Markdown."""
    from lt_plugins.visualization import HtmlReport

    table = cells(rows, runs)
    text = f"{markdown_table(HEADER, table, range(1, len(METRICS) + 1))}\n\n{NOTE}\n"
    page = HtmlReport(f"Sweep: {out.name}")
    page.add_table(HEADER, table)
    page.add_text(NOTE)
    atomic_write(out / "table.md", text.encode())
    page.save(out / "table.html")
    return text


def parse_args(argv: Sequence[str] | None) -> argparse.Namespace:
    """Read the command line."""
    parser = ToolParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument(
        "configs",
        nargs="+",
        metavar="CONFIG.py[:VARIANT,...]",
        help="config files with variants, a row each, in this order",
    )
    parser.add_argument("--seeds", nargs="+", type=int, default=[0], metavar="N", help="seeds (default: 0)")
    parser.add_argument("--gpus", type=int, default=1, metavar="N", help="processes a run (default: 1)")
    parser.add_argument("--work-dir", type=Path, default=Path("work_dirs/sweep"), help="(default: %(default)s)")
    parser.add_argument(
        "--cfg-options",
        nargs="+",
        default=[],
        metavar="KEY=VALUE",
        help="override values of every config; of a second stage alone as stage2.KEY=VALUE",
    )
    add_data_argument(parser)
    add_shorten_argument(parser)
    return parser.parse_args(argv)


def check_configs(args: argparse.Namespace) -> list[Row]:
    """Check all configs, before the first one trains for hours."""
    from lt_plugins.checks.global_batch import check_global_batch
    from lt_plugins.runs.config import load_stages
    from lt_plugins.runs.schedule import is_short
    from lt_plugins.runs.stages import check_stages, place_stages

    rows: list[Row] = []
    for config in args.configs:
        name = run_name(config, args.data, args.shorten)
        if name in [row.name for row in rows]:
            raise UserInputError(f"two configs are called {name}; sweep them in folders of their own (--work-dir).")
        configs = load_stages(
            config, parse_overrides(args.cfg_options), ["train"], data=args.data, shorten=args.shorten
        )
        check_stages(place_stages(configs, args.work_dir))
        for cfg in configs:
            check_global_batch(cfg, args.gpus)
        published(config)
        rows.append(Row(config, name, any(map(is_short, configs))))
    return rows


def sweep(args: argparse.Namespace) -> None:
    """Do what the command line asks for."""
    from lt_plugins.runs.recorded_run import RecordedRun

    if args.gpus < 1:
        raise UserInputError(f"--gpus {args.gpus} must be 1 or more.")
    rows = check_configs(args)
    runs = [
        RecordedRun(
            f"{row.name}, seed {seed}",
            args.work_dir / f"{row.name}_seed{seed}",
            row.config,
            seed,
            args.cfg_options,
            "sweep.json",
            {"shorten": args.shorten},
            data=args.data,
        )
        for seed in dict.fromkeys(args.seeds)
        for row in rows
    ]
    for number, run in enumerate(runs, start=1):
        done = run.metrics() is not None
        print(f"run {number} of {len(runs)}: {run}{', finished before' if done else ''}", flush=True)
        if not done:
            run.finish(["--shorten", str(args.shorten)], num_gpus=args.gpus)
        table = write_table(rows, runs, args.work_dir)
    print(f"\n{table}\nwrote {args.work_dir / 'table.md'} and {args.work_dir / 'table.html'}")


def main(argv: Sequence[str] | None = None) -> None:
    """Run the sweep."""
    with user_errors("the same command continues there"):
        sweep(parse_args(argv))


if __name__ == "__main__":
    main()
