"""Backbones that a sweep of detectors starts from."""

from __future__ import annotations

import hashlib
import re
from pathlib import Path
from typing import NamedTuple

from lt_plugins.checkpoints.backbone import RANDOM_BACKBONE
from lt_plugins.checkpoints.run_checkpoints import resolve_checkpoint
from lt_plugins.errors import UserInputError


class NamedBackbone(NamedTuple):
    """Backbone of the table: its name and checkpoint.

    Args:
        name (str): Its name in the table.
        source (str): The file, or ``random``.
    """

    name: str
    source: str

    def sha256(self) -> str | None:
        """Hash of the file; None of random weights."""
        if self.source == RANDOM_BACKBONE:
            return None
        return hashlib.sha256(Path(self.source).read_bytes()).hexdigest()


def parse_backbone(text: str, allow_pickle: bool = False) -> NamedBackbone:
    """Read ``random``, ``FILE`` or ``NAME=FILE``; the file may be a work dir, for its last checkpoint.

    Args:
        text (str): As given.
        allow_pickle (bool): As for :func:`~lt_plugins.checkpoints.checkpoint.load_checkpoint`. Defaults to False.

    Returns:
        NamedBackbone: A file goes by its name, a checkpoint of a run (``epoch_90.pth``) by its folder's, unless it has
        been given another.

    Raises:
        UserInputError: If the file does not exist, or the name cannot be that of a folder.
    """
    if text == RANDOM_BACKBONE:
        return NamedBackbone(text, text)
    name, is_named, source = text.rpartition("=")
    source = resolve_checkpoint(source, allow_pickle)
    path = Path(source)
    if not path.is_file():
        raise UserInputError(f"--backbones {text}: {source} does not exist; give a checkpoint or {RANDOM_BACKBONE!r}.")
    if not is_named:
        # Of a run in stages the first one lies in a folder that only says so.
        folders = [part for part in path.resolve().parts[:-1] if not re.fullmatch(r"stage\d+", part)]
        name = folders[-1] if re.fullmatch(r"(epoch|iter)_\d+", path.stem) else path.stem
    if not re.fullmatch(r"[\w.+@-]+", name):
        raise UserInputError(f"--backbones {text}: the name {name!r} may have letters, digits and _ . + @ - only.")
    return NamedBackbone(name, source)
