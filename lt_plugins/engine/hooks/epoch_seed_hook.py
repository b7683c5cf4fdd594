"""Epoch seeding: derives the random state of an epoch from (seed, epoch, rank) for exact resume."""

from __future__ import annotations

from functools import partial
from typing import Any

from mmengine.hooks import Hook
from mmengine.runner import Runner
from torch.utils.data import DataLoader

from lt_plugins.datasets.loader_order import seeded_sampler
from lt_plugins.engine.seeding import seed_generators
from lt_plugins.engine.worker_init import epoch_worker_init
from lt_plugins.errors import UserInputError
from lt_plugins.models.unwrap import unwrap_model
from lt_plugins.registry import HOOKS


@HOOKS.register_module()
class EpochSeedHook(Hook):
    """Epoch-seed hook: seeds python, numpy and torch at the start of every training epoch from (seed, epoch, rank).

    Whatever drew random numbers before (weight initialisation, a clustering pass, validation) no longer matters, and a
    checkpoint written at the end of an epoch is a complete state: a killed and resumed run repeats the run that was
    left alone. Data-loader workers take their seed from the main process, after it was seeded here, through
    ``worker_init_fn=dict(type='epoch_worker_init')``; mmengine's own worker seeding repeats the same augmentations in
    every epoch.

    Config::

        default_hooks = dict(epoch_seed=dict(type='EpochSeedHook'))
        train_dataloader = dict(persistent_workers=False, worker_init_fn=dict(type='epoch_worker_init'), ...)

    Raises:
        UserInputError: If the train data loader keeps its workers over epochs or seeds them in another way.
    """

    # The last hook to run before the epoch: nothing may draw between the seeding and the first batch.
    priority = "LOWEST"

    def before_train(self, runner: Runner) -> None:
        """Check the train data loader, and set the seed, that of a resumed checkpoint, on its sampler and the model.

        Args:
            runner (Runner): The runner of the training process.
        """
        check_workers(runner.train_dataloader)
        seed_sampler(runner)
        seed_modules(runner)

    def before_train_epoch(self, runner: Runner) -> None:
        """Seed all generators of this process.

        Args:
            runner (Runner): The runner of the training process.
        """
        seed_generators(runner.seed, runner.epoch, runner.rank)


def seed_sampler(runner: Runner) -> None:
    """Set the seed of the run on the sampler of the train data loader, or on its batch sampler with companions.

    mmengine builds it before it takes the seed over from a checkpoint. With a seed a process (``diff_rank_seed``) the
    sampler keeps its own, which all processes share.

    Args:
        runner (Runner): The runner of the training process.
    """
    _, sampler = seeded_sampler(runner.train_dataloader)
    if isinstance(getattr(sampler, "seed", None), int) and not runner._randomness_cfg.get("diff_rank_seed"):
        sampler.seed = runner.seed


def seed_modules(runner: Runner) -> None:
    """Call ``set_seed(seed)`` of every module of the model that has it, such as a preprocessor that augments.

    All processes give the same seed, as :func:`seed_sampler` does.

    Args:
        runner (Runner): The runner of the training process.
    """
    seed = getattr(seeded_sampler(runner.train_dataloader)[1], "seed", None)
    for module in unwrap_model(runner.model).modules():
        if hasattr(module, "set_seed"):
            module.set_seed(seed if isinstance(seed, int) else runner.seed)


def check_workers(loader: DataLoader[Any]) -> None:
    """Refuse a data loader whose workers would not repeat an epoch after a resume.

    Args:
        loader (DataLoader): The train data loader.

    Raises:
        UserInputError: If the workers outlive an epoch or do not take their seed from the main process.
    """
    if loader.num_workers == 0:
        return
    if loader.persistent_workers:
        raise UserInputError(
            "train_dataloader.persistent_workers=True keeps random state over epochs, so a resumed run would differ; "
            "set train_dataloader.persistent_workers=False (or default_hooks.epoch_seed=None, without EpochSeedHook)."
        )
    init = loader.worker_init_fn
    function = init.func if isinstance(init, partial) else init
    if function is not epoch_worker_init:
        raise UserInputError(
            f"train_dataloader.worker_init_fn={getattr(function, '__name__', function)} gives every epoch the same "
            "augmentations; set train_dataloader.worker_init_fn=dict(type='epoch_worker_init')."
        )
