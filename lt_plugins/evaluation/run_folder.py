"""What a run has written so far, read without running or unpickling anything."""

from __future__ import annotations

import ast
import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from lt_plugins.errors import UserInputError

from .class_table import ClassTable
from .predictions import Predictions

Row = dict[str, float]


@dataclass(frozen=True)
class RunLog:
    """The scalars of a run, in order.

    Args:
        train (list[Row]): Rows of training scalars; ``iter`` is the iteration they were logged at.
        metrics (list[Row]): Rows of validation metrics; ``step`` is the epoch or iteration they belong to.
        unit (str): What ``step`` counts, ``'epoch'`` or ``'iteration'``.
        num_damaged (int): Lines that could not be read; a run that is going on may have one.
    """

    train: list[Row]
    metrics: list[Row]
    unit: str
    num_damaged: int


class RunFolder:
    """A work dir of mmengine: one folder a start, named by its time; a resumed run has several.

    Args:
        work_dir (str | Path): The folder that was given to the tools as ``--work-dir``.

    Raises:
        UserInputError: If it is not a folder.
    """

    def __init__(self, work_dir: str | Path) -> None:
        self.path = Path(work_dir)
        if not self.path.is_dir():
            raise UserInputError(f"{work_dir} is not a folder; give the work dir of a run, like work_dirs/NAME.")
        self.starts = sorted(path for path in self.path.iterdir() if (path / "vis_data").is_dir())

    def log(self) -> RunLog:
        """Read the scalars of all starts; where a resumed one repeats steps of an earlier one, the later counts.

        Raises:
            UserInputError: If nothing has been logged yet.
        """
        log = RunLog([], [], "epoch", 0)
        for start in self.starts:
            path = start / "vis_data" / "scalars.json"
            if path.is_file():
                log = _append(log, *_read_rows(path))
        if not log.train and not log.metrics:
            raise UserInputError(f"{self.path} has no training log yet (*/vis_data/scalars.json).")
        return log

    def test_metrics(self) -> tuple[str, Row]:
        """Read the metrics of the newest test run.

        Returns:
            tuple[str, Row]: Name of its start, and the metrics.

        Raises:
            UserInputError: If there was none, or its file is damaged.
        """
        paths = [start / f"{start.name}.json" for start in self.starts]
        path = _newest(paths, f"{self.path} has no test run (tools/test.py).")
        try:
            metrics = json.loads(path.read_text(encoding="utf-8"))
            return path.parent.name, {key: float(value) for key, value in metrics.items() if key not in _NO_METRICS}
        except (ValueError, TypeError, AttributeError) as error:
            raise UserInputError(f"{path} is no readable list of metrics ({error}); test again.") from error

    def class_table(self) -> tuple[Path, ClassTable]:
        """Read the per-class accuracies of the newest evaluation.

        Returns:
            tuple[Path, ClassTable]: The file they came from, and the table.

        Raises:
            UserInputError: If there was none, or its file is damaged.
        """
        path = self._newest_evaluation("per_class.csv")
        return path, ClassTable.load(path)

    def predictions(self) -> tuple[Path, Predictions]:
        """Read the predictions of the newest evaluation.

        Returns:
            tuple[Path, Predictions]: The file they came from, and the predictions.

        Raises:
            UserInputError: If there was none, or its file is damaged.
        """
        path = self._newest_evaluation("predictions.npz")
        return path, Predictions.load(path)

    def config(self) -> tuple[str, dict[str, Any]]:
        """Read the config of the newest start. It is only parsed; what is not a literal stays source text.

        Returns:
            tuple[str, dict]: The config's text, and its values.

        Raises:
            UserInputError: If there is none, or it is damaged.
        """
        paths = [start / "vis_data" / "config.py" for start in self.starts]
        path = _newest(paths, f"{self.path} has no config (*/vis_data/config.py).")
        try:
            text = path.read_text(encoding="utf-8")
            statements = ast.parse(text).body
        except (SyntaxError, ValueError) as error:
            raise UserInputError(f"{path} is no readable config ({error}).") from error
        values = {
            statement.targets[0].id: _literal(statement.value)
            for statement in statements
            if isinstance(statement, ast.Assign) and isinstance(statement.targets[0], ast.Name)
        }
        return text, values

    def _newest_evaluation(self, name: str) -> Path:
        missing = f"{self.path} has no {name} yet; ShotAccuracy writes it on each evaluation."
        return _newest([start / name for start in self.starts], missing)


# What mmengine logs beside the metrics.
_NO_METRICS = ("data_time", "time", "step", "epoch", "iter")


def _newest(paths: list[Path], missing: str) -> Path:
    """The last of the paths that exists; the starts' names sort by time."""
    for path in reversed(paths):
        if path.is_file():
            return path
    raise UserInputError(missing)


def _read_rows(path: Path) -> tuple[list[Row], int]:
    """Parse one JSON object a line, and count the lines that are none."""
    rows, num_damaged = [], 0
    for line in path.read_text(encoding="utf-8", errors="replace").splitlines():
        try:
            row = json.loads(line)
        except ValueError:
            row = None
        if isinstance(row, dict) and all(isinstance(value, int | float) for value in row.values()) and "step" in row:
            rows.append(row)
        else:
            num_damaged += 1
    return rows, num_damaged


def _append(log: RunLog, rows: list[Row], num_damaged: int) -> RunLog:
    """Let the rows of a later start take the place of those it repeats."""
    train = [row for row in rows if "iter" in row]
    by_epoch = not train or "epoch" in train[0]
    metrics: list[Row] = []
    iteration = 0.0
    for row in rows:
        if "iter" in row:
            iteration = row["iter"]
        else:
            step = row["step"] if by_epoch else iteration
            metrics.append({"step": step} | {key: value for key, value in row.items() if key not in _NO_METRICS})
    first_iteration = train[0]["iter"] if train else float("inf")
    first_step = train[0]["epoch" if by_epoch else "iter"] if train else float("inf")
    return RunLog(
        train=[row for row in log.train if row["iter"] < first_iteration] + train,
        metrics=[row for row in log.metrics if row["step"] < first_step] + metrics,
        unit="epoch" if by_epoch else "iteration",
        num_damaged=log.num_damaged + num_damaged,
    )


def _literal(node: ast.expr) -> Any:
    if isinstance(node, ast.Call) and isinstance(node.func, ast.Name) and node.func.id == "dict":
        # Keys that are no names stand in a dict of their own: dict({'5': dict(start=1)}).
        values = [_literal(argument) for argument in node.args]
        if all(isinstance(value, dict) for value in values):
            merged = {key: item for value in values for key, item in value.items()}
            return merged | {keyword.arg: _literal(keyword.value) for keyword in node.keywords}
    if isinstance(node, ast.Dict) and None not in node.keys:
        return {_literal(key): _literal(value) for key, value in zip(node.keys, node.values, strict=True) if key}
    if isinstance(node, ast.List | ast.Tuple):
        return [_literal(element) for element in node.elts]
    try:
        return ast.literal_eval(node)
    except ValueError:
        return ast.unparse(node)
