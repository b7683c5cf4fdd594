"""The images below a folder, and what else lies there."""

from __future__ import annotations

import os
from collections.abc import Iterator, Sequence
from pathlib import Path

from lt_plugins.datasets.text_file import show_path
from lt_plugins.errors import UserInputError
from lt_plugins.terminal import displayable


class SkippedFiles:
    """How many files were left out, by the ending of their names, and the first of each ending."""

    def __init__(self) -> None:
        self._found: dict[str, tuple[int, str]] = {}

    def add(self, path: str) -> None:
        """Note a file.

        Args:
            path (str): Its path.
        """
        ending = Path(path).suffix.lower()
        count, first = self._found.get(ending, (0, path))
        self._found[ending] = (count + 1, first)

    def __len__(self) -> int:
        return sum(count for count, _ in self._found.values())

    def describe(self, root: Path, max_endings: int = 5) -> str:
        """``3 files left out: 2 .heic (ant/1.heic), 1 .txt (readme.txt)``, the most frequent first.

        Args:
            root (Path): Folder that the paths are shown relative to.
            max_endings (int): Endings that are named. Defaults to 5.
        """
        ranked = sorted(self._found.items(), key=lambda item: (-item[1][0], item[0]))
        named = [
            f"{count:,} {displayable(ending)[:20] or 'without an ending'} ({show_path(os.path.relpath(first, root))})"
            for ending, (count, first) in ranked[:max_endings]
        ]
        if len(ranked) > max_endings:
            named.append(f"{len(ranked) - max_endings} more endings")
        return f"{len(self):,} file{'s' if len(self) > 1 else ''} left out: {', '.join(named)}"


def list_folder(folder: str | Path) -> list[os.DirEntry[str]]:
    """Entries of a folder by name, without hidden ones.

    Args:
        folder (str | Path): The folder.

    Raises:
        UserInputError: If it cannot be listed.
    """
    return sorted(_entries(folder), key=lambda entry: entry.name)


def _entries(folder: str | Path) -> Iterator[os.DirEntry[str]]:
    """Entries of a folder as the disk gives them, without hidden ones."""
    try:
        with os.scandir(folder) as entries:
            yield from (entry for entry in entries if not entry.name.startswith("."))
    except OSError as error:
        raise UserInputError(f"folder {show_path(folder)} cannot be listed: {error.strerror}") from error


def is_folder(entry: os.DirEntry[str]) -> bool:
    """Whether an entry is a folder or a link to one; asks the disk for links only.

    Args:
        entry (DirEntry): The entry.
    """
    try:
        return entry.is_dir()
    except OSError:  # a link to itself
        return False


def scan_images(folder: Path, suffixes: Sequence[str], skipped: SkippedFiles) -> list[str]:
    """Everything that is named like an image, at any depth; hidden files and folders are left out.

    Only names are looked at, so that millions of files on a network disk cost no more than listing their folders. A
    dangling link, pipe or folder with the name of an image is one that cannot be read, rather than none.

    Args:
        folder (Path): Where to look.
        suffixes (Sequence[str]): Endings of images, in any case.
        skipped (SkippedFiles): Takes the other files.

    Returns:
        list[str]: Paths below ``folder``, sorted.

    Raises:
        UserInputError: If a folder cannot be listed, or is a link to one that it lies in.
    """
    return sorted(iter_images(folder, suffixes, skipped))


def iter_images(folder: Path, suffixes: Sequence[str], skipped: SkippedFiles) -> Iterator[str]:
    """The images of :func:`scan_images` one after the other: of each folder its own by name, then those below it.

    No more is held than the names in one folder, and the folders that are still to be listed.

    Args:
        folder (Path): As for :func:`scan_images`.
        suffixes (Sequence[str]): As for :func:`scan_images`.
        skipped (SkippedFiles): As for :func:`scan_images`.

    Yields:
        str: Paths below ``folder``.

    Raises:
        UserInputError: As for :func:`scan_images`.
    """
    endings = tuple(suffix.lower() for suffix in suffixes)
    # Folders to list, the next one last: their path below ``folder``, and the chain of real paths that led to them: of
    # the folders from which links were followed, and last of the folder itself.
    waiting: list[tuple[str, tuple[str, ...]]] = [("", (os.path.realpath(folder),))]
    while waiting:
        below, chain = waiting.pop()
        images, others, folders = [], [], []
        for entry in _entries(f"{folder}/{below}"):
            if entry.name.lower().endswith(endings):
                images.append(entry.name)
            elif not is_folder(entry):
                others.append(entry.path)
            elif entry.is_symlink():
                folders.append((f"{below}{entry.name}/", (*chain, _follow(entry, chain))))
            else:
                folders.append((f"{below}{entry.name}/", (*chain[:-1], f"{chain[-1]}/{entry.name}")))
        for path in sorted(others):
            skipped.add(path)
        yield from (f"{below}{name}" for name in sorted(images))
        waiting += sorted(folders, reverse=True)


def _follow(link: os.DirEntry[str], chain: tuple[str, ...]) -> str:
    """The real path of a link to a folder, unless it leads back."""
    real = os.path.realpath(link.path)
    if any(f"{seen}/".startswith(f"{real}/") for seen in chain):
        raise UserInputError(
            f"folder {show_path(link.path)} is a link to {show_path(real)}, which contains it, so it has no end; "
            "remove the link"
        )
    return real
