"""Train several configs with several seeds, and print a table: mean, spread, published numbers.

    python tools/sweep.py configs/lcreg/lcreg_r32_cifar10-lt.py{,:m20,:m30} --seeds 0 1 2 --jobs 4
    python tools/sweep.py configs/detection/faster-rcnn_r50-c4_24k_voc0712.py --backbones random ce=ce.pth sbcl=sbcl.pth

A killed command continues where it was; what is finished is not run again. All stages of a method are trained. A run
that fails stops no other.
"""

from __future__ import annotations

import argparse
import json
from collections.abc import Sequence
from pathlib import Path
from statistics import fmean
from typing import TYPE_CHECKING, Any, NamedTuple

from lt_plugins.atomic_write import atomic_write
from lt_plugins.errors import UserInputError
from lt_plugins.options import ALLOW_PICKLE_OPTION
from lt_plugins.runs.cli import (
    ToolParser,
    add_data_argument,
    add_early_stop_argument,
    add_imbalance_argument,
    add_pickle_argument,
    add_pretrained_argument,
    add_resident_argument,
    add_shorten_argument,
    add_shot_thresholds_argument,
    add_skip_bad_argument,
    add_val_interval_argument,
    override_texts,
    parse_overrides,
    user_errors,
)
from lt_plugins.runs.imbalance import image_draw
from lt_plugins.runs.published import TRANSFER_CONFIG, published_accuracy, published_transfer, transfer_cell
from lt_plugins.runs.spec import parse_spec, run_name
from lt_plugins.runs.tables import (
    CLASSIFICATION,
    DETECTION,
    GLT,
    Column,
    Result,
    column_values,
    markdown_table,
    result_rows,
)
from lt_plugins.runs.trackers import add_tracker_arguments, tracker_options, use_trackers
from lt_plugins.table_text import csv_table, latex_table

if TYPE_CHECKING:
    from mmengine.config import Config

    from lt_plugins.runs.named_backbone import NamedBackbone
    from lt_plugins.runs.pool_output import PoolOutput
    from lt_plugins.runs.recorded_run import RecordedRun

NOTE = "Percent, after the last step; ± is the standard deviation over seeds."
CLASSIFIERS = "Top-1 accuracy and expected calibration error. Published: overall, of the whole schedule."
PROTOCOLS = (
    "Accuracy and class-mean precision on the test sets of CLT and GLT (trained on Train-GLT) and of ALT (:alt, "
    "trained on Train-CBL)."
)
DETECTORS = "By the 11-point metric of VOC 2007."
TRENDS = (
    "Precision against accuracy on the validation set over the epochs, mean over seeds; the large mark is the last one"
)
OTHER_DETECTOR = (
    f"The published numbers (SBCL, Tab. 3, pre-training on ImageNet-LT) belong to {Path(TRANSFER_CONFIG).stem}: of "
    "another detector, other data or a shorter schedule only the order can be compared with theirs."
)


class Row(NamedTuple):
    """A row of the table: a config, of a detector with a backbone.

    Args:
        config (str): ``CONFIG.py[:VARIANT,...]``.
        name (str): Its name, also of its folders.
        is_short (bool): Whether a stage of it is shorter than its config file says.
        backbone (NamedBackbone | None): The backbone that a detector starts from.
        is_glt (bool): Whether its tests are those of a GLT benchmark.
        pretrained_on (str | None): Labels that its weights have seen before.
        draw (str | None): Which images of a class it trains on, where its training set is cut to a profile.
    """

    config: str
    name: str
    is_short: bool
    backbone: NamedBackbone | None
    is_glt: bool
    pretrained_on: str | None = None
    draw: str | None = None

    @property
    def columns(self) -> dict[str, Column]:
        """Columns of its numbers."""
        return DETECTION if self.backbone is not None else GLT if self.is_glt else CLASSIFICATION


