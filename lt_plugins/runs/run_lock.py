"""Run lock: keeps two trainings out of one folder."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from filelock import FileLock, Timeout

from lt_plugins.errors import UserInputError

LOCK_FILE = ".train.lock"


@contextmanager
def lock_run(folder: str | Path) -> Iterator[None]:
    """Lock a run folder for this process.

    The system lets go of it when the process ends, however it ends. The file stays, which means nothing.

    Args:
        folder (str | Path): The work dir, made if it is missing.

    Raises:
        UserInputError: If another process holds it, or it is a file.
    """
    if Path(folder).exists() and not Path(folder).is_dir():
        raise UserInputError(f"work dir {folder} is a file; give the path of a folder, which is made if missing.")
    Path(folder).mkdir(parents=True, exist_ok=True)
    lock = FileLock(Path(folder, LOCK_FILE), blocking=False)
    try:
        lock.acquire()
    except Timeout as error:
        raise UserInputError(
            f"another process trains in {folder}; wait for its end or stop it, or give another --work-dir."
        ) from error
    try:
        yield
    finally:
        lock.release()
