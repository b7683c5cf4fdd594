"""First centroids of OLTR: the class means of the training set."""

from __future__ import annotations

from mmengine.runner import Runner

from lt_plugins.engine.class_mean_features import class_mean_features
from lt_plugins.engine.hooks.method_hook import MethodHook
from lt_plugins.errors import UserInputError
from lt_plugins.models.losses import CentroidLoss
from lt_plugins.models.unwrap import unwrap_model
from lt_plugins.registry import HOOKS


@HOOKS.register_module()
class CentroidHook(MethodHook):
    """Centroid hook: sets the centroids of a :class:`.CentroidLoss` to the class means, before the first step.

    The means are those of the features that the head classifies, as the first stage left them, of the training images
    without augmentation, in evaluation mode; every rank passes its share and gets the same means. A class without
    images gets the mean of the others. A resumed run keeps the centroids of its checkpoint.

    Source: Liu et al., "Large-Scale Long-Tailed Recognition in an Open World" (CVPR 2019), released code.

    Args:
        batch_size (int): Images a batch of the pass. Defaults to 256.
        num_workers (int): Data-loader workers of the pass. Defaults to 2.

    Raises:
        UserInputError: If an argument is out of range, or there is no test pipeline.

    Examples:
        >>> custom_hooks = [dict(type='CentroidHook')]
    """

    def __init__(self, batch_size: int = 256, num_workers: int = 2) -> None:
        if batch_size < 1 or num_workers < 0:
            raise UserInputError(f"batch_size={batch_size} must be positive and num_workers={num_workers} 0 or more.")
        self.batch_size = batch_size
        self.num_workers = num_workers

    def before_train(self, runner: Runner) -> None:
        """Compute the means and set them, if the training begins.

        Args:
            runner (Runner): The runner of the training process.
        """
        model = unwrap_model(runner.model)
        losses = [module for module in model.modules() if isinstance(module, CentroidLoss)]
        if not losses:
            runner.logger.info("CentroidHook has nothing to do: no loss of this model has centroids.")
        if not losses or runner.iter > 0:
            return
        means = class_mean_features(
            runner,
            len(losses[0].centroids),
            batch_size=self.batch_size,
            num_workers=self.num_workers,
            needed_by=type(self).__name__,
            description="centroids",
        )
        for loss in losses:
            loss.set_centroids(means)
        runner.logger.info(f"The centroids start as the means of {len(means)} classes.")
