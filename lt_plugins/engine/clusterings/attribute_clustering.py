"""Clustering task of LPA: finds pseudo-attributes by k-means and describes each class by them."""

from __future__ import annotations

from typing import Any

import torch
from mmengine.dist import all_reduce, broadcast, is_main_process
from mmengine.runner import Runner
from torch import Tensor
from torch.utils.data import Dataset

from lt_plugins.clustering import ClassAttributeTable, check_backend, class_balanced_sample, kmeans, match_prototypes
from lt_plugins.datasets.labels import get_labels
from lt_plugins.engine.clusterings.clustering_task import ClusteringTask, FeaturePass
from lt_plugins.errors import UserInputError
from lt_plugins.models.classifiers import TwoViewClassifier
from lt_plugins.models.losses.pseudo_attributes import require_pseudo_attributes
from lt_plugins.models.structures import LabelBatch
from lt_plugins.models.unwrap import unwrap_model
from lt_plugins.registry import TASK_UTILS

POOLS = ("mean", "max")


@TASK_UTILS.register_module()
class AttributeClustering(ClusteringTask):
    """Clusters the local features of the training set and describes each class by the clusters (LPA, section 2).

    The images pass through the encoder that the model clusters with (the key encoder of a ``MomentumClassifier``):
    first a class-balanced sample, whose local features give the prototypes by k-means; then all images, streamed, whose
    scores are averaged for each class. Only the table of classes is kept, so memory does not grow with the dataset.
    New prototypes are matched to the old ones, so that attribute ``k`` keeps its meaning.

    Args:
        samples_per_attribute (int): Local features sampled for k-means, for each attribute. Defaults to 256, what faiss
            recommends at most.
        features_per_image (int): Local features sampled from one image at most. Defaults to 8.
        num_iters (int): Iterations of k-means. Defaults to 20.
        pool (str): How the scores of an image's local features become the image's: ``"mean"`` (how much of the image)
            or ``"max"`` (whether anywhere). Defaults to ``"mean"``.
        backend (str): k-means backend, see :func:`lt_plugins.clustering.kmeans`. Defaults to ``"auto"``.

    Raises:
        UserInputError: If an argument is out of range, or faiss is asked for and not installed.

    Examples:
        >>> hook = dict(type='ReclusterHook', task=dict(type='AttributeClustering', pool='max'))
    """

    def __init__(
        self,
        samples_per_attribute: int = 256,
        features_per_image: int = 8,
        num_iters: int = 20,
        pool: str = "mean",
        backend: str = "auto",
    ) -> None:
        if min(samples_per_attribute, features_per_image, num_iters) <= 0:
            raise UserInputError(
                f"samples_per_attribute={samples_per_attribute}, features_per_image={features_per_image} and "
                f"num_iters={num_iters} must be positive."
            )
        if pool not in POOLS:
            raise UserInputError(f"pool={pool!r} must be one of {POOLS}.")
        self.samples_per_attribute = samples_per_attribute
        self.features_per_image = features_per_image
        self.num_iters = num_iters
        self.pool = pool
        self.backend = backend

    def check(self, model: Any, dataset: Dataset) -> None:
        """Check that the model reads attributes, their number and the backend.

        Args:
            model (nn.Module): The classifier, without wrappers.
            dataset (Dataset): The training set.
        """
        num_attributes = require_pseudo_attributes(model).num_attributes
        num_sampled = len(dataset) * self.features_per_image  # type: ignore[arg-type]
        if num_sampled < num_attributes:
            raise UserInputError(
                f"num_attributes={num_attributes} needs at least as many local features, and the training set "
                f"gives {num_sampled} ({self.features_per_image} an image); lower its num_attributes."
            )
        check_backend(self.backend)

    def is_done(self, model: Any) -> bool:
        """Check whether the classes have attributes.

        Args:
            model (nn.Module): The classifier, without wrappers.
        """
        return require_pseudo_attributes(model).has_attributes

    def run(self, runner: Runner, feature_pass: FeaturePass) -> str:
        """Find prototypes and describe the classes.

        Args:
            runner (Runner): The runner of the training process.
            feature_pass (FeaturePass): The training set and how to run over it.

        Returns:
            str: What was found, for the log.
        """
        model = unwrap_model(runner.model)
        attributes = require_pseudo_attributes(model)
        labels = torch.from_numpy(get_labels(feature_pass.dataset))
        seed = runner.seed + runner.epoch
        prototypes, mean_cosine, num_images = self._find_prototypes(model, feature_pass, labels, seed)
        attributes.set_attributes(prototypes, self._describe_classes(model, feature_pass, labels, prototypes))
        runner.message_hub.update_scalar("train/attribute_cosine", mean_cosine)
        return (
            f"{attributes.num_attributes} pseudo-attributes from {num_images} images, mean cosine {mean_cosine:.3f}, "
            f"{int(attributes.attribute_labels.any(dim=0).sum())} of them describe a class"
        )

    def _find_prototypes(
        self, model: TwoViewClassifier, feature_pass: FeaturePass, labels: Tensor, seed: int
    ) -> tuple[Tensor, float, int]:
        """Sample local features, cluster them on the main process, and give every rank the same prototypes."""
        attributes = require_pseudo_attributes(model)
        num_images = -(-attributes.num_attributes * self.samples_per_attribute // self.features_per_image)
        chosen = class_balanced_sample(labels, num_images, seed)

        def extract(batch: dict[str, Any]) -> Tensor:
            data = model.data_preprocessor(batch, training=False)
            local = model.extract_local_features(data["inputs"])
            positions = LabelBatch.from_samples(data["data_samples"]).sample_idx
            if positions is None:
                raise UserInputError(
                    "AttributeClustering draws places of each image by its sample_idx, and some image has none; keep "
                    "'sample_idx' in the meta_keys of PackInputs."
                )
            keep = [
                _random_places(local.shape[1], self.features_per_image, seed, position)
                for position in positions.tolist()
            ]
            places = torch.stack(keep).to(local.device)
            return local.gather(1, places[:, :, None].expand(-1, -1, local.shape[2]))

        sampled = feature_pass.gather(extract, "pseudo-attributes: sampling", chosen).flatten(0, 1)
        device = attributes.prototypes.device
        result = torch.zeros(attributes.num_attributes, sampled.shape[1], device=device)
        mean_cosine = torch.zeros((), device=device)
        if is_main_process():
            found = kmeans(sampled.to(device), attributes.num_attributes, self.num_iters, seed, self.backend)
            centroids = found.centroids
            if attributes.has_attributes:
                centroids = centroids[match_prototypes(centroids, attributes.prototypes)]
            result.copy_(centroids)
            mean_cosine.fill_(found.mean_cosine)
        broadcast(result)
        broadcast(mean_cosine)
        return result, float(mean_cosine), len(chosen)

    def _describe_classes(
        self, model: TwoViewClassifier, feature_pass: FeaturePass, labels: Tensor, prototypes: Tensor
    ) -> Tensor:
        """Stream all images and average their attribute scores for each class, over all ranks."""
        attributes = require_pseudo_attributes(model)
        attributes.resize_and_copy("prototypes", prototypes)
        table = ClassAttributeTable(model.head.num_classes, attributes.num_attributes)

        def extract(batch: dict[str, Any]) -> Tensor:
            data = model.data_preprocessor(batch, training=False)
            scores = attributes.attribute_scores(model.extract_local_features(data["inputs"]))
            return scores.mean(dim=1) if self.pool == "mean" else scores.amax(dim=1)

        for positions, scores in feature_pass.stream(extract, "pseudo-attributes: classes"):
            table.update(scores, labels[positions])
        all_reduce(table.sums)
        all_reduce(table.counts)
        return table.class_scores()


def _random_places(num_places: int, num_kept: int, seed: int, sample_idx: int) -> Tensor:
    """Choose places of one image by a generator of its own, so that the choice does not depend on batches and ranks."""
    generator = torch.Generator().manual_seed(seed * 1_000_003 + sample_idx)
    return torch.randperm(num_places, generator=generator)[:num_kept]
