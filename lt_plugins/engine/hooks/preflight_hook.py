"""Pre-flight: prints a summary of a run and checks it before the first step."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, NamedTuple

from mmengine.hooks import Hook
from mmengine.runner import BaseLoop, Runner
from torch.utils.data import DataLoader

from lt_plugins.checks.global_batch import check_global_batch
from lt_plugins.checks.preflight import Allowed, check_data, check_setup, describe_device, preflight_summary
from lt_plugins.checks.size_warnings import find_size_warnings
from lt_plugins.checks.training_settings import check_work_left
from lt_plugins.datasets.class_names import checkpoint_classes
from lt_plugins.datasets.loader_order import batch_parts
from lt_plugins.datasets.split_dataset import SplitDataset
from lt_plugins.datasets.splits import DEFAULT_FRACTION
from lt_plugins.errors import UserInputError
from lt_plugins.models.unwrap import unwrap_model
from lt_plugins.registry import HOOKS

EVERY_RUN = (
    "AccumulationHook",
    "AveragedModelHook",
    "CheckpointFitHook",
    "ClassDistributionHook",
    "DeferredInfoHook",
    "EpochHook",
    "EpochSeedHook",
    "FiniteTrainingHook",
    "MemoryFormatHook",
    "PeakMemoryHook",
    "PreflightHook",
    "TeacherHook",
)


@HOOKS.register_module()
class PreflightHook(Hook):
    """Pre-flight hook: prints a summary before the first step, and stops where training or testing cannot work.

    Args:
        allow_empty_classes (bool): Whether a class may have no training image. Defaults to False.
        allow_renamed_classes (bool): Whether datasets, and the checkpoint that is tested or resumed, may name the
            classes differently. Defaults to False.
        allow_small_crops (bool): Whether the model may see small parts of large images, as for textures. Defaults to
            False.

    Config::

        default_hooks = dict(preflight=dict(type='PreflightHook', allow_empty_classes=True))

    Raises:
        UserInputError: If a class has no image, the classes of a dataset do not fit the head, the checkpoint or the
            other dataset, the validation part is of another split than the training part, the first or last image
            cannot be read or is much larger than what the model sees of it, the images of a step are not the recipe's,
            or ClassDistributionHook is missing.
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
        self._trained_split: _TrainedSplit | None = None

    def after_load_checkpoint(self, runner: Runner, checkpoint: dict[str, Any]) -> None:
        """Note the split of a checkpoint, and the class names of one whose classifier is used: all but of a fresh head.

        Args:
            runner (Runner): The runner.
            checkpoint (dict): The loaded checkpoint.
        """
        initialises = not runner._resume and isinstance(runner._train_loop, BaseLoop)
        parts = getattr(unwrap_model(runner.model), "initialised_parts", ())
        if not initialises or any(part.startswith("head") for part in parts):
            self._trained_classes = checkpoint_classes(checkpoint)
        self._trained_split = _split_of(checkpoint)

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
            batch_parts=batch_parts(loader),
            num_batches=len(loader),
            max_epochs=runner.max_epochs,
            pretrained_on=runner.cfg.get("pretrained_on"),
        )
        runner.logger.info(f"About to train, results go to {runner.work_dir}\n{summary}")
        for warning in find_size_warnings(model, loader, runner.world_size):
            runner.logger.warning(warning)

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
        if isinstance(loader.dataset, SplitDataset) and self._trained_split is not None:
            self._check_split(runner, loader.dataset, self._trained_split)

    @staticmethod
    def _check_split(runner: Runner, dataset: SplitDataset, trained: _TrainedSplit) -> None:
        """Refuse a validation part of another split than that of the training; warn if the images have changed."""
        if dataset.split != trained.split:
            one, other = (
                " ".join(
                    f"split.{key}={value}" for key, value in split.items() if dataset.split[key] != trained.split[key]
                )
                for split in (trained.split, dataset.split)
            )
            raise UserInputError(
                f"the model was trained with {one}, and this validation part has {other}, so that some of its images "
                f"were trained on; give the same, as by --cfg-options {one}."
            )
        if dataset.training_names != trained.names:
            runner.logger.warning(
                "The images of this dataset have changed since the training, so a few of its validation part may have "
                "been trained on."
            )


class _TrainedSplit(NamedTuple):
    """The split that a checkpoint was trained on."""

    split: dict[str, Any]
    names: str | None


def _split_of(checkpoint: dict[str, Any]) -> _TrainedSplit | None:
    """The split that a checkpoint was trained on; None if it had none, or does not say."""
    record = checkpoint.get("meta", {}).get("run_record")
    config, data = (record.get(key) if isinstance(record, dict) else None for key in ("config", "data"))
    path = "train_dataloader.dataset"
    if not isinstance(config, dict) or _last_name(config.get(f"{path}.type")) != "SplitDataset":
        return None
    names = data.get("training_names") if isinstance(data, dict) else None
    defaults = {"val_fraction": DEFAULT_FRACTION, "seed": 0, "copies_together": False}
    return _TrainedSplit({key: config.get(f"{path}.{key}", value) for key, value in defaults.items()}, names)


def _last_name(component: Any) -> str:
    """Name of a type in a config without its scope."""
    return str(component).rpartition(".")[2]


def _belongs_to_method(hook: Hook) -> bool:
    """Check whether a hook belongs to the method: not mmengine's, mmpretrain's, of the tools, or one of every run."""
    others = ("mmengine.", "mmpretrain.", "lt_plugins.runs.")
    return not type(hook).__module__.startswith(others) and type(hook).__name__ not in EVERY_RUN


def _nested_name(dataset: Any) -> str:
    """Name a chain of datasets, ``Wrapper(Inner)``."""
    inner = getattr(dataset, "dataset", None)
    return type(dataset).__name__ + (f"({_nested_name(inner)})" if inner is not None else "")
