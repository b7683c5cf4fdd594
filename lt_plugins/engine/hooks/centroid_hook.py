"""First centroids of OLTR: the class means of the training set."""

from __future__ import annotations

from typing import Any

import torch
from mmengine.dist import all_reduce, broadcast
from mmengine.runner import Runner
from torch import Tensor

from lt_plugins.clustering import class_means, class_sums
from lt_plugins.datasets.labels import get_labels
from lt_plugins.datasets.pipelines import replace_pipeline, require_test_pipeline
from lt_plugins.engine.features import stream_features
from lt_plugins.engine.hooks.method_hook import MethodHook
from lt_plugins.errors import UserInputError
from lt_plugins.models.evaluation_mode import evaluation_mode
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
        pipeline = require_test_pipeline(runner.cfg, type(self).__name__)
        dataset = replace_pipeline(runner.train_dataloader.dataset, pipeline)
        with evaluation_mode(model):
            means = self._class_means(model, dataset, losses[0].centroids)
        for loss in losses:
            loss.set_centroids(means)
        runner.logger.info(f"The centroids start as the means of {len(means)} classes.")

    def _class_means(self, model: Any, dataset: Any, centroids: Tensor) -> Tensor:
        """Means of the classes ``(C, D)``, the same on every rank."""
        labels = torch.from_numpy(get_labels(dataset)).to(centroids.device)
        sums = centroids.new_zeros(len(centroids), centroids.shape[1] + 1, dtype=torch.float64)

        def extract(batch: dict[str, Any]) -> Tensor:
            return model.extract_feat(model.data_preprocessor(batch, training=False)["inputs"])[-1]

        for positions, features in stream_features(
            extract, dataset, batch_size=self.batch_size, num_workers=self.num_workers, description="centroids"
        ):
            sums += class_sums(features.double(), labels[positions.to(labels.device)], len(sums))
        all_reduce(sums)
        means, counts = class_means(sums)
        others = means[counts > 0].mean(dim=0)
        means = torch.where(counts[:, None] > 0, means, others)
        broadcast(means)
        return means
