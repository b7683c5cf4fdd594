"""The runs of a transfer table: backbones x seeds, each in a folder of its own that says what it holds."""

from __future__ import annotations

import hashlib
import json
import re
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any, NamedTuple

from lt_plugins.atomic_write import atomic_write
from lt_plugins.engine.backbone import RANDOM_BACKBONE
from lt_plugins.engine.checkpoint import ALLOW_PICKLE_OPTION, find_last_checkpoint
from lt_plugins.errors import UserInputError
from lt_plugins.evaluation import RunFolder, TransferRun, detection_metrics

ROOT = Path(__file__).resolve().parents[2]
RECORD, TESTED = "transfer.json", "tested.json"


class NamedBackbone(NamedTuple):
    """A backbone of the table.

    Args:
        name (str): Its name in the table.
        source (str): The file, or ``random``.
    """

    name: str
    source: str


def parse_backbone(text: str) -> NamedBackbone:
    """Read ``random``, ``FILE`` or ``NAME=FILE``.

    Args:
        text (str): As given.

    Returns:
        NamedBackbone: A file goes by its name, a checkpoint of a run (``epoch_90.pth``) by its folder's, unless it has
        been given another.

    Raises:
        UserInputError: If the file does not exist, or the name cannot be that of a folder.
    """
    if text == RANDOM_BACKBONE:
        return NamedBackbone(text, text)
    name, is_named, source = text.rpartition("=")
    path = Path(source)
    if not path.is_file():
        raise UserInputError(f"--backbones {text}: {source} does not exist; give a checkpoint or {RANDOM_BACKBONE!r}.")
    if not is_named:
        # Of a run in stages the first one lies in a folder that only says so.
        folders = [part for part in path.resolve().parts[:-1] if not re.fullmatch(r"stage\d+", part)]
        name = folders[-1] if re.fullmatch(r"(epoch|iter)_\d+", path.stem) else path.stem
    if not re.fullmatch(r"[\w.-]+", name):
        raise UserInputError(f"--backbones {text}: the name {name!r} may have letters, digits and _ . - only.")
    return NamedBackbone(name, source)


class Transfer:
    """One fine-tuning of a table.

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
        self.config, self.backbone, self.seed, self.folder = config, backbone, seed, folder
        self.overrides = [f"randomness.seed={seed}", *overrides]
        self.record: dict[str, Any] = {
            "config": config,
            "backbone": backbone.name,
            "checkpoint": backbone.source,
            "sha256": None
            if backbone.source == RANDOM_BACKBONE
            else hashlib.sha256(Path(backbone.source).read_bytes()).hexdigest(),
            "seed": seed,
            "overrides": self.overrides,
        }
        path = folder / RECORD
        if path.is_file():
            before = json.loads(path.read_text(encoding="utf-8"))
            # The same weights may have moved.
            changed = [key for key in self.record if key != "checkpoint" and before.get(key) != self.record[key]]
            if changed:
                raise UserInputError(
                    f"{folder} holds a run with {changed[0]}={before.get(changed[0])}, not {self.record[changed[0]]}; "
                    "give another --work-dir, or delete the folder to run it anew."
                )

    def __str__(self) -> str:
        return f"{self.backbone.name}, seed {self.seed}"

    def result(self) -> TransferRun | None:
        """The outcome, or None if the run is not finished."""
        tested = self.folder / TESTED
        if tested.is_file():
            return self._outcome(json.loads(tested.read_text(encoding="utf-8")))
        if not any(log.stat().st_size for log in self.folder.glob("*/vis_data/scalars.json")):
            return None  # stopped before it logged anything
        run = RunFolder(self.folder)
        max_iters = run.config()[1]["train_cfg"]["max_iters"]
        last = [row for row in run.log().metrics if row["step"] == max_iters]
        return self._outcome(last[-1]) if last else None

    def run(self, num_gpus: int = 1, allow_pickle: bool = False) -> TransferRun:
        """Train and test, or go on where it was stopped.

        Args:
            num_gpus (int): Number of processes. Defaults to 1.
            allow_pickle (bool): Run the pickle in the backbone's file. Defaults to False.

        Returns:
            TransferRun: The outcome.

        Raises:
            UserInputError: If the training or test fails; it has said why.
        """
        atomic_write(self.folder / RECORD, (json.dumps(self.record, indent=2) + "\n").encode())
        flags = [ALLOW_PICKLE_OPTION] if allow_pickle else []
        self._start("train", num_gpus, "--backbone", self.backbone.source, "--resume", *flags)
        if self.result() is None:  # stopped between the last step and its evaluation
            checkpoint = find_last_checkpoint(self.folder)
            if checkpoint is None:
                raise UserInputError(f"the training of {self} left no checkpoint in {self.folder}.")
            self._start("test", num_gpus, checkpoint, "--out", str(self.folder / TESTED))
        result = self.result()
        assert result is not None
        return result

    def _start(self, tool: str, num_gpus: int, *arguments: str) -> None:
        """Run ``tools/<tool>.py``, by torchrun if there are several processes."""
        torchrun = ["-m", "torch.distributed.run", "--standalone", "--nproc-per-node", str(num_gpus)]
        command = [
            sys.executable,
            *(torchrun if num_gpus > 1 else []),
            *(str(ROOT / "tools" / f"{tool}.py"), self.config, *arguments, "--work-dir", str(self.folder)),
            *(["--launcher", "pytorch"] if num_gpus > 1 else []),
            *("--cfg-options", *self.overrides),
        ]
        done = subprocess.run(command, check=False)
        if done.returncode != 0:
            raise UserInputError(
                f"the {tool} run of {self} stopped with exit code {done.returncode}, see above; the same command goes "
                "on there, and keeps what is finished."
            )

    def _outcome(self, metrics: dict[str, float]) -> TransferRun:
        return TransferRun(self.backbone.name, self.seed, detection_metrics(metrics))
