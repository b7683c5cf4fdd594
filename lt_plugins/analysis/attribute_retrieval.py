"""Attribute retrieval: locates the pseudo-attributes of a model in images and finds the images that show them best."""

from __future__ import annotations

from typing import Any, NamedTuple

import torch
from torch import Tensor
from torch.utils.data import Dataset

from lt_plugins.analysis.best_locations import BestLocations, Location, LocationSearch, ViewedImages
from lt_plugins.errors import UserInputError
from lt_plugins.models.losses.pseudo_attributes import PseudoAttributes, require_pseudo_attributes


class AttributeRetrieval(NamedTuple):
    """Outcome of :func:`retrieve_attributes`.

    Args:
        grid (tuple[int, int]): Height and width of the feature map.
        attribute_locations (list[list[Location]]): For each attribute its best locations, best first.
        class_locations (dict[tuple[int, int], Location]): Best location of (class, attribute) pairs, for the attributes
            that describe the class.
        common_scores (Tensor): Usual scores: mean of each attribute over locations, images and classes, ``(K,)``.
        class_scores (Tensor): How much more than usual each class shows each attribute, ``(C, K)``; zeros for a class
            without images.
    """

    grid: tuple[int, int]
    attribute_locations: list[list[Location]]
    class_locations: dict[tuple[int, int], Location]
    common_scores: Tensor
    class_scores: Tensor


class ImageAttributes(NamedTuple):
    """Outcome of :func:`locate_attributes`.

    Args:
        mean_scores (Tensor): Score of each attribute, mean over the locations of an image, ``(B, K)``.
        best_scores (Tensor): The highest score of each attribute, ``(B, K)``.
        best_locations (Tensor): Where that is, index into the row-major feature map, int64 ``(B, K)``.
        grid (tuple[int, int]): Height and width of the feature map.
    """

    mean_scores: Tensor
    best_scores: Tensor
    best_locations: Tensor
    grid: tuple[int, int]


def require_attributes(model: Any) -> PseudoAttributes:
    """Module of a model that holds its pseudo-attributes, which a clustering has found.

    Args:
        model (nn.Module): The classifier.

    Raises:
        UserInputError: If there is none, or nothing has been clustered yet.
    """
    attributes = require_pseudo_attributes(model)
    if not attributes.has_attributes:
        raise UserInputError("the model has no pseudo-attributes yet: ReclusterHook has not clustered local features.")
    return attributes


@torch.inference_mode()
def locate_attributes(model: Any, batch: dict[str, Any]) -> ImageAttributes:
    """Locate each pseudo-attribute in the images of a batch: its highest score and where that is.

    Args:
        model (nn.Module): Classifier with pseudo-attributes and ``extract_local_features``, in evaluation mode.
        batch (dict): As collated by mmengine: ``inputs`` and, for images with labels, ``data_samples``.
    """
    images = model.data_preprocessor(batch, training=False)["inputs"]
    scores = require_pseudo_attributes(model).attribute_scores(model.extract_local_features(images))
    best = scores.max(dim=1)
    return ImageAttributes(scores.mean(dim=1), best.values, best.indices, model.local_grid(images))


def retrieve_attributes(
    model: Any,
    dataset: Dataset,
    top: int = 8,
    *,
    max_per_class: int | None = None,
    batch_size: int = 256,
    num_workers: int = 0,
) -> AttributeRetrieval:
    """Retrieve the images and locations that show each pseudo-attribute most clearly (Fig. 3 of the LPA paper).

    One pass over the dataset (:class:`~lt_plugins.analysis.best_locations.LocationSearch`).

    Args:
        model (nn.Module): Classifier with pseudo-attributes and ``extract_local_features``. Left in its mode.
        dataset (Dataset): Dataset with the test pipeline (see :func:`lt_plugins.datasets.pipelines.replace_pipeline`).
        top (int): Locations kept for each attribute, at most one an image. Defaults to 8.
        max_per_class (int | None): How many of them may be of one class. Defaults to no limit.
        batch_size (int): Images a batch. Defaults to 256.
        num_workers (int): Data-loader workers. Defaults to 0.

    Raises:
        UserInputError: If the model has no attributes, or ``top`` or ``max_per_class`` is not positive.
    """
    tables = require_attributes(model)
    search = LocationSearch(model.head.num_classes, tables.num_attributes, top, max_per_class)
    attributes_of = [row.nonzero().flatten().tolist() for row in tables.attribute_labels]
    class_best = {(label, k): BestLocations(1) for label, attributes in enumerate(attributes_of) for k in attributes}
    grid = (0, 0)

    def view(batch: dict[str, Any]) -> ViewedImages:
        found = locate_attributes(model, batch)
        return ViewedImages(
            found.mean_scores, found.best_scores, found.best_locations, found.mean_scores[:, :0], found.grid
        )

    for batch in search.batches(
        model, dataset, view, "pseudo-attributes: retrieval", batch_size=batch_size, num_workers=num_workers
    ):
        grid = batch.view.grid
        for index, label in enumerate(batch.labels.tolist()):
            for k in attributes_of[label]:
                class_best[label, k].add(batch.location(index, k), label)
    table = search.table
    present = table.counts > 0
    return AttributeRetrieval(
        grid=grid,
        attribute_locations=[best.locations for best in search.best],
        class_locations={key: best.locations[0] for key, best in class_best.items() if best.locations},
        common_scores=(table.sums[present] / table.counts[present, None]).mean(dim=0).float(),
        class_scores=table.class_scores(),
    )
