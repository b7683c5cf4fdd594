"""The checkpoints in the work dir of a run: the last that can be read, and whether a new run would overwrite some."""

from __future__ import annotations

import re
import sys
from pathlib import Path
from typing import Any, NamedTuple

from lt_plugins.checkpoints.checkpoint import (
    LAST_CHECKPOINT,
    find_last_checkpoint,
    find_resume_problem,
    load_checkpoint,
)
from lt_plugins.errors import UserInputError
from lt_plugins.options import OVERWRITE_OPTION

# What training calls them; others (a backbone for another run, say) are not its own.
_OWN_NAME = re.compile(r"(epoch|iter)_\d+\.pth|best_.*\.pth")


class RunCheckpoint(NamedTuple):
    """A checkpoint in a work dir.

    Args:
        path (Path): The file.
        content (dict): What is in it, as :func:`load_checkpoint` gave it; the tensors are on the disk until used.
        note (str | None): Why it is not the one that ``last_checkpoint`` names, naming both; None if it is that one.
    """

    path: Path
    content: dict[str, Any]
    note: str | None


def load_last_checkpoint(work_dir: str | Path, allow_pickle: bool = False) -> RunCheckpoint | None:
    """Read the last checkpoint of a run; if it is damaged or gone, the newest that can be read.

    Which one is the newest is told by the iteration in it, not by its name or time.

    Args:
        work_dir (str | Path): The folder of a run, which may be going on.
        allow_pickle (bool): As for :func:`load_checkpoint`. Defaults to False.

    Returns:
        RunCheckpoint | None: The checkpoint; None if the run has written none yet.

    Raises:
        UserInputError: If there are some, and none of them can be read.
    """
    pointer = Path(work_dir, LAST_CHECKPOINT)
    while True:
        before = _read(pointer)
        named: Path | None = None
        problem = f"{pointer} is missing"
        try:
            if found := find_last_checkpoint(work_dir):
                named = Path(found)
                return RunCheckpoint(named, load_checkpoint(named, allow_pickle=allow_pickle, mmap=True), None)
        except (UserInputError, FileNotFoundError) as error:
            if before is not None and _read(pointer) != before:
                continue  # the run has written a new one and removed this one meanwhile
            problem = str(error)
        break
    readable = []
    others = [path for path in sorted(Path(work_dir).glob("*.pth")) if path.is_file() and path != named]
    for path in others:
        try:
            content = load_checkpoint(path, allow_pickle=allow_pickle, mmap=True)
        except UserInputError:
            continue
        if find_resume_problem(content) is None:
            readable.append(RunCheckpoint(path, content, None))
    if readable:
        newest = max(readable, key=lambda one: (one.content["meta"]["iter"], one.content["meta"]["epoch"]))
        cause = problem.rstrip(".").partition(";")[0]
        note = f"{cause}; the newest checkpoint that can be read is taken instead: {newest.path}"
        return newest._replace(note=note)
    if before is None and not find_results(work_dir):
        return None
    raise UserInputError(f"{problem.rstrip('.')}; no other checkpoint in {work_dir} can be resumed from.")


def find_results(work_dir: str | Path) -> list[Path]:
    """The checkpoints that a run has left in its work dir, and the file that names the last one.

    Args:
        work_dir (str | Path): The folder.
    """
    folder = Path(work_dir)
    own = sorted(path for path in folder.glob("*.pth") if _OWN_NAME.fullmatch(path.name))
    pointer = folder / LAST_CHECKPOINT
    return [*own, pointer] if pointer.is_file() else own


def refuse_overwriting(work_dir: str | Path, is_resumed: bool = False) -> None:
    """Refuse to start training from its beginning where an earlier run has left checkpoints.

    Args:
        work_dir (str | Path): The folder of the run that is to start.
        is_resumed (bool): Whether the user has asked to resume, which leads elsewhere. Defaults to False.

    Raises:
        UserInputError: If there are some.
    """
    if results := find_results(work_dir):
        raise UserInputError(
            f"{work_dir} holds {results[0].name} of an earlier run, which training would overwrite: "
            f"{'' if is_resumed else 'resume it with --resume, '}give another --work-dir, or replace it with "
            f"{OVERWRITE_OPTION}."
        )


def remove_results(work_dir: str | Path) -> None:
    """Remove the checkpoints of an earlier run, so that none of them is taken for one of the run that starts now.

    Args:
        work_dir (str | Path): The folder.
    """
    for path in reversed(find_results(work_dir)):  # first what names the last one
        path.unlink(missing_ok=True)


def open_checkpoint(source: str | Path, allow_pickle: bool = False) -> RunCheckpoint:
    """Read what the user means who gives a checkpoint or the work dir of a run.

    Args:
        source (str | Path): A checkpoint file or its address, or a work dir, whose last checkpoint is taken.
        allow_pickle (bool): As for :func:`load_checkpoint`. Defaults to False.

    Raises:
        UserInputError: If there is no checkpoint that can be read.
    """
    if not Path(source).is_dir():
        return RunCheckpoint(Path(source), load_checkpoint(source, allow_pickle=allow_pickle), None)
    last = load_last_checkpoint(source, allow_pickle)
    if last is None:
        missing = Path(source, LAST_CHECKPOINT)
        raise UserInputError(f"{source} has no checkpoint yet ({missing} is missing); give a .pth file.")
    return last


def resolve_checkpoint(source: str, allow_pickle: bool = False) -> str:
    """The file that the user means who gives a checkpoint or the work dir of a run; says so if it is not the last.

    Args:
        source (str): As for :func:`open_checkpoint`.
        allow_pickle (bool): As for :func:`load_checkpoint`. Defaults to False.

    Raises:
        UserInputError: If it is a folder without a checkpoint that can be read.
    """
    if not Path(source).is_dir():
        return source
    last = open_checkpoint(source, allow_pickle)
    warn_fallback(last)
    return str(last.path)


def warn_fallback(checkpoint: RunCheckpoint) -> None:
    """Say that a checkpoint is not the last one, if so.

    Args:
        checkpoint (RunCheckpoint): The checkpoint that is used.
    """
    if checkpoint.note:
        print(f"warning: {checkpoint.note}", file=sys.stderr, flush=True)  # noqa: T201


def _read(pointer: Path) -> bytes | None:
    return pointer.read_bytes() if pointer.is_file() else None
