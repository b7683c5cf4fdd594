"""The images below a folder, and what else lies there."""

from __future__ import annotations

import os
from collections.abc import Iterator, Sequence
from pathlib import Path

from lt_plugins.datasets.text_file import displayable, show_path
from lt_plugins.errors import UserInputError


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


def list_folder(folder: Path) -> list[os.DirEntry[str]]:
    """Entries of a folder by name, without hidden ones.

    Args:
        folder (Path): The folder.

    Raises:
        UserInputError: If it cannot be listed.
    """
    try:
        with os.scandir(folder) as entries:
            return sorted((e for e in entries if not e.name.startswith(".")), key=lambda entry: entry.name)
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
    endings = tuple(suffix.lower() for suffix in suffixes)
    return sorted(_walk(folder, "", endings, skipped, (os.path.realpath(folder),)))


def _walk(
    folder: Path, below: str, endings: tuple[str, ...], skipped: SkippedFiles, chain: tuple[str, ...]
) -> Iterator[str]:
    """``chain`` holds the real path of the folder and, before it, of each folder from which a link was followed."""
    for entry in list_folder(folder):
        path = f"{below}{entry.name}"
        if entry.name.lower().endswith(endings):
            yield path
        elif not is_folder(entry):
            skipped.add(entry.path)
        elif entry.is_symlink():
            real = os.path.realpath(entry.path)
            if any(f"{seen}/".startswith(f"{real}/") for seen in chain):
                raise UserInputError(
                    f"folder {show_path(entry.path)} is a link to {show_path(real)}, which contains it, so it has "
                    "no end; remove the link"
                )
            yield from _walk(Path(entry.path), f"{path}/", endings, skipped, (*chain, real))
        else:
            inner = (*chain[:-1], f"{chain[-1]}/{entry.name}")
            yield from _walk(Path(entry.path), f"{path}/", endings, skipped, inner)
