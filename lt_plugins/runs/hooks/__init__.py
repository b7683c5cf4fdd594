"""Hooks that keep the records of a run: log, run record, checkpoints."""

from .run_log_hook import RunLogHook
from .run_record_hook import RunRecordHook
from .safe_checkpoint_hook import SafeCheckpointHook

__all__ = [
    "RunLogHook",
    "RunRecordHook",
    "SafeCheckpointHook",
]
