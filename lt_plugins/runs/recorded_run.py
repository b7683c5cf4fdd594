"""Recorded run: a training that is one cell of a table, described in its folder and resumed after a kill."""

from __future__ import annotations

import json
import shlex
import sys
from collections.abc import Callable, Collection, Mapping, Sequence
from pathlib import Path
from typing import Any

from lt_plugins.atomic_write import atomic_write
from lt_plugins.checkpoints.run_checkpoints import load_last_checkpoint
from lt_plugins.checks.early_stop import stopped_early
from lt_plugins.errors import UserInputError
from lt_plugins.resources import TOOLS, spell_tools
from lt_plugins.runs.child_processes import ChildProcesses, describe_exit
from lt_plugins.runs.run_folder import RunFolder
from lt_plugins.runs.run_summary import NO_SUMMARY
from lt_plugins.runs.typed_command import THREADS
from lt_plugins.unreadable import read_json, refuse_unreadable

RECORD = "sweep.json"
TESTED = "tested.json"

RunCommand = Callable[[Sequence[str], Mapping[str, str]], tuple[int, str]]


class RecordedRun:
    """Recorded run: a run of the command line tools in a folder of its own.

    Args:
        name (str): How to name it in messages.
        folder (Path): Its work dir.
        config (str): Its config, ``CONFIG.py[:VARIANT,...]``.
        seed (int): Its seed, of all stages.
        overrides (Sequence[str]): ``key=value`` pairs for ``--cfg-options``.
        details (dict): What else makes it this run and no other.
        may_change (Collection[str]): Details that may differ from those of an earlier start.
        data (str | None): Images in place of the config's, for ``--data``.
        threads (int | None): Number of CPU threads of a process of it, None for what the machine gives. A run keeps the
            number that it began with, because sums in another order differ in their last bits.

    Raises:
        UserInputError: If the folder holds another run.
    """

    def __init__(
        self,
        name: str,
        folder: Path,
        config: str,
        seed: int,
        overrides: Sequence[str],
        details: Mapping[str, Any] | None = None,
        may_change: Collection[str] = (),
        data: str | None = None,
        threads: int | None = None,
    ) -> None:
        self.data = data
        self.name, self.folder, self.config, self.seed = name, folder, config, seed
        self.overrides = [f"randomness.seed={seed}", *overrides]
        own_data = {} if data is None else {"data": data}
        self.record = {"config": config, **own_data, **(details or {}), "seed": seed, "overrides": self.overrides}
        self._path = folder / RECORD
        self.threads = threads
        if self._path.is_file():
            before = read_json(self._path, "give another --work-dir, or delete the folder to run it again.")
            with refuse_unreadable(self._path, "the record of a run", "delete the folder to run it again."):
                self.threads = int(before.get("threads") or 0) or threads
            changed = [k for k, value in self.record.items() if k not in may_change and before.get(k) != value]
            if changed:
                raise UserInputError(
                    f"{folder} holds a run with {changed[0]}={before.get(changed[0])}, not {self.record[changed[0]]}; "
                    "give another --work-dir, or delete the folder to run it from scratch."
                )
        if self.threads is not None:
            self.record["threads"] = self.threads

    def __str__(self) -> str:
        return self.name

    def metrics(self) -> dict[str, float] | None:
        """Read the metrics after the last step: of the test set, where the config has another than for validation.

        Returns:
            dict[str, float] | None: Values by name, None if it is not finished.
        """
        tested = self.folder / TESTED
        if tested.is_file():
            advice = "delete it to test again."
            metrics = read_json(tested, advice)
            with refuse_unreadable(tested, "a list of metrics", advice):
                return {name: float(value) for name, value in metrics.items()}
        if not any(log.stat().st_size for log in self.folder.glob("*/vis_data/scalars.json")):
            return None  # stopped before it logged anything
        run = RunFolder(self.folder)
        train_cfg = run.setting("train_cfg", dict)
        if _has_test_set(run):
            return None
        last = train_cfg.get("max_iters") or self._num_epochs(run)
        found = [row for row in run.log().metrics if row["step"] == last]
        return found[-1] if found else None

    def command(self, options: Sequence[str] = ()) -> str:
        """The command line that trains it.

        Args:
            options (Sequence[str]): Options of ``tools/train.py``. Defaults to none.
        """
        words = [self.config, *options, *self._settings()]
        threads = f"{THREADS}={self.threads} " if self.threads is not None else ""
        return f"{threads}{spell_tools('python tools/train.py')} {shlex.join(words)}"

    def finish(
        self, options: Sequence[str] = (), num_gpus: int = 1, run_command: RunCommand | None = None
    ) -> dict[str, float]:
        """Train and evaluate, or resume where it was stopped.

        Args:
            options (Sequence[str]): Options of ``tools/train.py`` beside ``--resume``. Defaults to none.
            num_gpus (int): Number of processes. Defaults to 1.
            run_command (RunCommand | None): Runs a command line with further environment variables, as
                :meth:`ChildProcesses.run` does, which is the default.

        Returns:
            dict[str, float]: Its metrics after the last step.

        Raises:
            UserInputError: If the training or the test fails, with what it has said.
        """
        run_command = run_command or ChildProcesses().run
        if not self._is_trained():
            self._start("train", ["--resume", *options], num_gpus, run_command)
        metrics = self.metrics()
        if metrics is None:  # on a test set, or stopped in the last evaluation: mmengine does not repeat it
            last = load_last_checkpoint(self.folder)
            if last is None:
                raise UserInputError(f"the training of {self} left no checkpoint in {self.folder}.")
            self._start("test", [str(last.path), "--out", str(self.folder / TESTED)], num_gpus, run_command)
            metrics = self.metrics()
            assert metrics is not None
        return metrics

    def _is_trained(self) -> bool:
        """Check whether the last checkpoint is of the last step."""
        last = load_last_checkpoint(self.folder)
        if last is None:
            return False
        run = RunFolder(self.folder)
        meta = last.content.get("meta", {})
        if run.setting("train_cfg", dict).get("max_iters"):
            return bool(meta.get("iter", 0) >= run.setting("train_cfg.max_iters", int))
        return bool(meta.get("epoch", 0) >= self._num_epochs(run))

    def _num_epochs(self, run: RunFolder) -> int:
        """Epochs that it trains: those of its config, or fewer if it has been stopped early."""
        cfg = run.config()[1]
        if "early_stop" in cfg.get("default_hooks", {}) and (last := load_last_checkpoint(self.folder)) is not None:
            epoch = int(last.content.get("meta", {}).get("epoch", 0))
            if stopped_early(last.content.get("message_hub", {}).get("runtime_info"), cfg, epoch):
                return epoch
        return run.setting("train_cfg.max_epochs", int)

    def _start(self, tool: str, arguments: Sequence[str], num_gpus: int, run_command: RunCommand) -> None:
        """Run ``tools/<tool>.py`` to its end."""
        atomic_write(self._path, (json.dumps(self.record, indent=2) + "\n").encode())
        torchrun = [str(TOOLS / "dist_run.py"), "--standalone", "--nproc-per-node", str(num_gpus)]
        command = [
            sys.executable,
            *(torchrun if num_gpus > 1 else []),
            *(str(TOOLS / f"{tool}.py"), self.config, *arguments, "--work-dir", str(self.folder)),
            *(["--launcher", "pytorch"] if num_gpus > 1 else []),
            *self._settings(),
        ]
        environment = {NO_SUMMARY: "1"}
        if self.threads is not None:
            environment[THREADS] = str(self.threads)
        exit_code, reason = run_command(command, environment)
        if exit_code != 0:
            reason = reason or describe_exit(exit_code)
            raise UserInputError(
                f"the {tool} run of {self} stopped: {reason.rstrip('.')}; the same command continues there, and keeps "
                "what is finished."
            )

    def _settings(self) -> list[str]:
        """Its options of any tool: images and overrides."""
        return [*(["--data", self.data] if self.data is not None else []), "--cfg-options", *self.overrides]


def _has_test_set(run: RunFolder) -> bool:
    """Whether a run is tested on other images than it is validated on."""
    loaders = [run.config()[1].get(f"{loop}_dataloader") for loop in ("val", "test")]
    validated, tested = (loader.get("dataset") if isinstance(loader, dict) else None for loader in loaders)
    return tested not in (None, validated)
