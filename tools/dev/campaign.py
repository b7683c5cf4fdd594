"""Train the methods on CIFAR-LT, those that are worth most first, on a machine that is at hand for a short time.

    PYTHONPATH=. python tools/dev/campaign.py --minutes 9 --jobs 8 --dry-run     # measures, and prints what fits
    PYTHONPATH=. python tools/dev/campaign.py --minutes 9 --jobs 8 --out OUT     # the same command again goes on
    PYTHONPATH=. python tools/dev/campaign.py --minutes 9 --jobs 8 --out OUT --resume-from EARLIER_OUT    # elsewhere

On a bare machine without network --wheels and --archives bring packages and data; it has to have torch and torchvision.
All images come from class folders (variant "folders" of the configs).
"""

from __future__ import annotations

import argparse
import json
import os
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from threading import Event, Thread, Timer
from typing import TYPE_CHECKING

from lt_plugins.atomic_write import atomic_write
from lt_plugins.errors import UserInputError
from lt_plugins.runs.bare_machine import add_to_path, install_wheels, missing_modules, unpack_archives
from lt_plugins.runs.cli import ToolParser, add_shorten_argument, parse_overrides, user_errors

if TYPE_CHECKING:
    from lt_plugins.runs.campaign import StageSpeed
    from lt_plugins.runs.pool_output import PoolOutput
    from lt_plugins.runs.recorded_run import RecordedRun

ROOT = Path(__file__).resolve().parents[2]
STARTED = time.monotonic()
SECONDS_TO_END = 20  # to stop what runs and to write the archives
PATIENCE = 10  # seconds that a run has to stop
ARCHIVE_EVERY = 25  # seconds; checkpoints are 30 apart, and a minute is what a kill may cost
ARCHIVED = ("runs", "results", "table.md")
NEEDED = (
    *("torch", "torchvision", "numpy", "scipy", "cv2", "PIL", "rich", "yaml", "filelock", "matplotlib", "einops"),
    *("mmengine", "mmcv", "mmpretrain", "addict", "yapf", "termcolor", "modelindex"),
)
"""Modules that a training imports."""


