"""Hooks of the command line: the records of a run (log, run record, checkpoints), and compilation."""

from .compile_hook import CompileHook
from .early_stop_hook import EarlyStopHook
from .progress_hook import ProgressHook
from .run_log_hook import RunLogHook
from .run_record_hook import RunRecordHook
from .safe_checkpoint_hook import SafeCheckpointHook

__all__ = [
    "CompileHook",
    "EarlyStopHook",
    "ProgressHook",
    "RunLogHook",
    "RunRecordHook",
    "SafeCheckpointHook",
]
