"""Log of a run: numbers its starts, and survives the loss of its file."""

from __future__ import annotations

import logging
import sys
from contextlib import suppress
from pathlib import Path
from typing import Any

from mmengine.dist import master_only
from mmengine.hooks import Hook
from mmengine.runner import Runner

from lt_plugins.registry import HOOKS
from lt_plugins.runs.run_start import START_FILE, next_start_number, record_start


class RunLogFile(logging.FileHandler):
    """Log file that is made again if its folder is deleted, and warns once if it cannot be written.

    Args:
        handler (FileHandler): The one whose place it takes, with its file, level, format and filters.
    """

    def __init__(self, handler: logging.FileHandler) -> None:
        super().__init__(handler.baseFilename, mode="a", encoding=handler.encoding)
        self.setLevel(handler.level)
        self.setFormatter(handler.formatter)
        for rule in handler.filters:
            self.addFilter(rule)
        self._has_failed = False

    def emit(self, record: logging.LogRecord) -> None:
        """Write a line.

        Args:
            record (LogRecord): The line.
        """
        path = Path(self.baseFilename)
        try:
            if not path.exists():
                path.parent.mkdir(parents=True, exist_ok=True)
                stream, self.stream = self.stream, None
                if stream is not None:
                    stream.close()
            super().emit(record)
        except OSError:
            self.handleError(record)

    def handleError(self, record: logging.LogRecord) -> None:  # noqa: ARG002, N802 (the names of logging)
        """Warn once that the file cannot be written, instead of a traceback for each line.

        Args:
            record (LogRecord): The line that was lost.
        """
        if not self._has_failed:
            self._has_failed = True
            warn_of_lost_log(Path(self.baseFilename), sys.exc_info()[1])

    def close(self) -> None:
        """Close the file, also where its last lines find no room."""
        with suppress(OSError):
            super().close()


@HOOKS.register_module()
class RunLogHook(Hook):
    """Run-log hook: numbers the starts of a run, and keeps training when its log cannot be written.

    The folders of starts are named by the local time, which goes back at the end of summer time and when a clock is
    set; the number in ``start.json`` tells their order. The text log is made again if its folder is deleted while the
    run is going on (the scalars: :class:`~lt_plugins.runs.lasting_vis_backend.LastingVisBackend`).

    Config::

        default_hooks = dict(run_log=dict(type='RunLogHook'))
    """

    priority = "VERY_HIGH"

    def __init__(self) -> None:
        self._number = 0

    @master_only
    def before_run(self, runner: Runner) -> None:
        """Number the start and take over its log file.

        Args:
            runner (Runner): The runner of training, validation or test.
        """
        self._number = next_start_number(runner.log_dir)
        record_start(runner.log_dir, self._number)
        handlers = runner.logger.handlers
        for index, handler in enumerate(handlers):
            if type(handler) is logging.FileHandler:
                handlers[index] = RunLogFile(handler)
                handler.close()

    @master_only
    def before_save_checkpoint(self, runner: Runner, checkpoint: dict[str, Any]) -> None:  # noqa: ARG002
        """Write the number again if the folder has been deleted.

        Args:
            runner (Runner): The runner of training.
            checkpoint (dict): Unused.
        """
        if not Path(runner.log_dir, START_FILE).exists():
            try:
                record_start(runner.log_dir, self._number)
            except OSError as error:
                warn_of_lost_log(Path(runner.log_dir, START_FILE), error)


def warn_of_lost_log(path: Path, error: BaseException | None) -> None:
    """Warn that a log cannot be written, on stderr: a logger might write to that file.

    Args:
        path (Path): The file.
        error (BaseException | None): What writing raised.
    """
    reason = getattr(error, "strerror", None) or error
    print(f"warning: {path} cannot be written ({reason}); training continues.", file=sys.stderr, flush=True)  # noqa: T201
