"""Mean feature of each class, over all ranks."""

from __future__ import annotations

from typing import Any

import torch
from mmengine.dist import all_reduce, broadcast
from torch import Tensor

from lt_plugins.clustering import class_means, class_sums
from lt_plugins.datasets.feature_dataset import FeatureDataset
from lt_plugins.datasets.labels import get_labels
from lt_plugins.datasets.pipelines import replace_pipeline, require_test_pipeline
from lt_plugins.engine.features import stream_features
from lt_plugins.models.evaluation_mode import evaluation_mode
from lt_plugins.models.unwrap import unwrap_model


def class_mean_features(
    runner: Any, num_classes: int, *, batch_size: int, num_workers: int, needed_by: str, description: str
) -> Tensor:
    """Compute the class means of what the head gets, of the training images without augmentation.

    In evaluation mode, by the weights as they are; every rank passes its share and gets the same means. A class without
    images gets the mean of the others. Features of a :class:`.FeatureDataset` are taken as they are.

    Args:
        runner (Runner): The runner of the training process.
        num_classes (int): Number of classes ``C``.
        batch_size (int): Images a batch of the pass.
        num_workers (int): Data-loader workers of the pass.
        needed_by (str): What needs them, for the error.
        description (str): Label of the progress bar.

    Returns:
        Tensor: Shape ``(C, D)``, float64, on the device of the model.

    Raises:
        UserInputError: If there are no transforms without augmentation.
    """
    model = unwrap_model(runner.model)
    device = next(model.parameters()).device
    dataset = runner.train_dataloader.dataset
    labels = torch.from_numpy(get_labels(dataset)).to(device)
    if isinstance(dataset, FeatureDataset):
        sums = class_sums(dataset.features.double().to(device), labels, num_classes)
    else:
        dataset = replace_pipeline(dataset, require_test_pipeline(runner.cfg, needed_by))
        sums = _sum_features(model, dataset, labels, num_classes, batch_size, num_workers, description)
        all_reduce(sums)
    means, counts = class_means(sums)
    means = torch.where(counts[:, None] > 0, means, means[counts > 0].mean(dim=0))
    broadcast(means)
    return means


def _sum_features(
    model: Any, dataset: Any, labels: Tensor, num_classes: int, batch_size: int, num_workers: int, description: str
) -> Tensor:
    """Sums of this rank, ``(C, D + 1)`` as of :func:`.class_sums`."""

    def extract(batch: dict[str, Any]) -> Tensor:
        return model.extract_feat(model.data_preprocessor(batch, training=False)["inputs"])[-1]

    sums: Tensor | None = None
    with evaluation_mode(model):
        for positions, features in stream_features(
            extract, dataset, batch_size=batch_size, num_workers=num_workers, description=description
        ):
            batch_sums = class_sums(features.double(), labels[positions.to(labels.device)], num_classes)
            sums = batch_sums if sums is None else sums + batch_sums
    assert sums is not None
    return sums
