"""Draw up a run as one self-contained HTML page, or compare several; works while a run is still going on."""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from pathlib import Path

from lt_plugins.atomic_write import check_output
from lt_plugins.runs.cli import ToolParser, add_stage_argument, user_errors


def parse_args(argv: Sequence[str] | None) -> argparse.Namespace:
    """Read the command line."""
    parser = ToolParser(description=__doc__)
    parser.add_argument(
        "work_dirs",
        nargs="+",
        metavar="WORK_DIR",
        help="work dir of the run, like work_dirs/NAME; of several runs, the others are compared with the first",
    )
    add_stage_argument(parser, "stage of the run to draw up (default: the last one)")
    parser.add_argument(
        "-o",
        "--out",
        help="the page (default: report.html in the work dir, or in that of the stage; of several runs comparison.html "
        "beside the first)",
    )
    parser.add_argument("--png", metavar="DIR", help="also write each figure as a PNG file there")
    return parser.parse_args(argv)


def write_report(args: argparse.Namespace) -> None:
    """Do what the command line asks for."""
    from lt_plugins.analysis.report.comparison import ComparisonReport
    from lt_plugins.analysis.report.run_report import RunReport
    from lt_plugins.runs.run_folder import RunFolder
    from lt_plugins.runs.spec import stage_source

    folders = [stage_source(work_dir, args.stage) for work_dir in args.work_dirs]
    runs = [RunFolder(folder) for folder in folders]
    png_dir = Path(args.png) if args.png else None
    out = Path(args.out or Path(folders[0], "report.html"))
    report: RunReport | ComparisonReport
    if len(runs) == 1:
        report = RunReport(runs[0], png_dir, print)
    else:
        report = ComparisonReport(runs, png_dir, print)
        out = Path(args.out or Path(folders[0]).resolve().parent / "comparison.html")
    check_output(out, [path for run in runs for path in run.files()])
    report.build().save(out)
    print(f"wrote {out}")


def main(argv: Sequence[str] | None = None) -> None:
    """Write the report."""
    with user_errors():
        write_report(parse_args(argv))


if __name__ == "__main__":
    main()
