"""Peak memory of training on a CPU."""

from __future__ import annotations

import resource
import sys
from typing import Any

import torch
from mmengine.hooks import Hook
from mmengine.runner import Runner

from lt_plugins.registry import HOOKS

# Linux counts kilobytes, macOS bytes.
_UNITS_PER_MEGABYTE = 2**20 if sys.platform == "darwin" else 2**10


@HOOKS.register_module()
class PeakMemoryHook(Hook):
    """Logs ``memory``, the peak resident memory of the main process in MB, where there is no GPU.

    mmengine logs the same key for GPUs, so every run's log says what it needed. Memory of data-loader workers is not
    counted.
    """

    def after_train_iter(
        self,
        runner: Runner,
        batch_idx: int,  # noqa: ARG002 (mmengine's signature)
        data_batch: Any = None,  # noqa: ARG002
        outputs: dict | None = None,  # noqa: ARG002
    ) -> None:
        """Update the scalar.

        Args:
            runner (Runner): The runner of the training process.
            batch_idx (int): Unused.
            data_batch (Any): Unused.
            outputs (dict, optional): Unused.
        """
        if not torch.cuda.is_available():
            peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / _UNITS_PER_MEGABYTE
            runner.message_hub.update_scalar("train/memory", peak)
