"""Which latent categories an LCReg model rebuilds images from: one image, and the classes of a data set."""

from __future__ import annotations

import math
from typing import Any, NamedTuple

import torch
from torch import Tensor
from torch.utils.data import Dataset

from lt_plugins.analysis.best_places import BestPlaces, Place, add_batch
from lt_plugins.clustering import ClassAttributeTable
from lt_plugins.datasets.labels import get_labels
from lt_plugins.engine.features import stream_features
from lt_plugins.errors import UserInputError
from lt_plugins.models.heads import LCRegHead


class ImageLatents(NamedTuple):
    """Outcome of :func:`view_images`.

    Args:
        weights (Tensor): How much of each latent category rebuilds an image: its assignment, mean over the places,
            ``(B, M)``; sums to 1.
        similarity (Tensor): Similarity map of each latent category, from 0 to 1, ``(B, M, H', W')``.
        local_number (Tensor): Effective number of latent categories at a place, mean over the places, ``(B,)``.
    """

    weights: Tensor
    similarity: Tensor
    local_number: Tensor


class LatentUsage(NamedTuple):
    """Outcome of :func:`measure_latents`.

    Args:
        grid (tuple[int, int]): Height and width of the feature map.
        usage (Tensor): Usage of each latent category: its weight, mean over places, images and classes, so that each
            class counts the same, ``(M,)``; sums to 1.
        class_usage (Tensor): The same for each class, ``(C, M)``; NaN for a class without images.
        local_number (float): Effective number of latent categories at a place, mean over places and images.
        similarity_range (tuple[float, float]): Lowest and highest similarity of any place to any latent category.
        places (list[list[Place]]): For each latent category the images that use it most, best first, at the place that
            is most similar to it; the score is the weight in the image times ``M``, 1 for even use.
    """

    grid: tuple[int, int]
    usage: Tensor
    class_usage: Tensor
    local_number: float
    similarity_range: tuple[float, float]
    places: list[list[Place]]


def require_latents(model: Any) -> LCRegHead:
    """The head of a model that has latent categories.

    Args:
        model (nn.Module): The classifier.

    Raises:
        UserInputError: If its head is of another kind.
    """
    head = getattr(model, "head", None)
    if not isinstance(head, LCRegHead):
        raise UserInputError(
            f"the model has a {type(head).__name__} as head, which learns no latent categories; "
            "use a config with an LCRegHead, like those in configs/lcreg."
        )
    return head


@torch.inference_mode()
def view_images(model: Any, batch: dict[str, Any]) -> ImageLatents:
    """Find what each image of a batch is rebuilt from, and where it resembles each latent category.

    Args:
        model (nn.Module): Classifier with an :class:`LCRegHead`, of either stage, in evaluation mode.
        batch (dict): As collated by mmengine: ``inputs`` and, for images with labels, ``data_samples``.
    """
    images = model.data_preprocessor(batch, training=False)["inputs"]
    feats = model.extract_feat(images, stage="backbone")
    view = model.head.view_latents(feats)
    similarity = model.head.latent_pool.similarity(view.features, view.latents)  # (B, P, M)
    return ImageLatents(
        view.assignment.mean(dim=1),
        similarity.mT.unflatten(2, feats[-1].shape[2:]),
        effective_number(view.assignment).mean(dim=1),
    )


def measure_latents(
    model: Any,
    dataset: Dataset,
    top: int = 8,
    *,
    max_per_class: int | None = None,
    batch_size: int = 256,
    num_workers: int = 0,
) -> LatentUsage:
    """Measure how much each class uses each latent category, and find the images that use it most.

    One pass over the data set, by one process, with a progress bar. Memory does not grow with the data set: only the
    best places and a table of classes are kept, never the features.

    Args:
        model (nn.Module): Classifier with an :class:`LCRegHead`, of either stage. Left in its mode.
        dataset (Dataset): Data set with the test pipeline (see :func:`lt_plugins.datasets.pipelines.replace_pipeline`).
        top (int): Images kept for each latent category. Defaults to 8.
        max_per_class (int | None): How many of them may be of one class. Defaults to no limit.
        batch_size (int): Images a batch. Defaults to 256.
        num_workers (int): Data-loader workers. Defaults to 0.

    Raises:
        UserInputError: If the model has no latent categories, or ``top`` or ``max_per_class`` is not positive.
    """
    head = require_latents(model)
    if top <= 0 or (max_per_class is not None and max_per_class <= 0):
        raise UserInputError(f"top={top} and max_per_class={max_per_class} must be positive.")
    labels = torch.from_numpy(get_labels(dataset))
    num_latents = len(head.latent_pool.latents)
    # Latent categories take the place of attributes.
    table = ClassAttributeTable(head.num_classes, num_latents)
    bests = [BestPlaces(top, max_per_class) for _ in range(num_latents)]
    lowest, highest, sum_of_numbers = 1.0, 0.0, 0.0
    grid = (0, 0)

    def extract(batch: dict[str, Any]) -> Tensor:
        nonlocal grid
        weights, similarity, local_number = view_images(model, batch)
        grid = (similarity.shape[2], similarity.shape[3])
        best = similarity.flatten(2).max(dim=2)
        scalars = torch.stack([similarity.amin(dim=(1, 2, 3)), best.values.amax(dim=1), local_number], dim=1)
        return torch.cat([weights, best.indices.float(), scalars], dim=1).cpu()  # (B, 2 M + 3)

    was_training = model.training
    model.eval()
    stream = stream_features(
        extract, dataset, batch_size=batch_size, num_workers=num_workers, description="latent categories: usage"
    )
    for positions, found in stream:
        weights, cells, scalars = found.split([num_latents, num_latents, 3], dim=1)
        table.update(weights, labels[positions])
        add_batch(bests, num_latents * weights, cells, positions, labels[positions], grid[1])
        lowest, highest = min(lowest, float(scalars[:, 0].min())), max(highest, float(scalars[:, 1].max()))
        sum_of_numbers += float(scalars[:, 2].sum())
    model.train(was_training)
    class_usage = table.sums / table.counts[:, None]  # 0 / 0 is NaN
    return LatentUsage(
        grid=grid,
        usage=class_usage[table.counts > 0].mean(dim=0).float(),
        class_usage=class_usage.float(),
        local_number=sum_of_numbers / len(labels),
        similarity_range=(lowest, highest),
        places=[best.places for best in bests],
    )


def effective_number(usage: Tensor) -> Tensor:
    r"""How many latent categories are used, :math:`\exp(-\sum_m u_m \log u_m)`: ``M`` if evenly, 1 if only one is.

    Args:
        usage (Tensor): Usage of each latent category, ``(..., M)``; sums to 1.

    Returns:
        Tensor: Shape ``(...)``.
    """
    return torch.special.entr(usage).sum(dim=-1).exp()


def least_effective_number(num_latents: int, sim_temperature: float) -> float:
    r"""What :func:`effective_number` cannot fall below, however unlike the latent categories are.

    The similarities lie between 0 and 1, so the weights lie between 1 and :math:`r = e^{1/T}` of each other. The
    entropy is least where some have the largest and all others the smallest weight, by the best number of them; if
    that need not be whole, the effective number is :math:`M s e^{1-s}` with :math:`s = r \log r / (r - 1)`.

    Args:
        num_latents (int): Number of latent categories ``M``.
        sim_temperature (float): Divides the similarities, ``T``.
    """
    s = 1 / (sim_temperature * -math.expm1(-1 / sim_temperature))
    return max(1.0, num_latents * s * math.exp(1 - s))