class Sweep:
    """All runs of a command, and their table.

    Args:
        args (argparse.Namespace): The command line.

    Raises:
        UserInputError: If a config, backbone or folder does not fit, before the first run.
    """

    def __init__(self, args: argparse.Namespace) -> None:
        from lt_plugins.runs.run_pool import job_threads

        self.args = args
        self.rows = check_rows(args)
        self.threads = job_threads(args.jobs, args.gpus)
        self.options: dict[str, list[str]] = {row.name: self._options(row) for row in self.rows}
        self.runs = {(row.name, seed): self._run(row, seed) for seed in dict.fromkeys(args.seeds) for row in self.rows}
        # Asked once, and then told by the pool: a run that runs writes the files that would be read.
        self.metrics = {run: found for run in self.runs.values() if (found := run.metrics()) is not None}

    def _options(self, row: Row) -> list[str]:
        """Options of tools/train.py that say what is trained."""
        options = ["--shorten", str(self.args.shorten)] if self.args.shorten != 1 else []
        if self.args.val_interval is not None:
            options += ["--val-interval", str(self.args.val_interval)]
        if self.args.early_stop is not None:
            options += ["--early-stop", str(self.args.early_stop)]
        if row.backbone is not None:
            options += ["--backbone", row.backbone.source]
        return options

    def _run(self, row: Row, seed: int) -> RecordedRun:
        from lt_plugins.runs.recorded_run import RecordedRun

        details: dict[str, Any] = {"shorten": self.args.shorten}
        if self.args.early_stop is not None:
            details["early_stop"] = self.args.early_stop
        if row.backbone is not None:  # the same weights may have moved
            named = {"name": row.backbone.name, "checkpoint": row.backbone.source}
            details |= {"sha256": row.backbone.sha256(), "backbone": named}
        return RecordedRun(
            f"{row.name}, seed {seed}",
            self.args.work_dir / f"{row.name}_seed{seed}",
            row.config,
            seed,
            self.args.cfg_options,
            details,
            may_change=["backbone"],
            data=self.args.data,
            threads=self.threads,
        )

    def finish(self) -> None:
        """Train and test what is not finished, and write the table after each run.

        Raises:
            UserInputError: If runs failed, after all others are finished.
        """
        from lt_plugins.runs.pool_output import pool_output
        from lt_plugins.runs.run_pool import RunPool

        args = self.args
        names = {run: name for (name, _), run in self.runs.items()}
        numbers = {run: f"run {number} of {len(names)}: {run}" for number, run in enumerate(names, start=1)}
        open_runs = [run for run in names if run not in self.metrics]
        options = ([ALLOW_PICKLE_OPTION] if args.allow_pickle else []) + tracker_options(args)
        failures = []
        with pool_output(args.jobs) as output, RunPool(args.jobs, args.gpus, output, numbers) as pool:
            for run in names:
                if run in self.metrics:
                    output.say(f"{numbers[run]}, finished before")
                    self._record(run, names[run], output)
            self.write_table()
            for outcome in pool.finish({run: [*self.options[names[run]], *options] for run in open_runs}):
                if outcome.error is not None:
                    failures.append(outcome.error)
                    if len(open_runs) > 1:
                        output.say(f"{numbers[outcome.run]} failed: {outcome.error}")
                    continue
                self.metrics[outcome.run] = outcome.metrics
                self._record(outcome.run, names[outcome.run], output)
                self.write_table()
        text = self.write_table()
        written = ["table.md", "table.html", "table.csv", *(["table.tex"] if args.latex else [])]
        if args.latex:
            text = (args.work_dir / "table.tex").read_text(encoding="utf-8")
        print(f"\n{text}\nwrote {', '.join(written)} in {args.work_dir}")
        if failures:
            first = failures[0]
            raise UserInputError(
                first if len(names) == 1 else f"{len(failures)} of {len(names)} runs failed, the first: {first}"
            )

    @property
    def columns(self) -> dict[str, Column]:
        """Columns of the table: those of all rows."""
        return {name: column for row in self.rows for name, column in row.columns.items()}

    @property
    def shows_pretraining(self) -> bool:
        """Whether the table says what labels the weights of a row have seen before."""
        return any(row.pretrained_on for row in self.rows)

    def write_table(self) -> str:
        """Write what is finished as Markdown, HTML, CSV and, if asked for, LaTeX.

        Returns:
            str: The table in Markdown.
        """
        from lt_plugins.visualization import HtmlReport, plot_precision_trend

        header, cells, notes = self.table()
        numeric = [header.index(name) for name in self.columns]
        page = HtmlReport(f"Sweep: {self.args.work_dir.name}")
        page.add_table(header, cells)
        for note in notes:
            page.add_text(note)
        if trends := self.trends():
            page.add_figure(plot_precision_trend(trends), TRENDS)
        text = "\n\n".join([markdown_table(header, cells, numeric), *notes]) + "\n"
        atomic_write(self.args.work_dir / "table.md", text.encode())
        atomic_write(self.args.work_dir / "table.csv", csv_table(header, cells).encode())
        if self.args.latex:
            atomic_write(self.args.work_dir / "table.tex", latex_table(header, cells, numeric, notes).encode())
        page.save(self.args.work_dir / "table.html")
        return text

    def trends(self) -> dict[str, dict[str, tuple[list[float], list[float]]]]:
        """Accuracies and precisions over the epochs of each row with finished runs on a GLT benchmark, by test set."""
        from lt_plugins.runs.run_folder import RunFolder

        trends: dict[str, dict[str, tuple[list[float], list[float]]]] = {}
        for row in self.rows:
            own = [run for (name, _), run in self.runs.items() if name == row.name and run in self.metrics]
            seeds = [RunFolder(run.folder).log().precision_trends() for run in own] if row.is_glt else []
            for test in dict.fromkeys(test for seed in seeds for test in seed):
                curves = [seed[test] for seed in seeds if test in seed]
                # Over the epochs that all seeds have evaluated; zip() stops at the shortest.
                accuracy, precision = (
                    [fmean(values) for values in zip(*axis, strict=False)] for axis in zip(*curves, strict=True)
                )
                trends.setdefault(test, {})[row.name] = (accuracy, precision)
        return trends

    def table(self) -> tuple[tuple[str, ...], list[tuple[str, ...]], list[str]]:
        """Header, cells and notes of the table of what is finished."""
        transfer, columns = self.rows[0].backbone is not None, self.columns
        results = [
            Result(name, seed, column_values(metrics, columns))
            for (name, seed), run in self.runs.items()
            if (metrics := self.metrics.get(run)) is not None
        ]
        numbers = published_transfer() if transfer else {}
        published = {
            row.name: transfer_cell(row.backbone.name, numbers) if row.backbone else published_accuracy(row.config)
            for row in self.rows
        }
        cells = []
        rows = result_rows(published, results, columns, published)
        for row, (_, *middle, seeds) in zip(self.rows, rows, strict=True):
            first = (self._config_name(row), row.backbone.name) if row.backbone else (row.name,)
            seen = (row.pretrained_on or "nothing",) if self.shows_pretraining else ()
            cells.append((*first, *middle, *seen, "short" if row.is_short else "full", seeds))
        header = (*(("Config", "Backbone") if transfer else ("Config",)), *columns)
        header += (f"Published {' / '.join(columns)}" if transfer else "Published",)
        header += (*(("Pretrained on",) if self.shows_pretraining else ()), "Schedule", "Seeds")
        notes = [
            f"{len(results)} of {len(self.runs)} runs are finished. {NOTE}",
            *([DETECTORS] if transfer else [CLASSIFIERS] if not all(row.is_glt for row in self.rows) else []),
            *self._draws(),
            *([PROTOCOLS] if any(row.is_glt for row in self.rows) else []),
        ]
        if transfer and any(parse_spec(row.config).portable.path != TRANSFER_CONFIG for row in self.rows):
            notes.append(OTHER_DETECTOR)
        return header, cells, notes

    def _draws(self) -> list[str]:
        """The note that names the draw of the training images (docs/data.md), by row where they differ."""
        draws = {row.name: row.draw for row in self.rows if row.draw is not None}
        names = [*dict.fromkeys(draws.values())]
        if len(names) > 1:
            return [f"Draws of the training images: {', '.join(f'{name}: {draw}' for name, draw in draws.items())}."]
        return [f"Draw of the training images: {names[0]}."] if names else []

    def _config_name(self, row: Row) -> str:
        return run_name(row.config, self.args.data, self.args.shorten)

    def _record(self, run: RecordedRun, name: str, output: PoolOutput) -> None:
        """Write the results file of a finished run."""
        from lt_plugins.runs.result_file import describe_result

        if self.args.record is not None:
            path = self.args.record / f"{name}_seed{run.seed}.json"
            atomic_write(path, (json.dumps(describe_result(run, self.options[name]), indent=2) + "\n").encode())
            output.say(f"wrote {path}; make results-table shows it")


