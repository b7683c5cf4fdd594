"""Batch statistics over all processes."""

from __future__ import annotations

from mmengine.hooks import Hook
from mmengine.runner import Runner

from lt_plugins.engine.sync_batch_norm import convert_sync_batch_norm
from lt_plugins.registry import HOOKS


@HOOKS.register_module()
class SyncBatchNormHook(Hook):
    """Make the batch normalisations of the model synchronised when there are several processes, on CUDA or CPU.

    ``n`` processes with batch ``B`` then compute what one process with batch ``n * B`` does. It costs two small
    reductions a layer, so it is off by default, as in the field's cross-entropy recipes on large batches; switch it on
    where the batch of one process is small, or with a momentum encoder (the statistics of a small batch tell which key
    belongs to it).

    Args:
        enabled (bool): Whether to convert. Defaults to False.

    Config::

        default_hooks = dict(sync_batch_norm=dict(type='SyncBatchNormHook', enabled=True))
    """

    def __init__(self, enabled: bool = False) -> None:
        self.enabled = enabled

    def before_run(self, runner: Runner) -> None:
        """Convert the model in place; its parameters stay the objects that the optimiser holds.

        Args:
            runner (Runner): The runner.
        """
        if self.enabled and runner.world_size > 1:
            convert_sync_batch_norm(runner.model, next(runner.model.parameters()).is_cuda)
            runner.logger.info("Batch normalisations are synchronised over %d processes.", runner.world_size)
