"""Results file: what ``results/`` says about a finished run, written by the sweep that ran it."""

from __future__ import annotations

import os
import re
import subprocess
from collections.abc import Mapping, Sequence
from datetime import datetime
from pathlib import Path
from typing import Any

from lt_plugins.errors import UserInputError
from lt_plugins.resources import PACKAGE
from lt_plugins.runs.config import read_stages
from lt_plugins.runs.imbalance import image_draw
from lt_plugins.runs.recorded_run import RecordedRun
from lt_plugins.runs.run_folder import RunFolder
from lt_plugins.runs.schedule import is_short
from lt_plugins.runs.spec import ConfigSpec, parse_spec
from lt_plugins.runs.tables import DETECTION, column_values, glt_name
from lt_plugins.unreadable import refuse_unreadable

METRICS = {
    "shot/accuracy_top1": "overall",
    "shot/accuracy_top5": "top5",
    "shot/many": "many",
    "shot/medium": "medium",
    "shot/few": "few",
    "shot/balanced": "balanced",
    "shot/geometric_mean": "geometric_mean",
    "shot/harmonic_mean": "harmonic_mean",
    "calibration/ece": "ece",
}
GLT_PREFIXES = ("clt/", "glt/", "alt/", "gap/")
"""How numbers of ``GLTMetric`` begin."""
TIME_STAMP = re.compile(r"^(\d{4}/\d\d/\d\d \d\d:\d\d:\d\d) - ")


def describe_result(run: RecordedRun, options: Sequence[str] = ()) -> dict[str, Any]:
    """Describe a finished run: config, command, seed, length, hardware, time, memory, commit and metrics.

    Args:
        run (RecordedRun): A run that is finished.
        options (Sequence[str]): Options of ``tools/train.py`` that it was trained with, beside those of ``run``.

    Returns:
        dict: What ``results/*.json`` holds, see CONTRIBUTING.md.

    Raises:
        UserInputError: If its logs or the folder of an earlier stage are missing.
    """
    with refuse_unreadable(run.folder, "a finished run", "delete it to run it again."):
        return _describe(run, options)


def _describe(run: RecordedRun, options: Sequence[str]) -> dict[str, Any]:
    folder = RunFolder(run.folder)
    earlier = [RunFolder(path) for path in sorted(run.folder.glob("stage[1-9]"))]
    metrics = run.metrics()
    if metrics is None:
        raise UserInputError(f"{run.folder} is not finished; the same sweep continues it.")
    total = len(read_stages(run.config))
    if len(earlier) != total - 1:
        missing = next(n for n in range(1, total) if not (run.folder / f"stage{n}").is_dir())
        raise UserInputError(
            f"{run.folder} has no folder stage{missing}; a result is that of all {total} stages, so put it back."
        )
    draw = image_draw(folder.config()[1])
    log = folder.log()
    started, seconds, header = read_logs(folder)
    memory = [row["memory"] for row in log.train if "memory" in row]
    length: dict[str, Any]
    if log.unit == "epoch":
        length = {"dataset": _dataset(run), "epochs": folder.setting("train_cfg.max_epochs", int)}
    else:
        length = {"iterations": folder.setting("train_cfg.max_iters", int), "starts": len(folder.starts)}
    return {
        "config": str(parse_spec(run.config).portable),
        "command": run.command(options),
        "seed": run.seed,
        **_backbone(run.record),
        **_pretrained(folder),
        **length,
        **({} if draw is None else {"draw": draw}),
        "schedule": "short" if any(is_short(stage.config()[1]) for stage in (*earlier, folder)) else "full",
        "hardware": describe_hardware(header),
        "torch": _find(r"PyTorch: (\S+)", header),
        "time_s": seconds,
        "max_memory_mb": round(max(memory)) if memory else None,
        "commit": commit_at(started),
        **describe_previous(run.config, earlier),
        **(_classification(log.metrics, metrics) if log.unit == "epoch" else _detection(log.train, metrics)),
    }


