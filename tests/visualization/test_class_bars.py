from __future__ import annotations

import numpy as np
from rich.cells import cell_len

from lt_plugins.visualization.class_bars import class_bars


def test_largest_first_and_the_group_where_it_changes() -> None:
    lines = class_bars(np.array([3, 1500, 0, 40]), ["few", "many", "few", "medium"], ["ant", "bee", "日本", "dog"])
    assert [line.split()[:2] for line in lines] == [["bee", "1,500"], ["dog", "40"], ["ant", "3"], ["日本", "0"]]
    assert [line.split()[-1] for line in lines[:3]] == ["many", "medium", "few"]
    assert [line.count("█") for line in lines] == [30, round(30 * np.log(41) / np.log(1501)), 6, 0]
    assert len({cell_len(line[: line.index("█")]) for line in lines if "█" in line}) == 1, "bars begin below each other"


def test_many_classes_and_long_names() -> None:
    counts = np.arange(100, 0, -1)
    lines = class_bars(counts, ["medium"] * 100, [f"{k} {'x' * 50}" for k in range(100)], max_lines=10)
    assert len(lines) == 11
    assert lines[5].split() == ["...", "90", "more", "classes"]
    assert lines[4].startswith("4 xxx") and lines[6].startswith("95 xxx") and "...  " in lines[0]
