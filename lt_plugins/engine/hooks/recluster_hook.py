"""Clusters the training set anew every few epochs."""

from __future__ import annotations

import time
from typing import Any

from mmengine.hooks import Hook
from mmengine.runner import Runner

from lt_plugins.datasets.pipelines import find_test_pipeline, replace_pipeline
from lt_plugins.engine.clusterings.attribute_clustering import AttributeClustering
from lt_plugins.engine.clusterings.clustering_task import ClusteringTask, FeaturePass
from lt_plugins.engine.clusterings.subclass_clustering import SubclassClustering
from lt_plugins.errors import UserInputError
from lt_plugins.models.unwrap import unwrap_model
from lt_plugins.registry import HOOKS, TASK_UTILS

TASKS: tuple[type[ClusteringTask], ...] = (AttributeClustering, SubclassClustering)


@HOOKS.register_module()
class ReclusterHook(Hook):
    """Clusters features of the training set before the epochs ``start``, ``start + interval``, ...

    What is clustered follows from what the model reads: the pseudo-attributes of an ``LPAHead``
    (:class:`AttributeClustering`) or the subclasses of an ``SBCLLoss`` (:class:`SubclassClustering`). The images pass
    through the model without augmentation. The result goes into the model's buffers and with them into the checkpoint;
    every rank gets the same.

    Args:
        start (int): First epoch (0-based) before which to cluster; until then the method warms up (plain PaCo, or the
            head's ``warmup_loss``). Defaults to 0.
        interval (int): Epochs between two clusterings. Defaults to 10.
        clustering (dict, optional): Settings of the clustering; its ``type`` may be left out.
        batch_size (int): Images a batch of the passes. Defaults to 256.
        num_workers (int): Data-loader workers of the passes. Defaults to 2.
        pipeline (list[dict], optional): Transforms of the passes. Defaults to those of the test (or validation) data.

    Raises:
        UserInputError: If an argument is out of range, the model reads no clustering or another one, or there is no
            test pipeline.

    Examples:
        >>> custom_hooks = [dict(type='ReclusterHook', start=10, interval=10, clustering=dict(min_size=10))]
    """

    def __init__(
        self,
        start: int = 0,
        interval: int = 10,
        clustering: dict | None = None,
        batch_size: int = 256,
        num_workers: int = 2,
        pipeline: list[dict] | None = None,
    ) -> None:
        if start < 0 or min(interval, batch_size) <= 0:
            raise UserInputError(
                f"start={start} must be 0 or more; interval={interval} and batch_size={batch_size} positive."
            )
        self.start = start
        self.interval = interval
        self.clustering = dict(clustering or {})
        self.batch_size = batch_size
        self.num_workers = num_workers
        self.pipeline = pipeline

    def before_train(self, runner: Runner) -> None:
        """Fail before work is lost if the model cannot be clustered.

        Args:
            runner (Runner): The runner of the training process.
        """
        model = unwrap_model(runner.model)
        self.task(model).check(model, runner.train_dataloader.dataset)
        self._test_pipeline(runner)

    def before_train_epoch(self, runner: Runner) -> None:
        """Cluster if this epoch is due.

        Args:
            runner (Runner): The runner of the training process.
        """
        if self.is_due(runner.epoch, unwrap_model(runner.model)):
            self.recluster(runner)

    def is_due(self, epoch: int, model: Any) -> bool:
        """Whether to cluster before this epoch.

        Also true when a run enters the clustering phase without one, as a run resumed from a PaCo checkpoint does.

        Args:
            epoch (int): 0-based epoch that is about to start.
            model (nn.Module): The classifier, without wrappers.
        """
        if epoch < self.start:
            return False
        return (epoch - self.start) % self.interval == 0 or not self.task(model).is_done(model)

    def task(self, model: Any) -> ClusteringTask:
        """What this hook finds for a model.

        Args:
            model (nn.Module): The classifier, without wrappers.
        """
        fitting = next((task for task in TASKS if task.fits(model)), None)
        if fitting is None:
            raise UserInputError(
                "ReclusterHook fills the tables of an LPAHead or an SBCLLoss, but the model has a "
                f"{type(model.head).__name__}; set model.head.type='LPAHead', or model.head.loss.type='SBCLLoss', or "
                "remove the hook from custom_hooks."
            )
        if self.clustering.get("type", fitting.__name__) != fitting.__name__:
            raise UserInputError(
                f"ReclusterHook has clustering.type={self.clustering['type']!r}, but the model reads a "
                f"{fitting.__name__}; leave the type out."
            )
        return TASK_UTILS.build({**self.clustering, "type": fitting.__name__})

    def recluster(self, runner: Runner) -> None:
        """Cluster now and fill the model's tables.

        Args:
            runner (Runner): The runner of the training process.
        """
        begin = time.perf_counter()
        model = unwrap_model(runner.model)
        dataset = replace_pipeline(runner.train_dataloader.dataset, self._test_pipeline(runner))
        was_training = model.training
        model.eval()
        found = self.task(model).run(runner, FeaturePass(dataset, self.batch_size, self.num_workers))
        model.train(was_training)
        seconds = time.perf_counter() - begin
        runner.logger.info(f"Clustering before epoch {runner.epoch + 1}: {found}, {seconds:.1f} s")

    def _test_pipeline(self, runner: Runner) -> list[dict]:
        pipeline = find_test_pipeline(runner.cfg) if self.pipeline is None else self.pipeline
        if pipeline is None:
            raise UserInputError(
                "ReclusterHook needs a pipeline without augmentation and finds none in test_dataloader.dataset or "
                "val_dataloader.dataset; set the hook's pipeline."
            )
        return pipeline
