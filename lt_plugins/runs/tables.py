"""Markdown tables and their cells."""

from __future__ import annotations

import math
import statistics
from collections.abc import Collection, Sequence

from lt_plugins.errors import UserInputError


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
