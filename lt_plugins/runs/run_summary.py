"""Summary of a finished run on one screen: numbers, worst classes, where its files are, what to do next."""

from __future__ import annotations

import re
import shlex
from collections.abc import Iterator, Mapping, Sequence
from contextlib import suppress
from pathlib import Path

import numpy as np
from rich.cells import cell_len, set_cell_size

from lt_plugins.checkpoints.run_checkpoints import find_results, load_last_checkpoint
from lt_plugins.errors import UserInputError
from lt_plugins.evaluation import confusions
from lt_plugins.evaluation.class_table import ClassTable
from lt_plugins.evaluation.predictions import Predictions
from lt_plugins.resources import spell_tools, tools
from lt_plugins.runs.run_folder import Row, RunFolder
from lt_plugins.runs.short_names import short_names
from lt_plugins.runs.time_left import show_duration
from lt_plugins.terminal import displayable

NO_SUMMARY = "LT_PLUGINS_NO_SUMMARY"
"""Environment variable: tools/train.py prints no summary, as in a sweep, which has a table of its own."""
MAX_WORST = 5
MAX_CONFUSIONS = 2  # classes that a worst one is taken for
MAX_NAME = 28  # columns
_BEST = re.compile(r"best_.*_(?:epoch|iter)_(\d+)\.pth")


def summarize_run(work_dir: str | Path, config: str, options: Sequence[str], seconds: float | None = None) -> str:
    """Summarise a finished run, from its log and the predictions of its last evaluation.

    Args:
        work_dir (str | Path): Its folder.
        config (str): ``CONFIG.py[:VARIANT,...]``.
        options (Sequence[str]): Options that other tools need to find the same model and images.
        seconds (float | None): How long this start took.

    Returns:
        str: Lines of at most about a hundred columns, without a line feed at the end.
    """
    run = RunFolder(work_dir)
    best_file = _best_checkpoint(run.path)
    last = load_last_checkpoint(run.path)
    lines = [f"Finished{'' if seconds is None else f' in {show_duration(seconds)}'}: {displayable(str(work_dir))}"]
    try:
        log = run.log()
        rows = log.metrics
    except UserInputError:
        rows = []
    if rows:
        lines += ["", *_numbers(rows, log.unit, best_file)]
    else:
        lines.append("It was not evaluated.")
    with suppress(UserInputError):  # a detector, or evaluated by other metrics
        lines += ["", *worst_classes(run.class_table()[1], run.predictions()[1])]
    places = {"log": str(_newest_log(run) or "none")}
    if last is not None:
        places["last"] = f"{last.path} (--resume, and what the tools take of a work dir)"
    if best_file is not None:
        places["best"] = f"{best_file} (chosen by its mean class accuracy above, which flatters it a little)"
    lines += ["", *_aligned(places), "", "next"]
    chosen = str(best_file or run.path)
    return "\n".join([*lines, *(f"  {command}" for command in next_commands(run.path, config, options, chosen))])


def next_commands(work_dir: Path, config: str, options: Sequence[str], checkpoint: str) -> Iterator[str]:
    """Commands that follow a training.

    Args:
        work_dir (Path): The folder of the run.
        config (str): ``CONFIG.py[:VARIANT,...]``.
        options (Sequence[str]): As for :func:`summarize_run`.
        checkpoint (str): The checkpoint to use.
    """
    known = tools()
    commands = {
        "report": [str(work_dir)],
        "test": [config, checkpoint, *options],
        "posthoc": [config, checkpoint, *options],
        "predict": [checkpoint, "PHOTOS"],
    }
    for tool, words in commands.items():
        if tool in known:
            yield spell_tools(f"python tools/{tool}.py") + " " + shlex.join(words)


def worst_classes(table: ClassTable, predictions: Predictions) -> list[str]:
    """The classes with the lowest accuracy, and what they are taken for, as lines of a table.

    Args:
        table (ClassTable): Accuracy by class.
        predictions (Predictions): Of the same evaluation.
    """
    counts = table.train_counts
    order = confusions.worst_classes(table.accuracy, table.test_counts, counts, MAX_WORST)
    if not len(order):
        return ["No class has a wrong prediction."]
    lines = [("worst classes, last evaluation", "accuracy", "trained on", "taken for")]
    for label in order.tolist():
        own = np.equal(predictions.label, label)
        taken = confusions.confused_pairs(
            predictions.label[own], predictions.predicted[own], len(table.names), MAX_CONFUSIONS
        )
        shown = [
            f"{_short(table.names[pair.predicted])} ({pair.images} of {table.test_counts[label]})" for pair in taken
        ]
        images = "" if counts is None else f"{counts[label]} image{'s' if counts[label] != 1 else ''}"
        lines.append((_short(table.names[label]), f"{table.accuracy[label]:.1f}", images, ", ".join(shown)))
    return _table(lines, numeric=(1, 2))


def _numbers(rows: Sequence[Row], unit: str, best_file: Path | None) -> list[str]:
    """Table of the last and the best evaluation."""
    shown = {f"last, {unit} {rows[-1]['step']:g}": rows[-1]}
    scored = [row for row in rows if "shot/balanced" in row]
    if scored:
        best = max(scored, key=lambda row: row["shot/balanced"])
        if best_file is not None:
            step = int(_BEST.fullmatch(best_file.name)[1])  # type: ignore[index]  # it was found by the pattern
            best = next((row for row in scored if row["step"] == step), best)
        kept = "" if best_file is not None else " (not kept)"
        shown[f"best, {unit} {best['step']:g}{kept}"] = best
    values = {
        name: short_names({key: value for key, value in row.items() if key != "step"}) for name, row in shown.items()
    }
    names = list(dict.fromkeys(name for row in values.values() for name in row))
    cells = [("", *names)]
    cells += [(name, *(f"{row[key]:.1f}" if key in row else "" for key in names)) for name, row in values.items()]
    return _table(cells, numeric=range(1, len(names) + 1))


def _best_checkpoint(folder: Path) -> Path | None:
    """The checkpoint that ``save_best`` has kept; of several the newest."""
    found = [path for path in find_results(folder) if _BEST.fullmatch(path.name)]
    return max(found, key=lambda path: int(_BEST.fullmatch(path.name)[1]), default=None)  # type: ignore[index]


def _newest_log(run: RunFolder) -> Path | None:
    return next((log for start in reversed(run.starts) for log in sorted(start.glob("*.log"))), None)


def _short(name: str) -> str:
    """A class name of at most ``MAX_NAME`` columns."""
    text = displayable(name)
    return text if cell_len(text) <= MAX_NAME else f"{set_cell_size(text, MAX_NAME - 1).rstrip()}…"


def _aligned(rows: Mapping[str, str]) -> list[str]:
    width = max(map(len, rows), default=0)
    return [f"{name:<{width}}  {text}" for name, text in rows.items()]


def _table(rows: Sequence[Sequence[str]], numeric: Sequence[int]) -> list[str]:
    """Align columns by the cells of a terminal, in which a wide character takes two."""
    widths = [max(map(cell_len, column)) for column in zip(*rows, strict=True)]
    lines = []
    for row in rows:
        padding = [" " * (width - cell_len(cell)) for cell, width in zip(row, widths, strict=True)]
        cells = [
            space + cell if index in numeric else cell + space
            for index, (cell, space) in enumerate(zip(row, padding, strict=True))
        ]
        lines.append("  ".join(cells).rstrip())
    return lines