def check_rows(args: argparse.Namespace) -> list[Row]:
    """Check all configs and backbones, before the first one trains for hours."""
    from lt_plugins.checkpoints.backbone import set_backbone
    from lt_plugins.checks.global_batch import check_global_batch
    from lt_plugins.evaluation.shot_thresholds import is_glt
    from lt_plugins.runs.best_epoch import stop_early
    from lt_plugins.runs.config import load_stages
    from lt_plugins.runs.schedule import is_short
    from lt_plugins.runs.stages import check_stages, place_stages

    for option in ("jobs", "gpus"):
        if getattr(args, option) < 1:
            raise UserInputError(f"--{option} {getattr(args, option)} must be 1 or more.")
    backbones = check_backbones(args)
    rows: list[Row] = []
    for config in args.configs:
        base = run_name(config, args.data, args.shorten) + ("+pretrained" if args.pretrained else "")
        configs = load_stages(
            config, parse_overrides(args.cfg_options), ["train"], data=args.data, shorten=args.shorten
        )
        axis: list[NamedBackbone | None] = [*backbones] or [None]
        for backbone in axis:
            name = base if backbone is None else f"{base}_{backbone.name}"
            if name in [row.name for row in rows]:
                raise UserInputError(f"two runs are called {name}; sweep them in folders of their own (--work-dir).")
            if backbone is not None:
                set_backbone(configs[-1], backbone.source)
            rows.append(Row(config, name, any(map(is_short, configs)), backbone, is_glt(configs[-1])))
        check_stages(place_stages(configs, args.work_dir), args.allow_pickle)
        rows[-1] = rows[-1]._replace(pretrained_on=configs[-1].get("pretrained_on"), draw=image_draw(configs[-1]))
        if args.early_stop is not None:
            stop_early(configs, args.early_stop)
        for cfg in configs:
            check_global_batch(cfg, args.gpus)
            use_trackers(cfg, args)
        if backbones:
            match_backbones(configs[-1], backbones, args.allow_pickle)
        else:
            published_accuracy(config)
    return rows