def describe_previous(config: str, earlier: Sequence[RunFolder]) -> dict[str, Any]:
    """Config, epochs, time and commit of the stage before the last one, in it those of the one before it, and so on.

    Args:
        config (str): The config of the run.
        earlier (Sequence[RunFolder]): The folders of the stages before the last one.

    Returns:
        dict: ``previous_stage``, or nothing if there is none.
    """
    described: dict[str, Any] = {}
    for number, stage in enumerate(earlier, start=1):
        started, seconds, _ = read_logs(stage)
        path, variants = parse_spec(config).portable
        described = {
            "previous_stage": {
                "config": str(ConfigSpec(path, (*variants, f"stage{number}"))),
                "epochs": stage.setting("train_cfg.max_epochs", int),
                "time_s": seconds,
                "commit": commit_at(started),
                **described,
            }
        }
    return described


def read_logs(run: RunFolder) -> tuple[datetime, float, str]:
    """Read start, seconds over all starts, and the text before the first step.

    Args:
        run (RunFolder): The folder of a run.

    Raises:
        UserInputError: If a start has no log.
    """
    seconds, header, first = 0.0, "", None
    for start in run.starts:
        stamps = []
        logs = sorted(start.glob("*.log"))
        if not logs:
            raise UserInputError(f"{start} has no log (*.log).")
        with logs[0].open(encoding="utf-8", errors="replace") as file:
            for number, line in enumerate(file):
                header += line if number < 100 else ""
                if match := TIME_STAMP.match(line):
                    stamps.append(datetime.strptime(match[1], "%Y/%m/%d %H:%M:%S"))
        if not stamps:
            continue  # stopped before its first line
        first = first or stamps[0]
        seconds += (stamps[-1] - stamps[0]).total_seconds()
    if first is None:
        raise UserInputError(f"{run.path} has no log.")
    return first, seconds, header


def describe_hardware(header: str) -> str:
    """Name the GPUs in a log, or this machine's CPU.

    Args:
        header (str): The first lines of the log.
    """
    gpus = re.findall(r"^\s*GPU ([\d,]+): (.+)$", header, re.MULTILINE)
    if gpus:
        return ", ".join(f"{indices.count(',') + 1} x {name}" for indices, name in dict.fromkeys(gpus))
    info = Path("/proc/cpuinfo")
    model = _find(r"model name\s*: (.+)", info.read_text(encoding="utf-8")) if info.exists() else None
    return f"{os.cpu_count()} cores of {model or 'a CPU'}"


def commit_at(time: datetime) -> str:
    """Find the newest commit at a time; empty outside of a git checkout.

    Args:
        time (datetime): The time, local.
    """
    command = ["git", "rev-list", "-1", f"--before={time:%Y-%m-%dT%H:%M:%S}", "HEAD"]
    return subprocess.run(command, cwd=PACKAGE, capture_output=True, text=True, check=False).stdout.strip()


def _classification(evaluated: Sequence[Mapping[str, float]], last: Mapping[str, float]) -> dict[str, Any]:
    """Metrics after the last epoch, and of the best one, under the names of the tables."""
    rows = [row for row in evaluated if "shot/accuracy_top1" in row]
    best = max(rows, key=lambda row: row["shot/accuracy_top1"], default=None)
    return {
        "metrics": _named(last),
        **({"best": {"epoch": best["step"], **_named(best)}} if best is not None else {}),
    }


def _detection(train: Sequence[Mapping[str, float]], last: Mapping[str, float]) -> dict[str, Any]:
    return {
        "loss": {"first": round(train[0]["loss"], 4), "last": round(train[-1]["loss"], 4)},
        "metrics": column_values(last, DETECTION),
    }


def _named(row: Mapping[str, float]) -> dict[str, float]:
    names = METRICS | {key: glt_name(key) for key in row if key.startswith(GLT_PREFIXES)}
    return {name: round(row[key], 4) for key, name in names.items() if key in row}


def _backbone(record: Mapping[str, Any]) -> dict[str, Any]:
    return {"backbone": {**record["backbone"], "sha256": record["sha256"]}} if "backbone" in record else {}


def _pretrained(folder: RunFolder) -> dict[str, Any]:
    """What labels the weights of a run had seen before."""
    labels = folder.config()[1].get("pretrained_on")
    return {"pretrained_on": labels} if labels else {}


def _dataset(run: RecordedRun) -> str:
    """The dataset in the name of a config, METHOD_BACKBONE_DATASET, or that of ``--data``."""
    return Path(run.data).stem if run.data is not None else Path(parse_spec(run.config).path).stem.split("_", 2)[-1]


def _find(pattern: str, text: str) -> str | None:
    match = re.search(pattern, text)
    return match[1].strip() if match else None
