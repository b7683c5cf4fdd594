"""Train several configs with several seeds, one after the other, and print a table: mean, spread, published numbers.

    python tools/sweep.py configs/lcreg/lcreg-m{20,30}_r32_cifar10-lt100.py configs/lcreg/lcreg_r32_cifar10-lt100.py

A killed command goes on where it was; what is finished is not run again. All stages of a method are trained.
"""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from lt_plugins.atomic_write import atomic_write
from lt_plugins.errors import UserInputError
from lt_plugins.runs.cli import ToolParser, parse_overrides, user_errors
from lt_plugins.runs.metafile import published_results
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
HEADER = ("Config", *METRICS, "Published", "Seeds")
NOTE = (
    "Top-1 accuracy and expected calibration error in percent, after the last epoch; ± is the standard deviation over "
    "seeds. Published: overall, of the whole schedule."
)


def published(config: Path) -> str:
    """Overall accuracy in the metafile beside a config, and where it is printed."""
    metafile = config.with_name("metafile.yml")
    if not metafile.is_file():
        return "-"
    numbers = [found for path, found in published_results(metafile) if Path(path).name == config.name]
    if not numbers:
        return "-"
    overall = numbers[0].get("overall")
    if not isinstance(overall, int | float):
        raise UserInputError(f"{metafile}: Published of {config.name} has overall={overall!r}, expected a number.")
    return f"{overall:.1f} ({numbers[0]['source']})"


def rows(configs: Sequence[Path], runs: Sequence[RecordedRun]) -> list[tuple[str, ...]]:
    """The cells under :data:`HEADER`, a row a config, of what is finished."""
    table = []
    for config in configs:
        finished = [(run.seed, result) for run in runs if run.config == str(config) and (result := run.metrics())]
        cells = [mean_and_spread([result[key] for _, result in finished if key in result]) for key in METRICS.values()]
        table.append((config.stem, *cells, published(config), ", ".join(str(seed) for seed, _ in finished) or "-"))
    return table


def write_table(configs: Sequence[Path], runs: Sequence[RecordedRun], out: Path) -> str:
    """Write what is finished as Markdown and HTML, and return the Markdown."""
    from lt_plugins.visualization import HtmlReport

    cells = rows(configs, runs)
    text = f"{markdown_table(HEADER, cells, range(1, len(METRICS) + 1))}\n\n{NOTE}\n"
    page = HtmlReport(f"Sweep: {out.name}")
    page.add_table(HEADER, cells)
    page.add_text(NOTE)
    atomic_write(out / "table.md", text.encode())
    page.save(out / "table.html")
    return text


def parse_args(argv: Sequence[str] | None) -> argparse.Namespace:
    """Read the command line."""
    parser = ToolParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("configs", nargs="+", type=Path, help="config files, a row each, in this order")
    parser.add_argument("--seeds", nargs="+", type=int, default=[0], metavar="N", help="seeds (default: 0)")
    parser.add_argument("--gpus", type=int, default=1, metavar="N", help="processes a run (default: 1)")
    parser.add_argument("--work-dir", type=Path, default=Path("work_dirs/sweep"), help="(default: %(default)s)")
    parser.add_argument(
        "--cfg-options",
        nargs="+",
        default=[],
        metavar="KEY=VALUE",
        help="override values of every config; those of a first stage as previous_stage.cfg_options.KEY=VALUE",
    )
    return parser.parse_args(argv)


def sweep(args: argparse.Namespace) -> None:
    """Do what the command line asks for."""
    from lt_plugins.checks.global_batch import check_global_batch
    from lt_plugins.runs.config import load_config
    from lt_plugins.runs.recorded_run import RecordedRun
    from lt_plugins.runs.stages import check_stages, find_stages

    if twice := [path for path in args.configs if [other.stem for other in args.configs].count(path.stem) > 1]:
        raise UserInputError(
            f"two configs are called {twice[0].stem}; sweep them in folders of their own (--work-dir)."
        )
    if args.gpus < 1:
        raise UserInputError(f"--gpus {args.gpus} must be 1 or more.")
    for config in args.configs:  # all of them, before the first one trains for hours
        cfg = load_config(str(config), parse_overrides(args.cfg_options), needs=["train"])
        cfg.work_dir = str(args.work_dir)
        stages = find_stages(cfg)
        check_stages(stages)
        for stage in stages:
            check_global_batch(stage.cfg, args.gpus)
        published(config)
    runs = [
        RecordedRun(
            f"{config.stem}, seed {seed}",
            args.work_dir / f"{config.stem}_seed{seed}",
            str(config),
            seed,
            args.cfg_options,
            "sweep.json",
        )
        for seed in dict.fromkeys(args.seeds)
        for config in args.configs
    ]
    for number, run in enumerate(runs, start=1):
        done = run.metrics() is not None
        print(f"run {number} of {len(runs)}: {run}{', finished before' if done else ''}", flush=True)
        if not done:
            run.finish(num_gpus=args.gpus)
        table = write_table(args.configs, runs, args.work_dir)
    print(f"\n{table}\nwrote {args.work_dir / 'table.md'} and {args.work_dir / 'table.html'}")


def main(argv: Sequence[str] | None = None) -> None:
    """Run the sweep."""
    with user_errors("the same command continues there"):
        sweep(parse_args(argv))


if __name__ == "__main__":
    main()
