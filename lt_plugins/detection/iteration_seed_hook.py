"""The random state of an iteration follows from (seed, iteration, rank), so that a resumed run repeats it."""

from __future__ import annotations

from typing import Any

from mmdet.registry import HOOKS
from mmengine.hooks import Hook
from mmengine.runner import Runner

from lt_plugins.engine.hooks.epoch_seed_hook import seed_generators


@HOOKS.register_module()
class IterationSeedHook(Hook):
    """Seed python, numpy and torch for every iteration, for trainings that count iterations and not epochs.

    What an iteration draws (the regions that the losses sample; augmentation, where no workers load the images) then is
    the same in a run that was resumed before it, which thus ends with the same weights, bit for bit. The order of the
    images is mmengine's to restore. Data-loader workers draw the augmentation from a state of their own, which a
    resumed run starts anew: with workers it repeats images and order, but not sizes and flips.

    Config::

        custom_hooks = [dict(type='IterationSeedHook')]
    """

    # The last to run: nothing may draw between the seeding and the next batch.
    priority = "LOWEST"

    def before_train(self, runner: Runner) -> None:
        """Seed for the first batch.

        Args:
            runner (Runner): The runner of the training process.
        """
        seed_generators(runner.seed, runner.iter, runner.rank)

    def before_train_iter(
        self,
        runner: Runner,
        batch_idx: int,  # noqa: ARG002 (mmengine's signature)
        data_batch: Any = None,  # noqa: ARG002
    ) -> None:
        """Seed for the step: where data loading begins, and only there, it draws as well.

        Args:
            runner (Runner): The runner of the training process.
            batch_idx (int): Unused.
            data_batch (Any): Unused.
        """
        seed_generators(runner.seed, runner.iter, runner.rank)

    def after_train_iter(
        self,
        runner: Runner,
        batch_idx: int,  # noqa: ARG002 (mmengine's signature)
        data_batch: Any = None,  # noqa: ARG002
        outputs: dict | None = None,  # noqa: ARG002
    ) -> None:
        """Seed for the next batch.

        Args:
            runner (Runner): The runner of the training process.
            batch_idx (int): Unused.
            data_batch (Any): Unused.
            outputs (dict, optional): Unused.
        """
        seed_generators(runner.seed, runner.iter + 1, runner.rank)

    def after_val_epoch(
        self,
        runner: Runner,
        metrics: dict[str, float] | None = None,  # noqa: ARG002 (mmengine's signature)
    ) -> None:
        """Seed again after an evaluation, which a resumed run does not repeat.

        Args:
            runner (Runner): The runner.
            metrics (dict, optional): Unused.
        """
        seed_generators(runner.seed, runner.iter, runner.rank)
