"""Re-clustering: clusters the training set every few epochs."""

from __future__ import annotations

import time
from collections.abc import Sequence
from typing import Any

from mmengine.runner import Runner

from lt_plugins.datasets.pipelines import replace_pipeline, require_test_pipeline
from lt_plugins.engine.clusterings.clustering_task import ClusteringTask, FeaturePass
from lt_plugins.engine.hooks.method_hook import MethodHook
from lt_plugins.errors import UserInputError
from lt_plugins.models.evaluation_mode import evaluation_mode
from lt_plugins.models.unwrap import unwrap_model
from lt_plugins.registry import HOOKS, TASK_UTILS


@HOOKS.register_module()
class ReclusterHook(MethodHook):
    """Re-clustering hook: runs a clustering task before the epochs ``start``, ``start + interval``, ...

    The task says what is clustered and which buffers of the model hold the result, which thus goes into the checkpoint:
    :class:`.AttributeClustering` (LPA), :class:`.PrototypeClustering` (PCL), :class:`.SubclassClustering` (SBCL) or any
    other :class:`.ClusteringTask` that is registered in ``TASK_UTILS``. The images pass through the model without
    augmentation; every rank gets the same result.

    Args:
        task (dict): Config of a :class:`.ClusteringTask`.
        start (int): First epoch (0-based) before which to cluster; until then the method warms up (plain PaCo, or the
            head's ``warmup_loss``). Defaults to 0.
        interval (int): Epochs between two clusterings. Defaults to 10.
        batch_size (int): Images a batch of the passes. Defaults to 256.
        num_workers (int): Data-loader workers of the passes. Defaults to 2.
        pipeline (list[dict], optional): Transforms of the passes. Defaults to those of the test (or validation) data.

    Raises:
        UserInputError: If an argument is out of range, the task is none or does not fit the model, or there is no test
            pipeline.

    Examples:
        >>> custom_hooks = [dict(type='ReclusterHook', task=dict(type='AttributeClustering'), start=40, interval=10)]
    """

    def __init__(
        self,
        task: dict,
        start: int = 0,
        interval: int = 10,
        batch_size: int = 256,
        num_workers: int = 2,
        pipeline: list[dict] | None = None,
    ) -> None:
        if start < 0 or min(interval, batch_size) <= 0:
            raise UserInputError(
                f"start={start} must be 0 or more; interval={interval} and batch_size={batch_size} positive."
            )
        self.task: ClusteringTask = TASK_UTILS.build(task)
        if not isinstance(self.task, ClusteringTask):
            raise UserInputError(
                f"task.type={task['type']!r} of ReclusterHook is no ClusteringTask; give one, like "
                "dict(type='SubclassClustering')."
            )
        self.start = start
        self.interval = interval
        self.batch_size = batch_size
        self.num_workers = num_workers
        self.pipeline = pipeline

    def before_train(self, runner: Runner) -> None:
        """Check before training that the model can be clustered, and forget the images of another run.

        Args:
            runner (Runner): The runner of the training process.
        """
        model = unwrap_model(runner.model)
        self.task.check(model, runner.train_dataloader.dataset)
        self._test_pipeline(runner)
        if not runner._resume:
            self.task.forget_images(model)

    def before_train_epoch(self, runner: Runner) -> None:
        """Cluster if this epoch is due.

        Args:
            runner (Runner): The runner of the training process.
        """
        if self.is_due(runner.epoch, unwrap_model(runner.model)):
            self.recluster(runner)

    def is_due(self, epoch: int, model: Any) -> bool:
        """Check whether to cluster before this epoch.

        Also true when a run enters the clustering phase without one, as a run resumed from a PaCo checkpoint does.

        Args:
            epoch (int): 0-based epoch that is about to start.
            model (nn.Module): The classifier, without wrappers.
        """
        if epoch < self.start:
            return False
        return (epoch - self.start) % self.interval == 0 or not self.task.is_done(model)

    def recluster(self, runner: Runner) -> None:
        """Cluster now and fill the buffers of the model.

        Args:
            runner (Runner): The runner of the training process.
        """
        begin = time.perf_counter()
        model = unwrap_model(runner.model)
        dataset = replace_pipeline(runner.train_dataloader.dataset, self._test_pipeline(runner))
        with evaluation_mode(model):
            found = self.task.run(runner, FeaturePass(dataset, self.batch_size, self.num_workers))
        seconds = time.perf_counter() - begin
        runner.logger.info(f"Clustering before epoch {runner.epoch + 1}: {found}, {seconds:.1f} s")

    def _test_pipeline(self, runner: Runner) -> Sequence[dict]:
        return require_test_pipeline(runner.cfg, type(self).__name__, self.pipeline, advice="set the hook's pipeline")
