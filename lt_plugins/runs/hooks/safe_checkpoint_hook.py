"""Atomic checkpoints: complete, or not there."""

from __future__ import annotations

import math
import os
import time
from pathlib import Path
from typing import Any

from mmengine.dist import is_main_process
from mmengine.fileio import LocalBackend, register_backend
from mmengine.hooks import CheckpointHook
from mmengine.runner import Runner

from lt_plugins.atomic_write import TEMPORARY_SUFFIX, atomic_write
from lt_plugins.checkpoints.checkpoint import LAST_CHECKPOINT
from lt_plugins.checkpoints.finite import check_finite_checkpoint
from lt_plugins.checkpoints.run_checkpoints import refuse_overwriting, remove_results
from lt_plugins.errors import UserInputError
from lt_plugins.registry import HOOKS


class AtomicLocalBackend(LocalBackend):
    """Local file backend whose ``put`` never leaves a truncated file."""

    def put(self, obj: bytes, filepath: str | Path) -> None:
        """Write bytes atomically.

        Args:
            obj (bytes): The content.
            filepath (str | Path): The file to write.
        """
        atomic_write(filepath, obj)


register_backend("atomic_local", AtomicLocalBackend, force=True)


class _DeferredRemoval(AtomicLocalBackend):
    """Deferred removal: collects files until :meth:`flush`, so that old ones go only after the new one is complete."""

    def __init__(self) -> None:
        self.doomed: list[str] = []

    def remove(self, filepath: str | Path) -> None:
        if is_main_process():
            self.doomed.append(str(filepath))

    def flush(self, folder: str | Path) -> None:
        """Remove the collected files that lie in ``folder``; others belong to another run."""
        for path in map(Path, self.doomed):
            if path.resolve().parent == Path(folder).resolve():
                path.unlink(missing_ok=True)
        self.doomed.clear()