class Campaign:
    """The runs, and what is done with them.

    Args:
        args (argparse.Namespace): The command line.

    Raises:
        UserInputError: If a config does not work here, or a folder holds other runs.
    """

    def __init__(self, args: argparse.Namespace) -> None:
        from lt_plugins.runs.campaign import plan_runs
        from lt_plugins.runs.config import load_stages
        from lt_plugins.runs.run_archive import unpack_runs
        from lt_plugins.runs.run_pool import job_threads

        self.args = args
        self.options = ["--shorten", str(args.shorten)] if args.shorten != 1 else []
        self.threads = job_threads(args.jobs)
        planned = plan_runs(args.methods, args.datasets, dict.fromkeys(args.seeds))
        datasets = {run.config: run.dataset for run in planned}
        if args.archives is not None:
            unpack_archives(args.archives, args.data, dict.fromkeys(datasets.values()))
        for dataset in dict.fromkeys(datasets.values()):
            if not (args.data / dataset / "train").is_dir():
                raise UserInputError(f"{args.data / dataset}/train is not there; give --data DIR, or --archives DIR.")
        if args.resume_from is not None:
            print(f"{unpack_runs(args.resume_from, args.work_dir)} files put back from {args.resume_from}")
        for config, dataset in datasets.items():
            load_stages(config, parse_overrides(self._overrides(dataset)), ["train", "val"], shorten=args.shorten)
        self.runs = [self._run(*run) for run in planned]
        self.metrics = {run: found for run in self.runs if (found := run.metrics()) is not None}

    def _overrides(self, dataset: str) -> list[str]:
        from lt_plugins.runs.campaign import data_overrides

        return [*data_overrides(self.args.data, dataset), *self.args.cfg_options]

    def _run(self, config: str, seed: int, dataset: str) -> RecordedRun:
        from lt_plugins.runs.recorded_run import RecordedRun
        from lt_plugins.runs.spec import run_name

        name = f"{run_name(config, shorten=self.args.shorten)}_seed{seed}"
        details = {"shorten": self.args.shorten}
        folder, overrides = self.args.work_dir / "runs" / name, self._overrides(dataset)
        return RecordedRun(name, folder, config, seed, overrides, details, threads=self.threads)

    def unfinished(self) -> list[RecordedRun]:
        """Runs that are not finished, in order."""
        return [run for run in self.runs if run not in self.metrics]

    def dry_run(self) -> None:
        """Measure every config in a few steps, as many at a time as there are jobs, and print what fits.

        Raises:
            UserInputError: If a config cannot be measured, after all others are.
        """
        from lt_plugins.runs.campaign import plan_table
        from lt_plugins.runs.probe import measure_side_by_side

        args, runs = self.args, self.unfinished()
        overrides = {run.config: run.overrides for run in runs}
        configs = list(overrides)
        speeds: dict[str, Sequence[StageSpeed]] = {}
        failures: dict[str, str] = {}
        for first in range(0, len(configs), args.jobs):
            group = {config: overrides[config] for config in configs[first : first + args.jobs]}
            print(f"measures {', '.join(group)}", flush=True)
            found, failed = measure_side_by_side(group, args.jobs, args.steps, args.shorten, self.threads)
            speeds |= found
            failures |= failed
        table, num_fitting = plan_table(runs, speeds, args.jobs, args.minutes)
        print(
            f"\n{table}\n\n{num_fitting} of {len(runs)} runs end within {args.minutes:g} minutes, {args.jobs} at a "
            f"time. Measured in {args.steps} steps with {args.jobs} side by side; clustering itself is not in it, and "
            "a second stage is measured with fewer neighbours."
        )
        if failures:
            config, reason = next(iter(failures.items()))
            raise UserInputError(f"{len(failures)} of {len(configs)} configs cannot be measured, {config}: {reason}")

    def finish(self) -> None:
        """Train until all is finished or the time is over.

        Raises:
            UserInputError: If runs failed.
        """
        runs = self.unfinished()
        headings = {run: f"run {self.runs.index(run) + 1} of {len(self.runs)}: {run}" for run in runs}
        try:
            failures = self._train(runs, headings)
        finally:
            self.archive()
        left = len(self.unfinished())
        print(
            f"\n{self._table()}\n{left} of {len(self.runs)} runs are left"
            + ("; the same command goes on with them" if left else "")
        )
        if failures:
            raise UserInputError(f"{len(failures)} runs failed, the first: {failures[0]}")

    def _train(self, runs: Sequence[RecordedRun], headings: dict[RecordedRun, str]) -> list[str]:
        """Train runs while there is time, and say why some failed."""
        from lt_plugins.runs.pool_output import pool_output
        from lt_plugins.runs.run_pool import RunPool

        args, failures = self.args, []
        with (
            pool_output(args.jobs) as output,
            RunPool(args.jobs, 1, output, headings) as pool,
            repeated(self.archive, ARCHIVE_EVERY),
        ):
            for run in self.runs:
                if run not in headings:
                    self._record(run, output)
            timer = Timer(
                max(0.0, STARTED + 60 * args.minutes - SECONDS_TO_END - time.monotonic()), pool.stop, [PATIENCE]
            )
            timer.daemon = True
            timer.start()
            try:
                for outcome in pool.finish(dict.fromkeys(runs, self.options)):
                    if outcome.error is not None:
                        failures.append(outcome.error)
                        output.say(f"{headings[outcome.run]} failed: {outcome.error}")
                    else:
                        self.metrics[outcome.run] = outcome.metrics
                        self._record(outcome.run, output)
            finally:
                timer.cancel()
        return failures

    def _record(self, run: RecordedRun, output: PoolOutput) -> None:
        """Write the results file of a finished run, and the table."""
        from lt_plugins.runs.result_file import describe_result

        path = self.args.work_dir / "results" / f"{run}.json"
        if not path.is_file():
            result = describe_result(run, self.options)
            result["commit"] = result["commit"] or self.args.commit
            atomic_write(path, (json.dumps(result, indent=2) + "\n").encode())
            output.say(f"wrote {path}")
        self._table()

    def _table(self) -> str:
        from lt_plugins.runs.campaign import result_table

        table = result_table(self.runs, self.metrics)
        atomic_write(self.args.work_dir / "table.md", table.encode())
        return table

    def archive(self) -> None:
        """Write what goes on elsewhere."""
        from lt_plugins.runs.run_archive import archive_runs

        if self.args.out is not None:
            left = archive_runs(self.args.work_dir, ARCHIVED, [run.folder for run in self.unfinished()], self.args.out)
            for folder in left:
                print(f"warning: the checkpoint of {folder} has no place in {self.args.out}", file=sys.stderr)


@contextmanager
def repeated(action: Callable[[], None], seconds: float) -> Iterator[None]:
    """Do something from time to time, beside the block."""
    ended = Event()

    def repeat() -> None:
        while not ended.wait(seconds):
            try:
                action()
            except OSError as error:
                print(f"warning: {error}", file=sys.stderr, flush=True)

    thread = Thread(target=repeat, daemon=True)
    thread.start()
    try:
        yield
    finally:
        ended.set()
        thread.join()


