"""Class bars: a class histogram as lines of text, for a terminal."""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray
from rich.cells import cell_len, set_cell_size

_MAX_NAME = 28
_MAX_BAR = 30


def class_bars(
    counts: NDArray[np.int64], groups: Sequence[str], names: Sequence[str], max_lines: int = 40
) -> list[str]:
    """Draw the class sizes, largest first, as bars on a logarithmic scale.

    Args:
        counts (NDArray): Images of each class, ``(C,)``.
        groups (Sequence[str]): ``'many'``, ``'medium'`` or ``'few'`` for each class, ``C`` of them.
        names (Sequence[str]): Class names, ``C`` of them.
        max_lines (int): Classes that are shown; of more, the largest and the smallest. Defaults to 40.

    Returns:
        list[str]: A line for each class: name, images, bar and, where it changes, the group.
    """
    order = np.argsort(-counts, kind="stable").tolist()
    hidden = max(len(order) - max_lines, 0)
    half = max_lines // 2
    shown = [*order[:half], *order[half + hidden :]]
    width = min(_MAX_NAME, max((cell_len(names[label]) for label in shown), default=0))
    digits = len(f"{counts.max(initial=0):,}")
    longest = math.log1p(float(counts.max(initial=1)))
    lines, last = [], ""
    for place, label in enumerate(shown):
        if hidden and place == half:
            lines.append(f"{'...':<{width}}  {hidden:,} more classes")
        length = round(_MAX_BAR * math.log1p(float(counts[label])) / longest)
        name = names[label] if cell_len(names[label]) <= width else f"{set_cell_size(names[label], width - 3)}..."
        group = "" if groups[label] == last else f"  {groups[label]}"
        last = groups[label]
        lines.append(f"{set_cell_size(name, width)}  {counts[label]:>{digits},}  {'█' * length}{group}")
    return lines
