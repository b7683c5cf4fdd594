"""Clustering tasks of ``ReclusterHook``: base class, and the feature pass that they read."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Iterator
from typing import Any, NamedTuple

from mmengine.runner import Runner
from torch import Tensor
from torch.utils.data import Dataset

from lt_plugins.engine.features import Extract, gather_features, stream_features


class FeaturePass(NamedTuple):
    """Feature pass: runs the model over the training set with fixed data-loader settings.

    Args:
        dataset (Dataset): The training set without augmentation.
        batch_size (int): Images a batch.
        num_workers (int): Data-loader workers.
    """

    dataset: Dataset
    batch_size: int
    num_workers: int

    def stream(self, extract: Extract, description: str) -> Iterator[tuple[Tensor, Tensor]]:
        """Stream features by :func:`lt_plugins.engine.features.stream_features`."""
        return stream_features(
            extract,
            self.dataset,
            batch_size=self.batch_size,
            num_workers=self.num_workers,
            description=description,
        )

    def gather(self, extract: Extract, description: str, indices: Tensor | None = None) -> Tensor:
        """Gather features by :func:`lt_plugins.engine.features.gather_features`."""
        return gather_features(
            extract,
            self.dataset,
            batch_size=self.batch_size,
            num_workers=self.num_workers,
            indices=indices,
            description=description,
        )


class ClusteringTask(ABC):
    """Base class of clustering tasks: reads features of the training set and fills buffers of the model.

    Register a subclass in ``TASK_UTILS``, and name it as the ``task`` of a ``ReclusterHook``.
    """

    @abstractmethod
    def check(self, model: Any, dataset: Dataset) -> None:
        """Check before training that the model has the buffers and the clustering can work.

        Args:
            model (nn.Module): The classifier, without wrappers.
            dataset (Dataset): The training set.

        Raises:
            UserInputError: If it cannot.
        """

    @abstractmethod
    def is_done(self, model: Any) -> bool:
        """Check whether the buffers hold a clustering.

        Args:
            model (nn.Module): The classifier, without wrappers.
        """

    def forget_images(self, model: Any) -> None:  # noqa: B027 (most have nothing to forget)
        """Forget what the buffers say about single images; called when a run starts from another run's weights.

        A task whose buffers have an entry for each training image empties them here: those images may be others.

        Args:
            model (nn.Module): The classifier, without wrappers.
        """

    @abstractmethod
    def run(self, runner: Runner, feature_pass: FeaturePass) -> str:
        """Cluster and fill the buffers, the same on every rank; the model is in evaluation mode.

        Args:
            runner (Runner): The runner of the training process.
            feature_pass (FeaturePass): The training set and how to run over it.

        Returns:
            str: What was found, for the log.
        """