def parse_args(argv: Sequence[str] | None) -> argparse.Namespace:
    """Read the command line."""
    parser = ToolParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--minutes", type=float, required=True, metavar="N", help="end within this time, all in all")
    parser.add_argument("--jobs", type=int, default=1, metavar="N", help="runs side by side (default: 1)")
    parser.add_argument("--dry-run", action="store_true", help="measure each config, print what fits, train nothing")
    parser.add_argument("--steps", type=int, default=20, metavar="N", help="steps of --dry-run (default: 20)")
    parser.add_argument("--methods", nargs="+", default=["all"], metavar="NAME", help="in this order (default: all)")
    parser.add_argument(
        "--datasets",
        nargs="+",
        default=["all"],
        metavar="NAME",
        help="like c100-50, CIFAR-100-LT of imbalance factor 50, in this order (default: all)",
    )
    parser.add_argument("--seeds", nargs="+", type=int, default=[0, 1, 2], metavar="N", help="(default: 0 1 2)")
    parser.add_argument("--work-dir", type=Path, default=Path("work_dirs/campaign"), help="(default: %(default)s)")
    parser.add_argument(
        "--out",
        type=Path,
        metavar="DIR",
        help="write here, every 25 s and at the end, what is needed to report and to go on elsewhere: "
        "records.tar.gz and at most four checkpoints-N.tar of 15 MiB",
    )
    parser.add_argument("--resume-from", type=Path, metavar="DIR", help="go on from what --out wrote elsewhere")
    parser.add_argument(
        "--data",
        type=Path,
        default=Path("data"),
        metavar="DIR",
        help="class folders DIR/cifar100/{train,test}/<class> and DIR/cifar10 (default: data of this project)",
    )
    parser.add_argument("--archives", type=Path, metavar="DIR", help="unpack DIR/cifar100.tar.gz, ... there first")
    parser.add_argument("--wheels", type=Path, metavar="DIR", help="install these wheels first, below --work-dir")
    parser.add_argument("--commit", default="", help="commit for the results files, where there is no git")
    parser.add_argument(
        "--cfg-options", nargs="+", default=[], metavar="KEY=VALUE", help="override values of every config"
    )
    add_shorten_argument(parser)
    return parser.parse_args(argv)


def prepare_packages(argv: Sequence[str]) -> None:
    """Install wheels and check what is there, before anything but the standard library is imported."""
    early = argparse.ArgumentParser(add_help=False, allow_abbrev=False, exit_on_error=False)
    early.add_argument("--wheels", type=Path)
    early.add_argument("--work-dir", type=Path, default=Path("work_dirs/campaign"))
    try:
        known, _ = early.parse_known_args(argv)
    except argparse.ArgumentError:
        return  # parse_args says what is wrong
    add_to_path([ROOT])
    if known.wheels is not None:
        install_wheels(known.wheels.resolve(), known.work_dir.resolve() / "packages")
    if missing := missing_modules(NEEDED):
        raise UserInputError(f"this Python lacks {', '.join(missing)}; install them, or give --wheels DIR.")


def check_args(args: argparse.Namespace) -> None:
    """Check values, and make paths absolute: the runs start in the root of the project."""
    from lt_plugins.runs.campaign import BLOCKS, METHODS, check_names

    for option in ("jobs", "steps"):
        if getattr(args, option) < 1:
            raise UserInputError(f"--{option} {getattr(args, option)} must be 1 or more.")
    if not 1 <= args.minutes < 1e6:
        raise UserInputError(f"--minutes {args.minutes:g} must be 1 or more.")
    for option, known in (("methods", METHODS), ("datasets", BLOCKS)):
        if getattr(args, option) == ["all"]:
            setattr(args, option, list(known))
        check_names(f"--{option}", getattr(args, option), known)
    for option in ("work_dir", "out", "resume_from", "data", "archives"):
        if (path := getattr(args, option)) is not None:
            setattr(args, option, path.resolve())
    if args.data == ROOT / "data":
        args.data = Path("data")
    os.chdir(ROOT)


def main(argv: Sequence[str] | None = None) -> None:
    """Run the campaign."""
    with user_errors("the same command goes on there"):
        given = sys.argv[1:] if argv is None else argv
        if not {"-h", "--help"} & {*given}:
            prepare_packages(given)
        args = parse_args(argv)
        check_args(args)
        campaign = Campaign(args)
        if args.dry_run:
            campaign.dry_run()
        else:
            campaign.finish()


if __name__ == "__main__":
    main()
