"""Iteration seeding: derives the random state of an iteration from (seed, iteration, rank) for exact resume."""

from __future__ import annotations

from typing import Any

from mmdet.registry import HOOKS
from mmengine.hooks import Hook
from mmengine.runner import Runner

from lt_plugins.detection.seeded_images import SeededDataset, SeededInfiniteSampler
from lt_plugins.engine.hooks.epoch_seed_hook import seed_sampler
from lt_plugins.engine.seeding import seed_generators
from lt_plugins.errors import UserInputError


@HOOKS.register_module()
class IterationSeedHook(Hook):
    """Iteration-seed hook: seeds python, numpy and torch before every iteration.

    What an iteration draws, like the regions that the losses sample, then is the same in a run that was resumed before
    it, as are the images by :class:`SeededInfiniteSampler`: it ends with the same weights, bit for bit.

    Config::

        default_hooks = dict(iteration_seed=dict(type='IterationSeedHook'))

    Raises:
        UserInputError: If the train data loader does not seed its images.
    """

    # The last to run: nothing may draw between the seeding and the step.
    priority = "LOWEST"

    def before_train(self, runner: Runner) -> None:
        """Check the sampler, and let it follow the seed that a resumed checkpoint brought.

        Args:
            runner (Runner): The runner of the training process.
        """
        loader = runner.train_dataloader
        if not (isinstance(loader.sampler, SeededInfiniteSampler) and isinstance(loader.dataset, SeededDataset)):
            names = f"{type(loader.sampler).__name__} and dataset {type(loader.dataset).__name__}"
            raise UserInputError(
                f"train_dataloader has sampler {names}, so that a resumed run would draw other sizes and flips; use "
                "sampler=dict(type='SeededInfiniteSampler', shuffle=True) with dataset=dict(type='SeededDataset', "
                "dataset=...), or do without IterationSeedHook: default_hooks.iteration_seed=None."
            )
        seed_sampler(runner)

    def before_train_iter(
        self,
        runner: Runner,
        batch_idx: int,  # noqa: ARG002 (mmengine's signature)
        data_batch: Any = None,  # noqa: ARG002
    ) -> None:
        """Seed for the step.

        Args:
            runner (Runner): The runner of the training process.
            batch_idx (int): Unused.
            data_batch (Any): Unused.
        """
        seed_generators(runner.seed, runner.iter, runner.rank)
