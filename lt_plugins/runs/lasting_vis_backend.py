"""Scalar log on disk that survives a deleted folder and a full disk."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from mmengine.fileio import dump
from mmengine.registry import VISBACKENDS
from mmengine.visualization import LocalVisBackend

from lt_plugins.runs.hooks.run_log_hook import warn_of_lost_log


@VISBACKENDS.register_module(name="LocalVisBackend", force=True)
class LastingVisBackend(LocalVisBackend):
    """Visualisation backend that replaces mmengine's ``LocalVisBackend`` under its name.

    A folder that has been deleted is made again. Lines for which there is no room are kept and written once there is
    some; a line is written whole or not at all.

    Args:
        save_dir (str): The folder.
        **kwargs: As for :class:`mmengine.visualization.LocalVisBackend`.

    Config::

        visualizer = dict(type='UniversalVisualizer', vis_backends=[dict(type='LocalVisBackend')])
    """

    def __init__(self, save_dir: str, **kwargs: Any) -> None:
        super().__init__(save_dir, **kwargs)
        self._unwritten: dict[Path, list[str]] = {}
        self._has_failed = False

    def _dump(self, value_dict: dict[str, Any], file_path: str, file_format: str) -> None:
        path = Path(file_path)
        lines = self._unwritten.setdefault(path, [])
        lines.append(dump(value_dict, file_format=file_format) + "\n")
        try:
            append_whole(path, "".join(lines).encode())
        except OSError as error:
            if not self._has_failed:
                self._has_failed = True
                warn_of_lost_log(path, error)
        else:
            lines.clear()


def append_whole(path: Path, data: bytes) -> None:
    """Append a text to a file completely or not at all.

    Args:
        path (Path): The file; its folder is made if missing.
        data (bytes): What to append.

    Raises:
        OSError: If it cannot be written; the file is as it was then.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    with path.open("ab", buffering=0) as file:
        size = file.tell()
        rest = memoryview(data)
        try:
            while rest:
                rest = rest[file.write(rest) or 0 :]
        except OSError:
            file.truncate(size)
            raise
