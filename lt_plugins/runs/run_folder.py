"""Run folders: read logs, configs and predictions of a run without running or unpickling anything."""

from __future__ import annotations

import ast
import json
import math
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeVar

from lt_plugins.errors import UserInputError
from lt_plugins.evaluation.class_table import ClassTable
from lt_plugins.evaluation.glt_table import GLTTable
from lt_plugins.evaluation.predictions import Predictions
from lt_plugins.runs.run_start import START_FILE, start_number
from lt_plugins.unreadable import read_json, refuse_unreadable

Row = dict[str, float]
Value = TypeVar("Value")


@dataclass(frozen=True)
class RunLog:
    """Run log: the scalars of a run, in order.

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

    def precision_trends(self) -> dict[str, tuple[list[float], list[float]]]:
        """Accuracies and precisions of ``GLTMetric`` at each evaluation, by the test set.

        Returns:
            dict[str, tuple[list[float], list[float]]]: Like ``{"val-glt": ([10.0, 20.0], [5.0, 22.0])}``.
        """
        names = dict.fromkeys(name.removesuffix("/precision") for row in self.metrics for name in row)
        trends = {}
        for name in names:
            keys = (f"{name}/accuracy", f"{name}/precision")
            if rows := [row for row in self.metrics if row.keys() >= {*keys}]:
                accuracy, precision = ([row[key] for row in rows] for key in keys)
                trends[name] = (accuracy, precision)
        return trends


class RunFolder:
    """Run folder: a work dir of mmengine with one folder a start, named by its local time.

    Their order is that of the numbers in their ``start.json``. Those without (of older runs) come first, by the
    iteration that their logs begin with, and by name where nothing else tells them apart.

    Args:
        work_dir (str | Path): The folder that was given to the tools as ``--work-dir``.

    Raises:
        UserInputError: If it is not a folder.
    """

    def __init__(self, work_dir: str | Path) -> None:
        self.path = Path(work_dir)
        if not self.path.is_dir():
            raise UserInputError(f"{work_dir} is not a folder; give the work dir of a run, like work_dirs/NAME.")
        self.starts = sorted((path for path in self.path.iterdir() if (path / "vis_data").is_dir()), key=_place)

    def files(self) -> list[Path]:
        """List the files of the run, which no output may replace."""
        own = [path for start in self.starts for path in start.rglob("*")]
        return [*own, *self.path.glob("*.pth"), *self.path.glob("*.py"), self.path / "last_checkpoint"]

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
        # Named by the time, as the folder was, which may have been renamed since.
        paths = [path for start in self.starts for path in sorted(start.glob("*.json")) if path.name != START_FILE]
        path = _newest(paths, f"{self.path} has no test run (tools/test.py).")
        metrics = read_json(path, "test again.")
        with refuse_unreadable(path, "a list of metrics", "test again."):
            return path.parent.name, {key: float(value) for key, value in metrics.items() if key not in _NO_METRICS}

    def class_table(self) -> tuple[Path, ClassTable]:
        """Read the per-class accuracies of the newest evaluation.

        Returns:
            tuple[Path, ClassTable]: The file they came from, and the table.

        Raises:
            UserInputError: If there was none, or its file is damaged.
        """
        path = self._newest_evaluation("per_class.csv")
        return path, ClassTable.load(path)

    def glt_table(self) -> tuple[Path, GLTTable]:
        """Read the hits by class and attribute of the newest evaluation of a GLT benchmark.

        Returns:
            tuple[Path, GLTTable]: The file they came from, and the table.

        Raises:
            UserInputError: If there was none, or its file is damaged.
        """
        path = self._newest_evaluation("glt_cells.csv", "GLTMetric")
        return path, GLTTable.load(path)

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
        """Read the config of the newest start that logged something, else of the newest: a test knows no ``--shorten``.

        It is only parsed; what is not a literal stays source text.

        Returns:
            tuple[str, dict]: The config's text, and its values.

        Raises:
            UserInputError: If there is none, or it is damaged.
        """
        trained = [start for start in self.starts if _has_log(start)]
        paths = [start / "vis_data" / "config.py" for start in trained or self.starts]
        path = _newest(paths, f"{self.path} has no config (*/vis_data/config.py).")
        values = read_config_values(path)
        return path.read_text(encoding="utf-8"), values

    def setting(self, key: str, kind: type[Value]) -> Value:
        """Read a value of the config, see :meth:`config`.

        Args:
            key (str): Dotted key, such as ``train_cfg.max_epochs``.
            kind (type): What the value must be.

        Raises:
            UserInputError: If the config has no such value.
        """
        value: Any = self.config()[1]
        for part in key.split("."):
            value = value.get(part) if isinstance(value, dict) else None
        if not isinstance(value, kind):
            raise UserInputError(f"the config of {self.path} has {key}={value!r:.80}, expected {kind.__name__}.")
        return value

    def _newest_evaluation(self, name: str, metric: str = "ShotAccuracy") -> Path:
        missing = f"{self.path} has no {name} yet; {metric} writes it on each evaluation."
        return _newest([start / name for start in self.starts], missing)


def read_config_values(path: Path) -> dict[str, Any]:
    """Parse a config that mmengine dumped, without running it; what is not a literal stays source text.

    Args:
        path (Path): The file.

    Raises:
        UserInputError: If it is missing or damaged.
    """
    with refuse_unreadable(path, "a config", "put back the one that training wrote."):
        return {
            statement.targets[0].id: _literal(statement.value)
            for statement in ast.parse(path.read_text(encoding="utf-8")).body
            if isinstance(statement, ast.Assign) and isinstance(statement.targets[0], ast.Name)
        }


# What mmengine logs beside the metrics.
_NO_METRICS = ("data_time", "time", "step", "epoch", "iter")


def _has_log(start: Path) -> bool:
    """Whether a start trained: a test logs no scalars."""
    path = start / "vis_data" / "scalars.json"
    return path.is_file() and path.stat().st_size > 0


def _newest(paths: list[Path], missing: str) -> Path:
    """Find the last path that exists; the starts are in order."""
    for path in reversed(paths):
        if path.is_file():
            return path
    raise UserInputError(missing)


def _read_rows(path: Path) -> tuple[list[Row], int]:
    """Parse one JSON object a line, and count the lines that are none."""
    rows, num_damaged = [], 0
    for line in path.read_text(encoding="utf-8", errors="replace").splitlines():
        row = _parse_row(line)
        if row is None:
            num_damaged += 1
        else:
            rows.append(row)
    return rows, num_damaged


def _parse_row(line: str) -> Row | None:
    """Parse a row of numbers by name, whose step counts are finite; None for anything else."""
    try:
        row = json.loads(line)
        if "step" not in row or any(type(value) not in (int, float) for value in row.values()):
            return None
        floats = {key: float(value) for key, value in row.items()}  # an integer that none holds is no measurement
        return row if all(math.isfinite(floats.get(counter, 0)) for counter in ("step", "epoch", "iter")) else None
    except (ValueError, TypeError, AttributeError, OverflowError, RecursionError):
        return None


def _place(start: Path) -> tuple[int, float, str]:
    """Sort key of a start among those of its run."""
    number = start_number(start)
    if number is not None:
        return number, 0, start.name
    return 0, _first_iteration(start / "vis_data" / "scalars.json"), start.name


def _first_iteration(scalars: Path) -> float:
    """First iteration of a log; infinite for a start that did not get that far."""
    if not scalars.is_file():
        return math.inf
    with scalars.open(encoding="utf-8", errors="replace") as lines:
        rows: Iterable[Row | None] = map(_parse_row, lines)
        return next((row["iter"] for row in rows if row is not None and "iter" in row), math.inf)


def _append(log: RunLog, rows: list[Row], num_damaged: int) -> RunLog:
    """Append the rows of a later start in place of those that it repeats."""
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
    if metrics:  # early stopping repeats the evaluation of the epoch that is resumed
        first_step = min(first_step, metrics[0]["step"])
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
