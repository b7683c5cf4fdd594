"""Precise batch norm: exact statistics at the end of a training by iterations."""

from __future__ import annotations

from typing import Any

from mmdet.registry import HOOKS
from mmengine.runner import Runner
from mmpretrain.engine.hooks.precise_bn_hook import PreciseBNHook, update_bn_stats
from torch.nn.modules.batchnorm import _BatchNorm
from torch.utils.data import DataLoader

from lt_plugins.detection.seeded_images import SeededInfiniteSampler
from lt_plugins.models.unwrap import unwrap_model


@HOOKS.register_module()
class FinalPreciseBNHook(PreciseBNHook):
    """Precise-BN hook: runs mmpretrain's ``PreciseBNHook`` once, after the last iteration.

    Running averages lag behind the weights; this replaces them by the mean statistics of some training batches under
    the final weights, before the checkpoint is saved and tested. The images are the first ones of the run's order, from
    a loader of its own: mmpretrain's hook reads from the loader of the training, whose endless sampler stops when a
    second reader leaves it, and where it stands depends on the data-loader workers. A resumed run thus ends with the
    same statistics, bit for bit.

    Source: Wu and Johnson, "Rethinking 'Batch' in BatchNorm" (arXiv:2105.07576), as ``TEST.PRECISE_BN`` of detectron2.

    Args:
        num_samples (int): Images of all processes together. Defaults to 3200, 200 batches of 16.

    Config::

        default_hooks = dict(precise_bn=dict(type='FinalPreciseBNHook', num_samples=3200))
    """

    # Before the checkpoint is saved.
    priority = "ABOVE_NORMAL"

    def __init__(self, num_samples: int = 3200) -> None:
        super().__init__(num_samples=num_samples)

    def after_train_iter(
        self,
        runner: Runner,
        batch_idx: int,  # noqa: ARG002 (mmengine's signature)
        data_batch: Any = None,  # noqa: ARG002
        outputs: dict | None = None,  # noqa: ARG002
    ) -> None:
        """Compute the statistics after the last iteration.

        Args:
            runner (Runner): The runner of the training process.
            batch_idx (int): Unused.
            data_batch (Any): Unused.
            outputs (dict, optional): Unused.
        """
        if runner.iter + 1 == runner.max_iters:
            self._perform_precise_bn(runner)

    def _perform_precise_bn(self, runner: Runner) -> None:
        model, loader = unwrap_model(runner.model), runner.train_dataloader
        layers = [layer for layer in model.modules() if isinstance(layer, _BatchNorm)]
        counters = [layer.num_batches_tracked for layer in layers if layer.num_batches_tracked is not None]
        steps = [counter.clone() for counter in counters]
        images = DataLoader(
            loader.dataset,
            batch_size=loader.batch_size,
            sampler=SeededInfiniteSampler(loader.dataset, seed=runner.seed),
            num_workers=loader.num_workers,
            collate_fn=loader.collate_fn,
        )
        update_bn_stats(runner.model, images, self.num_samples, logger=runner.logger)
        for counter, count in zip(counters, steps, strict=True):
            counter.copy_(count)  # they count steps of the training
