"""Pre-flight of detectors: prints a summary of a run and checks it before the first step."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

from mmdet.registry import HOOKS
from mmengine.hooks import Hook
from mmengine.runner import BaseLoop, Runner
from torch import nn

from lt_plugins.checks.global_batch import check_global_batch
from lt_plugins.checks.preflight import describe_device
from lt_plugins.checks.training_settings import check_work_left
from lt_plugins.datasets.class_names import check_same_classes, checkpoint_classes, leaf_classes
from lt_plugins.errors import UserInputError
from lt_plugins.models.unwrap import unwrap_model


@HOOKS.register_module()
class DetectionPreflightHook(Hook):
    """Pre-flight hook of detectors: prints a summary, and compares the classes of data, checkpoint and detector.

    Config::

        default_hooks = dict(preflight=dict(type='DetectionPreflightHook'))

    Raises:
        UserInputError: If a head has another number of classes than the training set, datasets and a checkpoint that
            is tested or resumed name them differently, or the images of a step are not the recipe's.
    """

    # After LoadBackboneHook.
    priority = "HIGH"

    def __init__(self) -> None:
        self._trained_classes: Sequence[str] | None = None

    def after_load_checkpoint(self, runner: Runner, checkpoint: dict[str, Any]) -> None:
        """Note the class names of a checkpoint that is tested or resumed.

        Args:
            runner (Runner): The runner.
            checkpoint (dict): The loaded checkpoint.
        """
        if runner._resume or not isinstance(runner._train_loop, BaseLoop):
            self._trained_classes = checkpoint_classes(checkpoint)

    def before_test(self, runner: Runner) -> None:
        """Compare the class names of the test set with those of the checkpoint.

        Args:
            runner (Runner): The runner of the testing process.
        """
        self._check_names({"test": runner.test_dataloader.dataset})

    def _check_names(self, datasets: dict[str, Any]) -> None:
        named: dict[str, Sequence[str] | None] = {"the checkpoint": self._trained_classes}
        for split, dataset in datasets.items():
            named |= leaf_classes(f"the {split} dataset", dataset)
        check_same_classes(named, exception="")

    def before_train(self, runner: Runner) -> None:
        """Check, then print.

        Args:
            runner (Runner): The runner of the training process.
        """
        check_global_batch(runner.cfg, runner.world_size)
        check_work_left(runner)
        model, loader = unwrap_model(runner.model), runner.train_dataloader
        classes = loader.dataset.metainfo["classes"]
        head = getattr(model, "roi_head", model).bbox_head
        for part in head if isinstance(head, nn.ModuleList) else [head]:  # a cascade has several
            if part.num_classes != len(classes):
                raise UserInputError(
                    f"the training set has {len(classes)} classes, but the detector's bbox_head.num_classes="
                    f"{part.num_classes}; give both the same."
                )
        datasets = {"train": loader.dataset}
        if runner.val_loop is not None:
            datasets["val"] = runner.val_dataloader.dataset
        self._check_names(datasets)
        depth = f"-{model.backbone.depth}" if hasattr(model.backbone, "depth") else ""
        boxes = [instance for info in _infos(loader.dataset) for instance in info["instances"]]
        parameters = list(model.parameters())
        trained = sum(parameter.numel() for parameter in parameters if parameter.requires_grad)
        rows = {
            "data": f"{len(loader.dataset)} images, {len(boxes)} boxes of {len(classes)} classes, "
            f"{sum(box['ignore_flag'] for box in boxes)} of them ignored",
            "method": f"{type(model).__name__}({type(model.backbone).__name__}{depth})",
            "device": f"{runner.world_size} x {describe_device()}",
            "schedule": f"{runner.max_iters} iterations, batch {loader.batch_size} x {runner.world_size}",
            "model": f"{sum(p.numel() for p in parameters) / 1e6:.2f} M parameters, {trained / 1e6:.2f} M trained",
        }
        summary = "\n".join(f"{name:<8}  {text}" for name, text in rows.items())
        runner.logger.info(f"About to train, results go to {runner.work_dir}\n{summary}")


def _infos(dataset: Any) -> Iterator[dict]:
    """Collect the annotations of the innermost datasets."""
    if hasattr(dataset, "datasets"):
        for part in dataset.datasets:
            yield from _infos(part)
    elif hasattr(dataset, "dataset"):
        yield from _infos(dataset.dataset)
    else:
        yield from (dataset.get_data_info(index) for index in range(len(dataset)))
