"""Train several configs with several seeds, one after the other, and print a table: mean, spread, published numbers.

    python tools/sweep.py configs/lcreg/lcreg-m{20,30}_r32_cifar10-lt100.py configs/lcreg/lcreg_r32_cifar10-lt100.py

A killed command goes on where it was; what is finished is not run again. All stages of a method are trained.
"""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import yaml

from lt_plugins.atomic_write import atomic_write
from lt_plugins.engine.cli import load_config, parse_overrides, user_errors
from lt_plugins.engine.recorded_run import RecordedRun
from lt_plugins.engine.stages import check_stages, find_stages
from lt_plugins.errors import UserInputError
from lt_plugins.evaluation import RunFolder, markdown_table, mean_and_spread
from lt_plugins.visualization import HtmlReport

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


class SweepRun(RecordedRun):
    """A config with a seed.

    Args:
        config (Path): The config, of the last stage of its method.
        seed (int): Seed of all its stages.
        out (Path): Folder of the sweep.
        overrides (Sequence[str]): ``key=value`` pairs for ``--cfg-options``.
        max_epochs (int): Epochs of the last stage.
    """

    def __init__(self, config: Path, seed: int, out: Path, overrides: Sequence[str], max_epochs: int) -> None:
        self.config, self.seed, self.max_epochs = config, seed, max_epochs
        self.overrides = [f"randomness.seed={seed}", *overrides]
        record = {"config": str(config), "seed": seed, "overrides": self.overrides}
        super().__init__(f"{config.stem}, seed {seed}", out / f"{config.stem}_seed{seed}", record, "sweep.json")

    def result(self) -> dict[str, float] | None:
        """Metrics after the last epoch, or None if it is not finished."""
        if not any(self.folder.glob("*/vis_data/scalars.json")):
            return None
        last = [row for row in RunFolder(self.folder).log().metrics if row["step"] == self.max_epochs]
        return last[-1] if last else None

    def run(self) -> None:
        """Train, or go on where it was stopped.

        Raises:
            UserInputError: If it fails, or leaves no metrics of its last epoch.
        """
        self.start("train", [str(self.config), "--resume"], self.overrides)
        if self.result() is None:
            raise UserInputError(
                f"{self} logged no metrics after epoch {self.max_epochs}; let train_cfg.val_interval divide the epochs."
            )


def published(config: Path) -> str:
    """Overall accuracy in the metafile beside a config, and where it is printed."""
    metafile = config.with_name("metafile.yml")
    if not metafile.is_file():
        return "-"
    models: list[dict[str, Any]] = yaml.safe_load(metafile.read_text(encoding="utf-8"))["Models"]
    results = [result for model in models if Path(model["Config"]).name == config.name for result in model["Results"]]
    numbers = [result["Published"] for result in results if "Published" in result]
    return f"{numbers[0]['overall']:.1f} ({numbers[0]['source']})" if numbers else "-"


def rows(configs: Sequence[Path], runs: Sequence[SweepRun]) -> list[tuple[str, ...]]:
    """The cells under :data:`HEADER`, a row a config, of what is finished."""
    table = []
    for config in configs:
        finished = [(run.seed, result) for run in runs if run.config == config and (result := run.result())]
        cells = [mean_and_spread([result[key] for _, result in finished if key in result]) for key in METRICS.values()]
        table.append((config.stem, *cells, published(config), ", ".join(str(seed) for seed, _ in finished) or "-"))
    return table


def write_table(configs: Sequence[Path], runs: Sequence[SweepRun], out: Path) -> str:
    """Write what is finished as Markdown and HTML, and return the Markdown."""
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
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("configs", nargs="+", type=Path, help="config files, a row each, in this order")
    parser.add_argument("--seeds", nargs="+", type=int, default=[0], metavar="N", help="seeds (default: 0)")
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
    if twice := [path for path in args.configs if [other.stem for other in args.configs].count(path.stem) > 1]:
        raise UserInputError(
            f"two configs are called {twice[0].stem}; sweep them in folders of their own (--work-dir)."
        )
    epochs = {}
    for config in args.configs:  # all of them, before the first one trains for hours
        cfg = load_config(str(config), parse_overrides(args.cfg_options))
        cfg.work_dir = str(args.work_dir)
        check_stages(find_stages(cfg))
        epochs[config] = cfg.train_cfg.max_epochs
    runs = [
        SweepRun(config, seed, args.work_dir, args.cfg_options, epochs[config])
        for seed in dict.fromkeys(args.seeds)
        for config in args.configs
    ]
    for number, run in enumerate(runs, start=1):
        done = run.result() is not None
        print(f"run {number} of {len(runs)}: {run}{', finished before' if done else ''}", flush=True)
        if not done:
            run.run()
        table = write_table(args.configs, runs, args.work_dir)
    print(f"\n{table}\nwrote {args.work_dir / 'table.md'} and {args.work_dir / 'table.html'}")


def main(argv: Sequence[str] | None = None) -> None:
    """Run the sweep."""
    with user_errors():
        sweep(parse_args(argv))


if __name__ == "__main__":
    main()
