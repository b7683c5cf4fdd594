"""Runs of a transfer table: backbones x seeds, each in a folder of its own."""

from __future__ import annotations

import hashlib
import re
from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

from lt_plugins.checkpoints.backbone import RANDOM_BACKBONE
from lt_plugins.checkpoints.run_checkpoints import resolve_checkpoint
from lt_plugins.errors import UserInputError
from lt_plugins.options import ALLOW_PICKLE_OPTION
from lt_plugins.runs.recorded_run import RecordedRun
from lt_plugins.runs.transfer_table import TransferRun, detection_metrics


class NamedBackbone(NamedTuple):
    """Backbone of the table: its name and checkpoint.

    Args:
        name (str): Its name in the table.
        source (str): The file, or ``random``.
    """

    name: str
    source: str


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


class Transfer(RecordedRun):
    """Fine-tuning: one cell of a transfer table.

    Args:
        config (str): Config of the detector.
        backbone (NamedBackbone): What it starts from.
        seed (int): Its seed.
        folder (Path): Its work dir.
        overrides (Sequence[str]): ``key=value`` pairs for ``--cfg-options``.

    Raises:
        UserInputError: If the folder holds another run.
    """

    def __init__(
        self, config: str, backbone: NamedBackbone, seed: int, folder: Path, overrides: Sequence[str] = ()
    ) -> None:
        is_file = backbone.source != RANDOM_BACKBONE
        details = {
            "backbone": backbone.name,
            "checkpoint": backbone.source,
            "sha256": hashlib.sha256(Path(backbone.source).read_bytes()).hexdigest() if is_file else None,
        }
        name = f"{backbone.name}, seed {seed}"
        # The same weights may have moved.
        super().__init__(name, folder, config, seed, overrides, "transfer.json", details, may_change=["checkpoint"])
        self.backbone = backbone

    def result(self) -> TransferRun | None:
        """Read the outcome; None if the run is not finished."""
        metrics = self.metrics()
        return self._outcome(metrics) if metrics else None

    def run(self, num_gpus: int = 1, allow_pickle: bool = False) -> TransferRun:
        """Train and test, or resume where it was stopped.

        Args:
            num_gpus (int): Number of processes. Defaults to 1.
            allow_pickle (bool): Run the pickle in the backbone's file. Defaults to False.

        Returns:
            TransferRun: The outcome.

        Raises:
            UserInputError: If the training or test fails; it has said why.
        """
        options = ["--backbone", self.backbone.source, *([ALLOW_PICKLE_OPTION] if allow_pickle else [])]
        return self._outcome(self.finish(options, num_gpus))

    def _outcome(self, metrics: dict[str, float]) -> TransferRun:
        return TransferRun(self.backbone.name, self.seed, detection_metrics(metrics))