def check_backbones(args: argparse.Namespace) -> list[NamedBackbone]:
    """Read the names and files of the backbones."""
    from lt_plugins.compat import check_detection
    from lt_plugins.runs.named_backbone import parse_backbone

    if args.backbones is None:
        return []
    check_detection()
    backbones = [parse_backbone(text, args.allow_pickle) for text in args.backbones]
    names = [backbone.name for backbone in backbones]
    if twice := [name for name in names if names.count(name) > 1]:
        raise UserInputError(f"--backbones has two that are called {twice[0]!r}; name them, NAME=FILE.")
    return backbones


def match_backbones(cfg: Config, backbones: Sequence[NamedBackbone], allow_pickle: bool) -> None:
    """Load each backbone into the detector once, so that one of another model is named before the first run."""
    from lt_plugins.checkpoints.backbone import RANDOM_BACKBONE, read_backbone
    from lt_plugins.detection import load_backbone
    from lt_plugins.models.build import build_model

    detector = build_model(cfg)
    for backbone in backbones:
        if backbone.source != RANDOM_BACKBONE:
            weights = read_backbone(backbone.source, allow_pickle)
            print(f"{backbone.name}: {load_backbone(detector, weights, backbone.source)}")


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
    parser.add_argument(
        "--backbones",
        nargs="+",
        metavar="[NAME=]FILE",
        help="of detectors: start from each of these checkpoints of classifiers, or 'random', a row each; it is called "
        "NAME, or like the file or its folder",
    )
    parser.add_argument(
        "--jobs",
        type=int,
        default=1,
        metavar="N",
        help="runs side by side (default: 1); they share one GPU, are spread over several, or get cores/N CPU threads "
        "each. A run alone with the same OMP_NUM_THREADS gives the same weights, bit for bit on a CPU",
    )
    parser.add_argument("--gpus", type=int, default=1, metavar="N", help="processes a run (default: 1)")
    parser.add_argument("--work-dir", type=Path, default=Path("work_dirs/sweep"), help="(default: %(default)s)")
    parser.add_argument(
        "--record",
        type=Path,
        metavar="DIR",
        help="write a results file of each finished run below this folder (results): config, command, seed, hardware, "
        "time, commit, metrics",
    )
    parser.add_argument(
        "--cfg-options",
        nargs="+",
        default=[],
        metavar="KEY=VALUE",
        help="override values of every config; of a second stage alone as stage2.KEY=VALUE",
    )
    parser.add_argument(
        "--latex", action="store_true", help="also write table.tex, for booktabs, and print it instead of Markdown"
    )
    add_data_argument(parser)
    add_imbalance_argument(parser)
    add_shorten_argument(parser)
    add_pretrained_argument(parser)
    add_val_interval_argument(parser)
    add_resident_argument(parser)
    add_early_stop_argument(parser)
    add_tracker_arguments(parser)
    add_shot_thresholds_argument(parser)
    add_skip_bad_argument(parser)
    add_pickle_argument(parser)
    args = parser.parse_args(argv)
    args.cfg_options = [*args.cfg_options, *override_texts(args)]
    return args


def main(argv: Sequence[str] | None = None) -> None:
    """Run the sweep."""
    with user_errors("the same command continues there"):
        args = parse_args(argv)
        from lt_plugins.checkpoints.checkpoint import guard_pickles

        guard_pickles(args.allow_pickle)
        Sweep(args).finish()


if __name__ == "__main__":
    main()
