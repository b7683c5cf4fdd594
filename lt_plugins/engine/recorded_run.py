"""A training run that is one cell of a table: its folder says what it holds, and a killed one goes on."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Collection, Sequence
from pathlib import Path
from typing import Any

from lt_plugins.atomic_write import atomic_write
from lt_plugins.errors import UserInputError

ROOT = Path(__file__).resolve().parents[2]


class RecordedRun:
    """A run of the command line tools in a folder of its own.

    Args:
        name (str): How to name it in messages.
        folder (Path): Its work dir.
        record (dict): What makes it this run and no other; written to ``file_name`` in the folder when it starts.
        file_name (str): Name of the record.
        may_change (Collection[str]): Keys of the record that may differ from those of an earlier start.

    Raises:
        UserInputError: If the folder holds another run.
    """

    def __init__(
        self, name: str, folder: Path, record: dict[str, Any], file_name: str, may_change: Collection[str] = ()
    ) -> None:
        self.name, self.folder, self.record = name, folder, record
        self._path = folder / file_name
        if self._path.is_file():
            before = json.loads(self._path.read_text(encoding="utf-8"))
            changed = [key for key in record if key not in may_change and before.get(key) != record[key]]
            if changed:
                raise UserInputError(
                    f"{folder} holds a run with {changed[0]}={before.get(changed[0])}, not {record[changed[0]]}; "
                    "give another --work-dir, or delete the folder to run it anew."
                )

    def __str__(self) -> str:
        return self.name

    def start(self, tool: str, arguments: Sequence[str], overrides: Sequence[str], num_gpus: int = 1) -> None:
        """Run ``tools/<tool>.py`` to its end; what it prints goes where this process prints.

        Args:
            tool (str): ``"train"`` or ``"test"``.
            arguments (Sequence[str]): Config, for a test its checkpoint, and options.
            overrides (Sequence[str]): ``key=value`` pairs for ``--cfg-options``.
            num_gpus (int): Number of processes. Defaults to 1.

        Raises:
            UserInputError: If it fails; it has said why.
        """
        atomic_write(self._path, (json.dumps(self.record, indent=2) + "\n").encode())
        command = [sys.executable, str(ROOT / "tools" / f"{tool}.py"), *arguments]
        if num_gpus > 1:
            number = 1 if tool == "train" else 2  # CONFIG GPUS, and of the test CONFIG CHECKPOINT GPUS
            launcher = str(ROOT / "tools" / f"dist_{tool}.sh")
            command = [launcher, *arguments[:number], str(num_gpus), *arguments[number:]]
        command += ["--work-dir", str(self.folder), "--cfg-options", *overrides]
        done = subprocess.run(command, env={**os.environ, "PYTHON": sys.executable}, check=False)
        if done.returncode != 0:
            raise UserInputError(
                f"the {tool} run of {self} stopped with exit code {done.returncode}, see above; the same command goes "
                "on there, and keeps what is finished."
            )
