"""Run archive: what is needed to report and to resume runs, in few files of bounded size."""

from __future__ import annotations

import io
import tarfile
import time
from collections.abc import Iterable, Sequence
from pathlib import Path

from lt_plugins.atomic_write import atomic_write
from lt_plugins.errors import UserInputError

RECORDS = "records.tar.gz"
CHECKPOINTS = "checkpoints-{}.tar"
MIB = 1 << 20
PART_BYTES = 15 * MIB
MAX_PARTS = 4
LAST_CHECKPOINT = "last_checkpoint"
LEFT_OUT = {"predictions.npz", ".train.lock"}
"""Files that are large, or mean nothing elsewhere."""


def archive_runs(folder: Path, names: Iterable[str], unfinished: Sequence[Path], out: Path) -> list[Path]:
    """Write the archives of a folder of runs: records of all of them, and the last checkpoint of those to resume.

    Runs may be going on. The records (logs, results, tables) are one file, ``records.tar.gz``; the checkpoints fill
    ``checkpoints-1.tar`` and so on, at most four of 15 MiB, those of the first runs first.

    Args:
        folder (Path): The folder.
        names (Iterable[str]): What is in it to archive, files and folders.
        unfinished (Sequence[Path]): Folders below it of runs that can be resumed, the one that is worth most first.
        out (Path): Where the archives go.

    Returns:
        list[Path]: Folders of runs whose checkpoint has no place.

    Raises:
        OSError: If an archive cannot be written.
    """
    found = [path for name in names for path in (folder / name, *sorted((folder / name).rglob("*")))]
    records = [path for path in found if path.is_file() and _is_record(path)]
    atomic_write(out / RECORDS, _pack(folder, records, "w:gz"))
    parts: list[list[Path]] = [[]]
    sizes = [0]
    left = []
    for run in unfinished:
        checkpoint = last_checkpoint(run)
        if checkpoint is None:
            continue
        size = checkpoint.stat().st_size + MIB // 16  # headers, and what points to it
        part = next((number for number, used in enumerate(sizes) if used + size <= PART_BYTES), len(parts))
        if part == MAX_PARTS or size > PART_BYTES:
            left.append(run)
            continue
        if part == len(parts):
            parts.append([])
            sizes.append(0)
        parts[part] += [checkpoint, checkpoint.with_name(LAST_CHECKPOINT)]
        sizes[part] += size
    for number in range(MAX_PARTS):
        path = out / CHECKPOINTS.format(number + 1)
        if number < len(parts) and parts[number]:
            atomic_write(path, _pack(folder, parts[number], "w"))
        else:
            path.unlink(missing_ok=True)
    return left


def unpack_runs(source: Path, folder: Path) -> int:
    """Put back what :func:`archive_runs` wrote; files that are there already stay.

    Args:
        source (Path): Folder of the archives.
        folder (Path): Folder of the runs.

    Returns:
        int: Number of files put back.

    Raises:
        UserInputError: If there are no archives, or one is damaged.
    """
    archives = [source / RECORDS, *sorted(source.glob(CHECKPOINTS.format("*")))]
    if not archives[0].is_file():
        raise UserInputError(f"{source} has no {RECORDS}; give the folder that --out of an earlier campaign wrote.")
    count = 0
    for archive in archives:
        try:
            with tarfile.open(archive) as file:
                new = [member for member in file.getmembers() if not (folder / member.name).exists()]
                file.extractall(folder, new, filter="data")
        except (tarfile.TarError, EOFError, OSError) as error:
            raise UserInputError(f"{archive} cannot be unpacked to {folder}: {error}") from error
        count += len(new)
    return count


def last_checkpoint(run: Path) -> Path | None:
    """Checkpoint that a run resumes from: that of its latest stage.

    Args:
        run (Path): Its work dir.
    """
    for folder in (run, *sorted(run.glob("stage[1-9]"), reverse=True)):
        pointer = folder / LAST_CHECKPOINT
        try:
            path = folder / Path(pointer.read_text(encoding="utf-8").strip()).name
        except FileNotFoundError:
            continue
        if path.is_file():
            return path
    return None


def _is_record(path: Path) -> bool:
    return path.suffix != ".pth" and path.name not in {*LEFT_OUT, LAST_CHECKPOINT} and ".incomplete" not in path.name


def _pack(folder: Path, paths: Iterable[Path], mode: str) -> bytes:
    """Pack files that may be replaced meanwhile; one that goes is left out."""
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode=mode, **({"compresslevel": 1} if mode == "w:gz" else {})) as file:  # type: ignore[call-overload]
        for path in paths:
            try:
                data = path.read_bytes()
            except FileNotFoundError:
                continue
            member = tarfile.TarInfo(str(path.relative_to(folder)))
            member.size, member.mtime = len(data), int(time.time())
            file.addfile(member, io.BytesIO(data))
    return buffer.getvalue()
