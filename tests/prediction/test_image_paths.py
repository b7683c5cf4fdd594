"""Folders of any size are listed as they are read; standard input gives paths line by line."""

from __future__ import annotations

import io
import os
import tracemalloc
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from lt_plugins.datasets import folder_scan
from lt_plugins.datasets.folder_scan import SkippedFiles, iter_images, scan_images
from lt_plugins.errors import UserInputError
from lt_plugins.prediction.image_paths import ImagePaths


def touch(folder: Path, *names: str) -> None:
    for name in names:
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).touch()


def test_folders_and_files(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    touch(tmp_path, "b/2.JPG", "b/10.png", "b/a/1.webp", "b/c/d/3.png", "b/notes.txt", "b/.hidden/4.png", "x.heic")
    monkeypatch.chdir(tmp_path)
    paths = ImagePaths(["b", "x.heic"])
    assert paths.total == 5
    assert [*paths] == ["b/10.png", "b/2.JPG", "b/a/1.webp", "b/c/d/3.png", "x.heic"], "a named file is taken as it is"
    assert [*paths] == [*paths], "more than once"


def test_standard_input_is_not_read_ahead() -> None:
    taken: list[int] = []

    class Lines(io.RawIOBase):
        def __iter__(self) -> Iterator[bytes]:
            for number, line in enumerate([b"a b.png\n", b"\n", b"caf\xe9.png\r\n", "蝶.png".encode()]):
                taken.append(number)
                yield line

    lines: Any = Lines()
    paths = ImagePaths(["-"], lines)
    assert paths.total is None
    found = iter(paths)
    assert next(found) == "a b.png" and taken == [0]
    assert [os.fsencode(path) for path in found] == [b"caf\xe9.png", "蝶.png".encode()]


def test_errors(tmp_path: Path) -> None:
    touch(tmp_path, "empty/readme.txt")
    for given, message in {
        ("gone.jpg",): "gone.jpg does not exist",
        (str(tmp_path / "empty"),): r"empty has no image in it \(1 file left out: 1 .txt \(readme.txt\)\); give images",
        ("-", "a.png"): "- reads the paths from standard input",
    }.items():
        with pytest.raises(UserInputError, match=message):
            ImagePaths(given)


def test_iterating_is_scanning(tmp_path: Path) -> None:
    """Also through links, and with the same files left out."""
    touch(tmp_path, "a/1.png", "a/z.png/2.png", "b.png", "c/3.gif", "c/x.txt", "d/x.txt", "e/f/4.png")
    (tmp_path / "a" / "link").symlink_to(tmp_path / "e")
    one, other = SkippedFiles(), SkippedFiles()
    found = scan_images(tmp_path, [".png"], one)
    assert found == sorted(iter_images(tmp_path, [".png"], other))
    assert found == ["a/1.png", "a/link/f/4.png", "a/z.png", "b.png", "e/f/4.png"]
    assert one.describe(tmp_path) == other.describe(tmp_path)
    (tmp_path / "e" / "back").symlink_to(tmp_path)
    with pytest.raises(UserInputError, match="has no end"):
        [*iter_images(tmp_path, [".png"], SkippedFiles())]


def test_memory_of_a_large_tree(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Two hundred thousand images in a thousand folders take the memory of one folder."""

    class Entry:
        def __init__(self, name: str, is_folder: bool) -> None:
            self.name, self.is_folder, self.path = name, is_folder, name

        def is_dir(self) -> bool:
            return self.is_folder

        def is_symlink(self) -> bool:
            return False

    def entries(folder: str) -> Iterator[Entry]:
        is_root = folder == f"{tmp_path}/"
        for number in range(1000 if is_root else 200):
            yield Entry(f"{number:08d}{'' if is_root else '.jpg'}", is_root)

    monkeypatch.setattr(folder_scan, "_entries", entries)
    tracemalloc.start()
    count = sum(1 for _ in iter_images(tmp_path, [".jpg"], SkippedFiles()))
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert count == 200_000
    assert peak < 2**20
