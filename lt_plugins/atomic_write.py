"""Writing a file completely or not at all."""

from __future__ import annotations

import os
from pathlib import Path

TEMPORARY_SUFFIX = ".incomplete"


def atomic_write(path: str | Path, data: bytes) -> None:
    """Write ``data`` to ``path`` so that a kill, a crash or a full disk never leaves a cut-off file there.

    The bytes go to ``<path>.incomplete`` beside it, reach the disk, and only then take the name ``path`` in one step. A
    file that was at ``path`` before stays as it was until then.

    Args:
        path (str | Path): The file to write; its folder is made if missing.
        data (bytes): The content.

    Raises:
        OSError: If the data cannot be written; ``path`` is untouched then, and no temporary file is left.
    """
    path = Path(path)
    path.parent.mkdir(parents=True, exist_ok=True)
    temporary = path.with_name(path.name + TEMPORARY_SUFFIX)
    try:
        with temporary.open("wb") as file:
            file.write(data)
            file.flush()
            os.fsync(file.fileno())
        temporary.replace(path)
    except OSError:
        temporary.unlink(missing_ok=True)
        raise
    _sync_folder(path.parent)


def _sync_folder(folder: Path) -> None:
    """Make the new name itself durable (POSIX: a rename reaches the disk with its folder)."""
    if os.name != "posix":
        return
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
