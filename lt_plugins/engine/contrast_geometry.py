"""Geometry of a contrastive model: how its features of held-out images lie on the unit sphere, by group of classes."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

import torch
import torch.nn.functional as F
from torch import Tensor
from torch.utils.data import Dataset

from lt_plugins.clustering import class_directions, class_distances, uniformity
from lt_plugins.datasets.labels import get_labels
from lt_plugins.datasets.pipelines import loader_pipeline, replace_pipeline
from lt_plugins.engine.features import gather_features
from lt_plugins.engine.seeding import seed_generators
from lt_plugins.errors import UserInputError
from lt_plugins.evaluation.geometry_names import GROUPS, QUANTITIES
from lt_plugins.models.classifiers import TwoViewClassifier


class ContrastGeometry(NamedTuple):
    """Outcome of :func:`measure_geometry`.

    Args:
        numbers (dict[str, dict[str, float]]): By the names of ``QUANTITIES``, then of ``GROUPS``; a group without a
            value is left out.

            * ``alignment``: squared distance of two augmented views of an image, mean over the images of a class, then
              over the classes (Wang and Isola, alpha = 2);
            * ``uniformity``: :func:`~lt_plugins.clustering.uniformity` of the images of the group (t = 2);
            * ``within``, ``between``: distance of an image to others of its class, and to those of all other classes,
              mean over the classes.
        by_class (dict[str, Tensor]): The same of each class but uniformity, float64 ``(C,)``; NaN without images.
        directions (Tensor): Mean direction of each class, float64 ``(C, D)``; NaN without images.
        num_images (int): Images that were measured.
        is_projected (bool): Whether the features are projections; else pooled features, and their class means are
            centred.
    """

    numbers: dict[str, dict[str, float]]
    by_class: dict[str, Tensor]
    directions: Tensor
    num_images: int
    is_projected: bool


class ViewPairs(Dataset):
    """Dataset of two augmented views of each image, by a random state of its own, with any number of workers.

    Args:
        dataset (Dataset): The images through the transforms of training, of one view or several.
        seed (int): Which draw of the transforms.
        pair (slice): Which two of several views.
    """

    def __init__(self, dataset: Any, seed: int, pair: slice) -> None:
        self.dataset = dataset
        self.seed = seed
        self.pair = pair

    def __len__(self) -> int:
        """Number of images."""
        return len(self.dataset)

    def __getitem__(self, index: int) -> dict[str, Any]:
        """Load the views of an image.

        Args:
            index (int): Its position.
        """
        seed_generators(self.seed, index, cuda=False)
        sample = self.dataset[index]
        views = sample["inputs"]
        pair = [views, self.dataset[index]["inputs"]] if isinstance(views, Tensor) else list(views[self.pair])
        return {**sample, "inputs": pair}


def has_projections(model: Any) -> bool:
    """Whether a model has a projector, so that its projections are what it contrasts.

    Args:
        model (nn.Module): The model without wrappers.
    """
    return hasattr(model, "extract_projections")


def sphere_features(model: Any, images: Tensor) -> Tensor:
    """Unit features of images: projections, if the model has a projector, else pooled ones (of experts the last).

    Args:
        model (nn.Module): The model without wrappers, in evaluation mode.
        images (Tensor): Preprocessed images, ``(B, 3, H, W)``.

    Returns:
        Tensor: Unit rows, float32 ``(B, D)``.
    """
    feats = model.extract_projections(images) if has_projections(model) else model.extract_feat(images)[-1]
    pooled = feats.mean(dim=(2, 3)) if feats.ndim == 4 else feats.flatten(1)
    return F.normalize(pooled.float(), dim=1)


def draw_images(labels: Tensor, max_images: int, seed: int) -> Tensor:
    """Draw as many images of each class, at least two, or all of a class that has fewer.

    Args:
        labels (Tensor): Classes, int64 ``(N,)``.
        max_images (int): Images of all classes that the number of each follows from.
        seed (int): Seed of the draw.

    Returns:
        Tensor: Positions of the images, ascending, int64.
    """
    counts = labels.bincount()
    quota = max(2, max_images // int((counts > 0).sum()))
    shuffled = torch.randperm(len(labels), generator=torch.Generator().manual_seed(seed))
    by_class = shuffled[labels[shuffled].argsort(stable=True)]
    place = torch.arange(len(labels)) - (counts.cumsum(0) - counts)[labels[by_class]]
    return by_class[place < quota].sort().values


def measure_geometry(
    model: Any,
    dataset: Any,
    cfg: Mapping[str, Any],
    *,
    max_images: int,
    seed: int = 0,
    batch_size: int = 256,
    num_workers: int = 0,
) -> ContrastGeometry:
    """Measure how the features of a held-out dataset lie on the sphere, in two passes, the same on every rank.

    Source: Wang and Isola, "Understanding Contrastive Representation Learning through Alignment and Uniformity on the
    Hypersphere" (ICML 2020).

    Args:
        model (nn.Module): The model without wrappers, in evaluation mode, with its class counts.
        dataset (Dataset): The images, without augmentation.
        cfg (Mapping[str, Any]): The config, whose training transforms make the two views.
        max_images (int): Images to measure, as many of each class, but at least two.
        seed (int): Seed of drawn images and of their views. Defaults to 0.
        batch_size (int): Images a batch. Defaults to 256.
        num_workers (int): Data-loader workers. Defaults to 0.

    Raises:
        UserInputError: If the class counts are unknown, or the config has no training transforms.
    """
    distribution = getattr(model, "class_distribution", None)
    pipeline = loader_pipeline(cfg.get("train_dataloader"))
    if distribution is None or not distribution.is_set:
        raise UserInputError(
            "the model has no class counts (class_distribution.counts), which say what many-, medium- and few-shot "
            "classes are; train with ClassDistributionHook in default_hooks."
        )
    if pipeline is None:
        raise UserInputError("the config has no transforms in train_dataloader.dataset, which make the two views.")
    labels = torch.from_numpy(get_labels(dataset))
    chosen = draw_images(labels, max_images, seed)
    labels = labels[chosen]

    def project(batch: dict[str, Any]) -> Tensor:
        return sphere_features(model, model.data_preprocessor(batch, training=False)["inputs"])

    def compare(batch: dict[str, Any]) -> Tensor:
        first, second = model.data_preprocessor(batch, training=False)["inputs"]
        return (sphere_features(model, first) - sphere_features(model, second)).square().sum(dim=1)

    # The first of three views trains a classifier; of many crops the first two are the large ones.
    pair = slice(-2, None) if isinstance(model, TwoViewClassifier) else slice(2)
    views = ViewPairs(replace_pipeline(dataset, pipeline), seed, pair)
    settings: dict[str, Any] = {"batch_size": batch_size, "num_workers": num_workers, "indices": chosen}
    features = gather_features(project, dataset, description="features", **settings)
    stretch = gather_features(compare, views, description="two views", **settings)
    return describe_features(features, stretch, labels, distribution.groups, has_projections(model))


def describe_features(
    features: Tensor, stretch: Tensor, labels: Tensor, groups: Sequence[str], is_projected: bool = True
) -> ContrastGeometry:
    """Compute the numbers of :class:`ContrastGeometry`.

    Args:
        features (Tensor): Unit features, ``(N, D)``.
        stretch (Tensor): Squared distance of two views of each image, ``(N,)``.
        labels (Tensor): Classes, int64 ``(N,)``.
        groups (Sequence[str]): ``'many'``, ``'medium'`` or ``'few'`` for each class, ``C`` of them.
        is_projected (bool): Whether the features are projections. Defaults to True.
    """
    num_classes = len(groups)
    within, between = class_distances(features, labels, num_classes)
    number = labels.bincount(minlength=num_classes)
    alignment = labels.bincount(stretch.double(), minlength=num_classes) / number
    by_class = {"alignment": alignment, "within": within, "between": between}
    numbers: dict[str, dict[str, float]] = {name: {} for name in QUANTITIES}
    for group in GROUPS:
        members = torch.tensor([group in ("all", own) for own in groups])
        means = {name: float(values[members].nanmean()) for name, values in by_class.items()}
        means["uniformity"] = float(uniformity(features[members[labels]]))
        for name, value in means.items():
            if value == value:  # not NaN: there was something to average
                numbers[name][group] = value
    directions = class_directions(features, labels, num_classes, centred=not is_projected)
    return ContrastGeometry(numbers, by_class, directions, len(features), is_projected)
