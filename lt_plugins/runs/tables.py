"""Tables of runs: mean and spread over seeds, published numbers beside them."""

from __future__ import annotations

import math
import statistics
from collections.abc import Collection, Iterable, Mapping, Sequence
from typing import NamedTuple

from lt_plugins.errors import UserInputError


class Column(NamedTuple):
    """Metric of a table.

    Args:
        key (str): Its name in the logs of a run.
        scale (float): What makes it percent. Defaults to 1.
    """

    key: str
    scale: float = 1


CLASSIFICATION = {
    "Overall": Column("shot/accuracy_top1"),
    "Many": Column("shot/many"),
    "Medium": Column("shot/medium"),
    "Few": Column("shot/few"),
    "ECE": Column("calibration/ece"),
}
GLT = {
    f"{protocol.upper()} {short}": Column(f"{protocol}/{name}")
    for protocol in ("clt", "glt", "alt")
    for short, name in (("acc", "accuracy"), ("prec", "precision"))
}
# mmdet's VOCMetric gives fractions; in the order of the papers' tables.
DETECTION = {
    "AP50": Column("pascal_voc/AP50", 100),
    "AP": Column("pascal_voc/mAP", 100),
    "AP75": Column("pascal_voc/AP75", 100),
}


class Result(NamedTuple):
    """Outcome of one run.

    Args:
        row (str): Name of its row.
        seed (int): Its seed.
        metrics (Mapping[str, float]): Numbers by the names of the columns; one may be missing.
    """

    row: str
    seed: int
    metrics: Mapping[str, float]


def glt_name(key: str) -> str:
    """Name in a results file of a number of ``GLTMetric``.

    Args:
        key (str): Its name in the log, like ``clt/accuracy``.
    """
    return key.replace("/", "_")


def column_values(logged: Mapping[str, float], columns: Mapping[str, Column]) -> dict[str, float]:
    """Numbers of a run under the names of the columns, in percent.

    Args:
        logged (Mapping[str, float]): Metrics as logged.
        columns (Mapping[str, Column]): The columns by name.

    Returns:
        dict[str, float]: Those that were logged, to four decimals.
    """
    return {name: round(logged[key] * scale, 4) for name, (key, scale) in columns.items() if key in logged}


def result_rows(
    rows: Iterable[str], results: Collection[Result], columns: Iterable[str], published: Mapping[str, str]
) -> list[tuple[str, ...]]:
    """Rows of a table: name, a mean with its spread for each column, published numbers, seeds.

    Args:
        rows (Iterable[str]): Names of the rows, in order.
        results (Collection[Result]): Finished runs.
        columns (Iterable[str]): Names of the columns.
        published (Mapping[str, str]): Published numbers by row.

    Returns:
        list[tuple[str, ...]]: The cells; ``-`` where there is nothing, ± the standard deviation over seeds.
    """
    cells = []
    for row in rows:
        own = sorted((result for result in results if result.row == row), key=lambda result: result.seed)
        means = [mean_and_spread([run.metrics[name] for run in own if name in run.metrics]) for name in columns]
        seeds = ", ".join(str(result.seed) for result in own)
        cells.append((row, *means, published.get(row, "-"), seeds or "-"))
    return cells


def mean_and_spread(values: Sequence[float]) -> str:
    """Format the mean of several runs and, of two or more, their standard deviation.

    Args:
        values (Sequence[float]): One a run.

    Returns:
        str: ``"47.0"``, ``"47.0 ± 0.3"``, or ``"-"`` without runs.

    Raises:
        UserInputError: If a value is not finite.
    """
    if not all(map(math.isfinite, values)):
        raise UserInputError(f"a table needs finite numbers and got {list(values)}; a run has diverged.")
    if not values:
        return "-"
    spread = f" ± {statistics.stdev(values):.1f}" if len(values) > 1 else ""
    return f"{statistics.mean(values):.1f}{spread}"


def markdown_table(header: Sequence[str], rows: Sequence[Sequence[str]], numeric: Collection[int]) -> str:
    """Format a table in Markdown.

    Args:
        header (Sequence[str]): Names of the columns.
        rows (Sequence[Sequence[str]]): The cells.
        numeric (Collection[int]): Columns that are aligned to the right.

    Returns:
        str: The lines, without a line feed at the end.
    """
    rule = ["---:" if column in numeric else "---" for column in range(len(header))]
    return "\n".join("| " + " | ".join(line) + " |" for line in (header, rule, *rows))
