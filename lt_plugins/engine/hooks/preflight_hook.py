"""What training is about to do, before it does."""

from __future__ import annotations

from typing import Any

from mmengine.hooks import Hook
from mmengine.runner import Runner
from mmpretrain.registry import HOOKS

from lt_plugins.engine.preflight import check_setup, describe_device, preflight_summary
from lt_plugins.engine.training_settings import check_work_left
from lt_plugins.engine.unwrap import unwrap_model
from lt_plugins.errors import UserInputError

EVERY_RUN = (
    "CheckpointFitHook",
    "ClassDistributionHook",
    "EpochSeedHook",
    "FiniteTrainingHook",
    "PeakMemoryHook",
    "PreflightHook",
    "SafeCheckpointHook",
    "SyncBatchNormHook",
)


@HOOKS.register_module()
class PreflightHook(Hook):
    """Print a summary before the first step, and stop where training cannot work.

    Args:
        allow_empty_classes (bool): Whether a class may have no training image. Defaults to False.

    Config::

        custom_hooks = [dict(type='PreflightHook', allow_empty_classes=True)]

    Raises:
        UserInputError: If a class has no image, the classes of a data set do not fit the head, the first or last image
            cannot be read, or ClassDistributionHook is missing.
    """

    # After ClassDistributionHook (counts), before the hooks that start to compute.
    priority = "HIGH"

    def __init__(self, allow_empty_classes: bool = False) -> None:
        self.allow_empty_classes = allow_empty_classes

    def before_train(self, runner: Runner) -> None:
        """Check, then print.

        Args:
            runner (Runner): The runner of the training process.
        """
        model = unwrap_model(runner.model)
        if not hasattr(model, "class_distribution"):
            raise UserInputError("PreflightHook needs dict(type='ClassDistributionHook') in custom_hooks as well.")
        check_work_left(runner)
        check_setup(runner, self.allow_empty_classes)
        loader = runner.train_dataloader
        summary = preflight_summary(
            model,
            _nested_name(loader.dataset),
            [type(hook).__name__ for hook in runner.hooks if _belongs_to_method(hook)],
            device=describe_device(),
            world_size=runner.world_size,
            batch_size=loader.batch_size or loader.batch_sampler.batch_size,
            num_batches=len(loader),
            max_epochs=runner.max_epochs,
        )
        runner.logger.info(f"About to train, results go to {runner.work_dir}\n{summary}")


def _belongs_to_method(hook: Hook) -> bool:
    """Neither one of mmengine's and mmpretrain's, nor one that every run has."""
    return not type(hook).__module__.startswith(("mmengine.", "mmpretrain.")) and type(hook).__name__ not in EVERY_RUN


def _nested_name(dataset: Any) -> str:
    """``Wrapper(Inner)`` of a chain of data sets."""
    inner = getattr(dataset, "dataset", None)
    return type(dataset).__name__ + (f"({_nested_name(inner)})" if inner is not None else "")
