"""What training is about to do, before it does."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from mmengine.hooks import Hook
from mmengine.runner import BaseLoop, Runner
from torch.utils.data import DataLoader

from lt_plugins.checks.global_batch import check_global_batch
from lt_plugins.checks.preflight import Allowed, check_data, check_setup, describe_device, preflight_summary
from lt_plugins.checks.training_settings import check_work_left
from lt_plugins.datasets.class_names import checkpoint_classes
from lt_plugins.errors import UserInputError
from lt_plugins.models.unwrap import unwrap_model
from lt_plugins.registry import HOOKS

EVERY_RUN = (
    "AccumulationHook",
    "AveragedModelHook",
    "CheckpointFitHook",
    "ClassDistributionHook",
    "EpochSeedHook",
    "FiniteTrainingHook",
    "PeakMemoryHook",
    "PreflightHook",
    "RunLogHook",
    "RunRecordHook",
    "SafeCheckpointHook",
)


@HOOKS.register_module()
class PreflightHook(Hook):
    """Print a summary before the first step, and stop where training or testing cannot work.

    Args:
        allow_empty_classes (bool): Whether a class may have no training image. Defaults to False.
        allow_renamed_classes (bool): Whether data sets, and the checkpoint that is tested or resumed, may name the
            classes differently. Defaults to False.
        allow_small_crops (bool): Whether the model may see small parts of large images, as for textures. Defaults to
            False.

    Config::

        default_hooks = dict(preflight=dict(type='PreflightHook', allow_empty_classes=True))

    Raises:
        UserInputError: If a class has no image, the classes of a data set do not fit the head, the checkpoint or the
            other data set, the first or last image cannot be read or is much larger than what the model sees of it, the
            images of a step are not the recipe's, or ClassDistributionHook is missing.
    """

    # After ClassDistributionHook (counts), before the hooks that start to compute.
    priority = "HIGH"

    def __init__(
        self,
        allow_empty_classes: bool = False,
        allow_renamed_classes: bool = False,
        allow_small_crops: bool = False,
    ) -> None:
        self.allowed = Allowed(allow_empty_classes, allow_renamed_classes, allow_small_crops)
        self._trained_classes: Sequence[str] | None = None

    def after_load_checkpoint(self, runner: Runner, checkpoint: dict[str, Any]) -> None:
        """Note the class names of a checkpoint whose classifier is used: all but those of a fresh head.

        Args:
            runner (Runner): The runner.
            checkpoint (dict): The loaded checkpoint.
        """
        initialises = not runner._resume and isinstance(runner._train_loop, BaseLoop)
        parts = getattr(unwrap_model(runner.model), "initialised_parts", ())
        if not initialises or any(part.startswith("head") for part in parts):
            self._trained_classes = checkpoint_classes(checkpoint)

    def before_train(self, runner: Runner) -> None:
        """Check, then print.

        Args:
            runner (Runner): The runner of the training process.
        """
        model = unwrap_model(runner.model)
        if not hasattr(model, "class_distribution"):
            raise UserInputError(
                "PreflightHook needs class_distribution=dict(type='ClassDistributionHook') in default_hooks as well."
            )
        check_global_batch(runner.cfg, runner.world_size)
        check_work_left(runner)
        check_setup(runner, self.allowed, self._trained_classes)
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

    def before_test(self, runner: Runner) -> None:
        """Check the test set as training checks its data.

        Args:
            runner (Runner): The runner of the testing process.
        """
        self._check_evaluation(runner, "test", runner.test_dataloader)

    def before_val(self, runner: Runner) -> None:
        """Check the validation set, unless training has done so.

        Args:
            runner (Runner): The runner of the validation process.
        """
        if not isinstance(runner._train_loop, BaseLoop):
            self._check_evaluation(runner, "val", runner.val_dataloader)

    def _check_evaluation(self, runner: Runner, split: str, loader: DataLoader[Any]) -> None:
        distribution = getattr(unwrap_model(runner.model), "class_distribution", None)
        num_classes = None if distribution is None else distribution.num_classes
        check_data({split: loader}, num_classes, self.allowed, self._trained_classes)


def _belongs_to_method(hook: Hook) -> bool:
    """Neither one of mmengine's and mmpretrain's, nor one that every run has."""
    return not type(hook).__module__.startswith(("mmengine.", "mmpretrain.")) and type(hook).__name__ not in EVERY_RUN


def _nested_name(dataset: Any) -> str:
    """``Wrapper(Inner)`` of a chain of data sets."""
    inner = getattr(dataset, "dataset", None)
    return type(dataset).__name__ + (f"({_nested_name(inner)})" if inner is not None else "")
