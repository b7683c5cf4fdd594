"""Starts of a run: numbers them in order, whatever the clock says."""

from __future__ import annotations

import json
from datetime import datetime, timezone
from pathlib import Path

from lt_plugins.atomic_write import atomic_write

START_FILE = "start.json"


def next_start_number(log_dir: str | Path) -> int:
    """Number of the start that begins now: one more than its run has had.

    Args:
        log_dir (str | Path): Folder of the start, inside the work dir.
    """
    folder = Path(log_dir)
    numbers = [start_number(other) or 0 for other in folder.parent.iterdir() if other != folder]
    return max(numbers, default=0) + 1


def record_start(log_dir: str | Path, number: int) -> None:
    """Write the number of a start to its folder.

    Args:
        log_dir (str | Path): Folder of the start.
        number (int): Its number.
    """
    record = {"number": number, "utc": datetime.now(timezone.utc).isoformat(timespec="seconds")}
    atomic_write(Path(log_dir, START_FILE), (json.dumps(record) + "\n").encode())


def start_number(log_dir: str | Path) -> int | None:
    """Read the number of a start.

    Args:
        log_dir (str | Path): Its folder.

    Returns:
        int | None: The number; None if it was not recorded (by older runs), or is not readable.
    """
    path = Path(log_dir, START_FILE)
    try:
        number = json.loads(path.read_text(encoding="utf-8"))["number"]
    except (OSError, ValueError, KeyError, TypeError, RecursionError):
        return None
    return number if type(number) is int else None