@HOOKS.register_module()
class SafeCheckpointHook(CheckpointHook):
    """Checkpoint hook of mmengine with atomic writes: a kill or a full disk leaves the last good checkpoint.

    A checkpoint and the ``last_checkpoint`` file that names it are written beside their place, brought to disk and then
    renamed; older checkpoints are deleted only after that (mmengine deletes first). Files of interrupted saves are
    removed at the next start. Files outside the folder of the run are never deleted, although a checkpoint that came
    from another run may name one as its best.

    A run that starts from its beginning refuses a folder that holds checkpoints of an earlier one, unless it is told to
    replace them.

    Args:
        overwrite (bool): Remove the checkpoints of an earlier run in the folder, where a new one starts. Defaults to
            False.
        min_seconds (float): Least time between two checkpoints of a training by epochs; that of the last epoch is
            always written. An epoch of small images takes a second on a GPU, and a checkpoint up to a tenth of that.
            Defaults to 0.
        **kwargs: As for :class:`mmengine.hooks.CheckpointHook`; ``out_dir`` must be a local folder.

    Config::

        default_hooks = dict(checkpoint=dict(type='SafeCheckpointHook', interval=1, max_keep_ckpts=2))

    Raises:
        UserInputError: If ``min_seconds`` is negative; if a checkpoint cannot be written, for example because the disk
            is full, or a new run would overwrite those of an earlier one.
    """

    file_backend: _DeferredRemoval

    def __init__(self, overwrite: bool = False, min_seconds: float = 0.0, **kwargs: Any) -> None:
        if not 0 <= min_seconds < math.inf:
            raise UserInputError(f"min_seconds={min_seconds} must be 0 or more; 0 writes each checkpoint that is due.")
        if kwargs.get("backend_args") is not None or kwargs.get("file_client_args") is not None:
            raise UserInputError("SafeCheckpointHook writes to local folders only; remove backend_args.")
        super().__init__(backend_args={"backend": "atomic_local"}, **kwargs)
        self.overwrite = overwrite
        self.min_seconds = min_seconds
        self._last_write = 0.0  # on the monotonic clock

    def before_train(self, runner: Runner) -> None:
        """Find the folder of the checkpoints and remove the leftovers of interrupted saves.

        Args:
            runner (Runner): The runner of the training process.

        Raises:
            UserInputError: If the run would overwrite the checkpoints of an earlier one.
        """
        super().before_train(runner)
        folders = {Path(self.out_dir).resolve(), Path(runner.work_dir).resolve()}
        source = runner._load_from if runner._resume else None
        if not runner._resume or (source is not None and Path(source).resolve().parent not in folders):
            self._make_room(folders)
        self.file_backend = _DeferredRemoval()
        self._last_write = time.monotonic()
        if is_main_process():
            for folder in {Path(self.out_dir), Path(runner.work_dir)}:
                for path in folder.glob(f"*{TEMPORARY_SUFFIX}"):
                    path.unlink(missing_ok=True)

    def after_train_epoch(self, runner: Runner) -> None:
        """Write the checkpoint of an epoch, unless the last one is too recent.

        Args:
            runner (Runner): The runner of the training process.
        """
        has_waited = time.monotonic() - self._last_write >= self.min_seconds
        if has_waited or self.is_last_train_epoch(runner):
            super().after_train_epoch(runner)

    def before_save_checkpoint(self, runner: Runner, checkpoint: dict[str, Any]) -> None:  # noqa: ARG002
        """Refuse values that are not finite, as the last hook that sees a checkpoint (moving averages included).

        Args:
            runner (Runner): The runner of the training process.
            checkpoint (dict): What is about to be written.
        """
        check_finite_checkpoint(checkpoint, "the checkpoint that was to be written")

    def _make_room(self, folders: set[Path]) -> None:
        """Refuse or remove the checkpoints of an earlier run; the last of all checks before training."""
        for folder in folders:
            if not self.overwrite:
                refuse_overwriting(folder)
            elif is_main_process():
                remove_results(folder)

    def _save_checkpoint_with_step(self, runner: Runner, step: int, meta: dict[str, Any]) -> None:
        outdated = self._next_keep_ids(runner, step)
        name = self.filename_tmpl.format(step)
        self.last_ckpt = self.file_backend.join_path(self.out_dir, name)
        runner.message_hub.update_info("last_ckpt", self.last_ckpt)
        self._write(runner, name, meta)
        self._last_write = time.monotonic()
        for old in outdated:
            self.file_backend.remove(self.file_backend.join_path(self.out_dir, self.filename_tmpl.format(old)))
        self.file_backend.flush(self.out_dir)

    def _next_keep_ids(self, runner: Runner, step: int) -> list[int]:
        """Add ``step`` to the kept checkpoints and return the ids that are then too many."""
        if self.max_keep_ckpts <= 0:
            return []
        kept = [old for old in self.keep_ckpt_ids if old != step] + [step]
        outdated, kept = kept[: -self.max_keep_ckpts], kept[-self.max_keep_ckpts :]
        self.keep_ckpt_ids.clear()
        self.keep_ckpt_ids.extend(kept)
        runner.message_hub.update_info("keep_ckpt_ids", kept)
        return outdated

    def _write(self, runner: Runner, name: str, meta: dict[str, Any]) -> None:
        try:
            runner.save_checkpoint(
                self.out_dir,
                name,
                save_optimizer=self.save_optimizer,
                save_param_scheduler=self.save_param_scheduler,
                meta=meta,
                by_epoch=self.by_epoch,
                backend_args=self.backend_args,
                **self.args,
            )
            if is_main_process():
                atomic_write(Path(runner.work_dir, LAST_CHECKPOINT), os.fsencode(str(self.last_ckpt)))
        except OSError as error:
            raise UserInputError(
                f"checkpoint {name} could not be written to {self.out_dir} ({error.strerror or error}); "
                "the last complete one is untouched: make room and go on with --resume."
            ) from error

    def _save_best_checkpoint(self, runner: Runner, metrics: dict[str, Any]) -> None:
        try:
            super()._save_best_checkpoint(runner, metrics)
        except OSError as error:
            raise UserInputError(
                f"the best checkpoint could not be written to {self.out_dir} ({error.strerror or error}); "
                "the previous best is untouched: make room and go on with --resume."
            ) from error
        self.file_backend.flush(self.out_dir)
