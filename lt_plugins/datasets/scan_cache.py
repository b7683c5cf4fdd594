"""Cache of image scans, so that a folder is read once and not at each start."""

from __future__ import annotations

import io
import os
import zipfile
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, suppress
from hashlib import blake2b
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from filelock import FileLock, Timeout
from numpy.typing import NDArray

from lt_plugins.atomic_write import atomic_write
from lt_plugins.datasets.duplicates import HASH_BYTES, THUMBNAIL_SIDE, Fingerprint
from lt_plugins.errors import UserInputError

if TYPE_CHECKING:
    from lt_plugins.datasets.image_scan import ScannedImage

_VERSION = 1  # of what a scan finds
_ROW = np.dtype(
    [
        ("key", "u1", (16,)),
        ("sha256", "u1", (32,)),
        ("perceptual", "u1", (HASH_BYTES,)),
        ("thumbnail", "u1", (THUMBNAIL_SIDE, THUMBNAIL_SIDE, 3)),
        ("width", "i4"),
        ("height", "i4"),
        ("mode", "S8"),
        ("format", "S8"),
        ("is_turned", "?"),
        ("problem", "S200"),
    ]
)
_SECONDS_TO_WAIT = 3600  # for another process that reads the same folder
_READ_ERRORS = (OSError, ValueError, KeyError, EOFError, zipfile.BadZipFile)


class ScanCache:
    """Cache of the scans of a folder: a file in the user's cache folder, locked while one reads the images.

    Where that folder cannot be written, or its file is damaged, there is no cache and no error.

    Args:
        paths (Sequence[str]): Image files, ``N`` of them.
        max_pixels (int): Limit of the scan, which decides what can be used.
    """

    def __init__(self, paths: Sequence[str], max_pixels: int) -> None:
        self._keys = [_key(path, max_pixels) for path in paths]
        self._file = _cache_file(paths)
        self._rows = np.empty(0, _ROW)
        self._stack = ExitStack()

    def __enter__(self) -> ScanCache:
        if self._file is not None:
            with suppress(OSError, Timeout):
                self._file.parent.mkdir(parents=True, exist_ok=True)
                self._stack.enter_context(FileLock(f"{self._file}.lock", timeout=_SECONDS_TO_WAIT))
            with suppress(*_READ_ERRORS), np.load(self._file, allow_pickle=False) as content:
                if content["rows"].dtype == _ROW:
                    self._rows = content["rows"]
        return self

    def __exit__(self, *error: object) -> None:
        self._stack.close()

    def known(self) -> Iterator[tuple[int, tuple[Any, ...]]]:
        """Positions of images that are known, and the fields of what was found of each."""
        positions = {key: position for position, key in enumerate(map(bytes, self._rows["key"]))}
        for index, key in enumerate(self._keys):
            if key in positions:
                yield index, _unpack(self._rows[positions[key]])

    def save(self, found: Sequence[ScannedImage], changed: bool) -> None:
        """Keep what was found.

        Args:
            found (Sequence[ScannedImage]): Of all images.
            changed (bool): Whether any of it is new.
        """
        if self._file is None or not changed:
            return
        rows = np.zeros(len(found), _ROW)
        for row, image, key in zip(rows, found, self._keys, strict=True):
            _pack(row, image, key)
        rows = rows[[bool(key) for key in self._keys]]
        others = self._rows[~np.isin(_as_numbers(self._rows), _as_numbers(rows)).all(axis=1)] if len(rows) else rows
        if len(others) <= max(len(rows), 1000):  # else most of it is of files that are no more
            rows = np.concatenate([rows, others])
        buffer = io.BytesIO()
        np.savez_compressed(buffer, rows=rows)
        with suppress(OSError, UserInputError):
            atomic_write(self._file, buffer.getvalue())


def _cache_file(paths: Sequence[str]) -> Path | None:
    """File of the folder that all images are in; None where there is no place for it."""
    try:
        user = os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache"
        base = Path(os.environ.get("LT_PLUGINS_CACHE") or Path(user, "lt_plugins"))
        folder = os.path.commonpath([os.path.dirname(Path(path).absolute()) for path in paths])  # noqa: PTH120
    except (RuntimeError, ValueError):  # no home; no images, or of several disks
        return None
    name = blake2b(folder.encode("utf-8", "surrogateescape"), digest_size=16).hexdigest()
    return base / "scans" / f"{name}.npz"


def _key(path: str, max_pixels: int) -> bytes:
    """What an image is known by; empty if there is no such file."""
    try:
        status = os.stat(path)  # noqa: PTH116
    except (OSError, ValueError):
        return b""
    name = os.path.realpath(path)
    text = f"{_VERSION}:{max_pixels}:{status.st_size}:{status.st_mtime_ns}:{name}"
    return blake2b(text.encode("utf-8", "surrogateescape"), digest_size=16).digest()


def _as_numbers(rows: NDArray[Any]) -> NDArray[np.uint64]:
    return np.ascontiguousarray(rows["key"]).view(np.uint64)


def _pack(row: Any, image: ScannedImage, key: bytes) -> None:
    fingerprint = image.fingerprint
    row["key"] = np.frombuffer(key.ljust(16, b"\0"), np.uint8)
    row["sha256"] = np.frombuffer(bytes.fromhex(fingerprint.sha256).ljust(32, b"\0"), np.uint8)
    row["perceptual"], row["thumbnail"] = fingerprint.perceptual, fingerprint.thumbnail
    row["problem"] = fingerprint.problem.encode("utf-8", "backslashreplace")
    row["width"], row["height"], row["is_turned"] = image.width, image.height, image.is_turned
    row["mode"], row["format"] = image.mode.encode(), image.format.encode()


def _unpack(row: Any) -> tuple[Any, ...]:
    problem = bytes(row["problem"]).decode("utf-8", "replace")
    sha256 = "" if problem else bytes(row["sha256"]).hex()
    fingerprint = Fingerprint(sha256, row["perceptual"], row["thumbnail"], problem)
    size = int(row["width"]), int(row["height"])
    return (fingerprint, *size, row["mode"].decode(), row["format"].decode(), bool(row["is_turned"]))
