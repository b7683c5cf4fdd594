"""Where images show the pseudo-attributes of a model most clearly."""

from __future__ import annotations

from typing import Any, NamedTuple

import torch
from torch import Tensor
from torch.utils.data import Dataset

from lt_plugins.analysis.best_places import BestPlaces, Place, add_batch
from lt_plugins.clustering import ClassAttributeTable
from lt_plugins.datasets.labels import get_labels
from lt_plugins.engine.features import stream_features
from lt_plugins.errors import UserInputError
from lt_plugins.models.heads import LPAHead


class AttributeRetrieval(NamedTuple):
    """Outcome of :func:`retrieve_attributes`.

    Args:
        grid (tuple[int, int]): Height and width of the feature map.
        attribute_places (list[list[Place]]): For each attribute its best places, best first.
        class_places (dict[tuple[int, int], Place]): Best place of (class, attribute) pairs, for the attributes that
            describe the class.
        common_scores (Tensor): What is usual: mean score of each attribute over places, images and classes, ``(K,)``.
        class_scores (Tensor): How much more than usual each class shows each attribute, ``(C, K)``; zeros for a class
            without images.
    """

    grid: tuple[int, int]
    attribute_places: list[list[Place]]
    class_places: dict[tuple[int, int], Place]
    common_scores: Tensor
    class_scores: Tensor


class ImageAttributes(NamedTuple):
    """Outcome of :func:`locate_attributes`.

    Args:
        mean_scores (Tensor): Score of each attribute, mean over the places of an image, ``(B, K)``.
        best_scores (Tensor): The highest score of each attribute, ``(B, K)``.
        best_places (Tensor): Where that is, index into the row-major feature map, int64 ``(B, K)``.
        grid (tuple[int, int]): Height and width of the feature map.
    """

    mean_scores: Tensor
    best_scores: Tensor
    best_places: Tensor
    grid: tuple[int, int]


def require_attributes(model: Any) -> LPAHead:
    """The head of a model that has pseudo-attributes.

    Args:
        model (nn.Module): The classifier.

    Raises:
        UserInputError: If its head is of another kind, or nothing has been clustered yet.
    """
    head = getattr(model, "head", None)
    if not isinstance(head, LPAHead):
        raise UserInputError(
            f"the model has a {type(head).__name__} as head, which learns no pseudo-attributes; "
            "use a config with an LPAHead, like those in configs/lpa."
        )
    if not head.has_attributes:
        raise UserInputError("the model has no pseudo-attributes yet: ReclusterHook has not clustered local features.")
    return head


@torch.inference_mode()
def locate_attributes(model: Any, batch: dict[str, Any]) -> ImageAttributes:
    """Find where each image of a batch shows each pseudo-attribute most clearly.

    Args:
        model (nn.Module): Classifier with an :class:`LPAHead` and ``extract_local_features``, in evaluation mode.
        batch (dict): As collated by mmengine: ``inputs`` and, for images with labels, ``data_samples``.
    """
    images = model.data_preprocessor(batch, training=False)["inputs"]
    scores = model.head.attribute_scores(model.extract_local_features(images))
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
    """Find, for each pseudo-attribute, the images that show it most clearly, and where (Fig. 3 of the LPA paper).

    One pass over the data set, by one process, with a progress bar. Memory does not grow with the data set: only the
    best places and a table of classes are kept, never the local features.

    Args:
        model (nn.Module): Classifier with an :class:`LPAHead` and ``extract_local_features``. Left in its mode.
        dataset (Dataset): Data set with the test pipeline (see :func:`lt_plugins.datasets.pipelines.replace_pipeline`).
        top (int): Places kept for each attribute, at most one an image. Defaults to 8.
        max_per_class (int | None): How many of them may be of one class. Defaults to no limit.
        batch_size (int): Images a batch. Defaults to 256.
        num_workers (int): Data-loader workers. Defaults to 0.

    Raises:
        UserInputError: If the model has no attributes, or ``top`` or ``max_per_class`` is not positive.
    """
    head = require_attributes(model)
    if top <= 0 or (max_per_class is not None and max_per_class <= 0):
        raise UserInputError(f"top={top} and max_per_class={max_per_class} must be positive.")
    labels = torch.from_numpy(get_labels(dataset))
    attributes_of = [row.nonzero().flatten().tolist() for row in head.attribute_labels]
    table = ClassAttributeTable(head.num_classes, head.num_attributes)
    attribute_best = [BestPlaces(top, max_per_class) for _ in range(head.num_attributes)]
    class_best = {(label, k): BestPlaces(1) for label, attributes in enumerate(attributes_of) for k in attributes}
    grid = (0, 0)

    def extract(batch: dict[str, Any]) -> Tensor:
        nonlocal grid
        located = locate_attributes(model, batch)
        grid = located.grid
        return torch.stack([located.mean_scores, located.best_scores, located.best_places.float()], dim=1).cpu()

    was_training = model.training
    model.eval()
    stream = stream_features(
        extract, dataset, batch_size=batch_size, num_workers=num_workers, description="pseudo-attributes: retrieval"
    )
    for positions, found in stream:
        mean_scores, scores, cells = found.unbind(dim=1)
        batch_labels = labels[positions]
        table.update(mean_scores, batch_labels)
        add_batch(attribute_best, scores, cells, positions, batch_labels, grid[1])
        for index, label in enumerate(batch_labels.tolist()):
            for k in attributes_of[label]:
                row, column = divmod(int(cells[index, k]), grid[1])
                class_best[label, k].add(Place(float(scores[index, k]), int(positions[index]), row, column), label)
    model.train(was_training)
    present = table.counts > 0
    return AttributeRetrieval(
        grid=grid,
        attribute_places=[best.places for best in attribute_best],
        class_places={key: best.places[0] for key, best in class_best.items() if best.places},
        common_scores=(table.sums[present] / table.counts[present, None]).mean(dim=0).float(),
        class_scores=table.class_scores(),
    )
