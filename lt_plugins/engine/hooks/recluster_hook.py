"""Finds the pseudo-attributes of LPA anew every few epochs."""

from __future__ import annotations

import time
from typing import Any

import torch
from mmengine.dist import all_reduce, broadcast, is_main_process
from mmengine.hooks import Hook
from mmengine.runner import Runner
from mmpretrain.registry import HOOKS
from torch import Tensor
from torch.utils.data import Dataset

from lt_plugins.clustering import (
    ClassAttributeTable,
    check_backend,
    class_balanced_sample,
    kmeans,
    match_prototypes,
)
from lt_plugins.datasets import get_labels, replace_pipeline
from lt_plugins.engine.features import gather_features, stream_features
from lt_plugins.engine.trained_model import find_test_pipeline
from lt_plugins.engine.unwrap import unwrap_model
from lt_plugins.errors import UserInputError
from lt_plugins.models.classifiers import TwoViewClassifier
from lt_plugins.models.heads import LPAHead

POOLS = ("mean", "max")


@HOOKS.register_module()
class ReclusterHook(Hook):
    """Clusters the local features of the training set and describes each class by the clusters (LPA, section 2).

    Before the epochs ``start``, ``start + interval``, ... the training images pass, without augmentation, through the
    encoder that the model clusters with (the key encoder of a ``MomentumClassifier``): first a class-balanced sample,
    whose local features give the prototypes by k-means; then all images, streamed, whose scores are averaged for each
    class. Only the table of classes is kept, so memory does not grow with the data set. New prototypes are matched to
    the old ones, so that attribute ``k`` keeps its meaning. The result goes into the head's buffers and with them into
    the checkpoint; every rank gets the same.

    Args:
        start (int): First epoch (0-based) before which to cluster; until then the method is plain PaCo. Defaults to 0.
        interval (int): Epochs between two clusterings. Defaults to 10.
        samples_per_attribute (int): Local features sampled for k-means, for each attribute. Defaults to 256, what faiss
            recommends at most.
        features_per_image (int): Local features sampled from one image at most. Defaults to 8.
        num_iters (int): Iterations of k-means. Defaults to 20.
        pool (str): How the scores of an image's local features become the image's: ``"mean"`` (how much of the image)
            or ``"max"`` (whether anywhere). Defaults to ``"mean"``.
        batch_size (int): Images a batch of the passes. Defaults to 256.
        num_workers (int): Data-loader workers of the passes. Defaults to 2.
        backend (str): k-means backend, see :func:`lt_plugins.clustering.kmeans`. Defaults to ``"auto"``.
        pipeline (list[dict], optional): Transforms of the passes. Defaults to those of the test (or validation) data.

    Raises:
        UserInputError: If an argument is out of range, the model's head is not an ``LPAHead``, faiss is asked for and
            not installed, or there is no test pipeline.

    Examples:
        >>> custom_hooks = [dict(type='ReclusterHook', start=40, interval=10)]
    """

    def __init__(
        self,
        start: int = 0,
        interval: int = 10,
        samples_per_attribute: int = 256,
        features_per_image: int = 8,
        num_iters: int = 20,
        pool: str = "mean",
        batch_size: int = 256,
        num_workers: int = 2,
        backend: str = "auto",
        pipeline: list[dict] | None = None,
    ) -> None:
        if start < 0 or min(interval, samples_per_attribute, features_per_image, num_iters, batch_size) <= 0:
            raise UserInputError(
                f"start={start} must be 0 or more; interval={interval}, samples_per_attribute={samples_per_attribute}, "
                f"features_per_image={features_per_image}, num_iters={num_iters} and batch_size={batch_size} positive."
            )
        if pool not in POOLS:
            raise UserInputError(f"pool={pool!r} must be one of {POOLS}.")
        self.start = start
        self.interval = interval
        self.samples_per_attribute = samples_per_attribute
        self.features_per_image = features_per_image
        self.num_iters = num_iters
        self.pool = pool
        self.batch_size = batch_size
        self.num_workers = num_workers
        self.backend = backend
        self.pipeline = pipeline

    def before_train(self, runner: Runner) -> None:
        """Fail before work is lost if the model cannot be clustered.

        Args:
            runner (Runner): The runner of the training process.
        """
        head = unwrap_model(runner.model).head
        if not isinstance(head, LPAHead):
            raise UserInputError(
                f"ReclusterHook fills the tables of an LPAHead, but the model has a {type(head).__name__}; "
                "set model.head.type='LPAHead' or remove the hook from custom_hooks."
            )
        num_sampled = len(runner.train_dataloader.dataset) * self.features_per_image
        if num_sampled < head.num_attributes:
            raise UserInputError(
                f"num_attributes={head.num_attributes} needs at least as many local features, and the training set "
                f"gives {num_sampled} ({self.features_per_image} an image); lower model.head.num_attributes."
            )
        check_backend(self.backend)
        self._test_pipeline(runner)

    def before_train_epoch(self, runner: Runner) -> None:
        """Cluster if this epoch is due.

        Args:
            runner (Runner): The runner of the training process.
        """
        if self.is_due(runner.epoch, unwrap_model(runner.model).head):
            self.recluster(runner)

    def is_due(self, epoch: int, head: LPAHead) -> bool:
        """Whether to cluster before this epoch.

        Also true when a run enters the clustering phase without attributes, as one resumed from a PaCo checkpoint does.

        Args:
            epoch (int): 0-based epoch that is about to start.
            head (LPAHead): The head with the tables.
        """
        if epoch < self.start:
            return False
        return (epoch - self.start) % self.interval == 0 or not head.has_attributes

    def recluster(self, runner: Runner) -> None:
        """Cluster now and fill the head's tables.

        Args:
            runner (Runner): The runner of the training process.
        """
        begin = time.perf_counter()
        model = unwrap_model(runner.model)
        head: LPAHead = model.head
        dataset = replace_pipeline(runner.train_dataloader.dataset, self._test_pipeline(runner))
        labels = torch.from_numpy(get_labels(dataset))
        was_training = model.training
        model.eval()
        prototypes, mean_cosine, num_images = self._find_prototypes(model, dataset, labels, runner)
        class_attributes = self._describe_classes(model, dataset, labels, prototypes)
        head.set_attributes(prototypes, class_attributes)
        model.train(was_training)
        runner.message_hub.update_scalar("train/attribute_cosine", mean_cosine)
        runner.logger.info(
            f"Pseudo-attributes before epoch {runner.epoch + 1}: "
            f"{head.num_attributes} prototypes from {num_images} images, mean cosine {mean_cosine:.3f}, "
            f"{int(head.attribute_labels.any(dim=0).sum())} of them describe a class, "
            f"{time.perf_counter() - begin:.1f} s"
        )

    def _find_prototypes(
        self, model: TwoViewClassifier, dataset: Dataset, labels: Tensor, runner: Runner
    ) -> tuple[Tensor, float, int]:
        """Sample local features, cluster them on the main process, and give every rank the same prototypes."""
        head: LPAHead = model.head
        seed = runner.seed + runner.epoch
        num_images = -(-head.num_attributes * self.samples_per_attribute // self.features_per_image)
        chosen = class_balanced_sample(labels, num_images, seed)

        def extract(batch: dict[str, Any]) -> Tensor:
            data = model.data_preprocessor(batch, training=False)
            local = model.extract_local_features(data["inputs"])
            keep = [
                _random_places(local.shape[1], self.features_per_image, seed, sample.sample_idx)
                for sample in data["data_samples"]
            ]
            places = torch.stack(keep).to(local.device)
            return local.gather(1, places[:, :, None].expand(-1, -1, local.shape[2]))

        sampled = gather_features(
            extract,
            dataset,
            batch_size=self.batch_size,
            num_workers=self.num_workers,
            indices=chosen,
            description="pseudo-attributes: sampling",
        ).flatten(0, 1)
        result = torch.zeros_like(head.prototypes)
        mean_cosine = torch.zeros((), device=result.device)
        if is_main_process():
            found = kmeans(sampled.to(result.device), head.num_attributes, self.num_iters, seed, self.backend)
            centroids = found.centroids
            if head.has_attributes:
                centroids = centroids[match_prototypes(centroids, head.prototypes)]
            result.copy_(centroids)
            mean_cosine.fill_(found.mean_cosine)
        broadcast(result)
        broadcast(mean_cosine)
        return result, float(mean_cosine), len(chosen)

    def _describe_classes(
        self, model: TwoViewClassifier, dataset: Dataset, labels: Tensor, prototypes: Tensor
    ) -> Tensor:
        """Stream all images and average their attribute scores for each class, over all ranks."""
        head: LPAHead = model.head
        head.prototypes.copy_(prototypes)
        table = ClassAttributeTable(head.num_classes, head.num_attributes)

        def extract(batch: dict[str, Any]) -> Tensor:
            data = model.data_preprocessor(batch, training=False)
            scores = head.attribute_scores(model.extract_local_features(data["inputs"]))
            return scores.mean(dim=1) if self.pool == "mean" else scores.amax(dim=1)

        stream = stream_features(
            extract,
            dataset,
            batch_size=self.batch_size,
            num_workers=self.num_workers,
            description="pseudo-attributes: classes",
        )
        for positions, scores in stream:
            table.update(scores, labels[positions])
        all_reduce(table.sums)
        all_reduce(table.counts)
        return table.class_scores()

    def _test_pipeline(self, runner: Runner) -> list[dict]:
        pipeline = find_test_pipeline(runner.cfg) if self.pipeline is None else self.pipeline
        if pipeline is None:
            raise UserInputError(
                "ReclusterHook needs a pipeline without augmentation and finds none in test_dataloader.dataset or "
                "val_dataloader.dataset; set the hook's pipeline."
            )
        return pipeline


def _random_places(num_places: int, num_kept: int, seed: int, sample_idx: int) -> Tensor:
    """Choose places of one image by a generator of its own, so that the choice does not depend on batches and ranks."""
    generator = torch.Generator().manual_seed(seed * 1_000_003 + sample_idx)
    return torch.randperm(num_places, generator=generator)[:num_kept]
