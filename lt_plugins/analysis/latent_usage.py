"""Latent usage: measures which latent categories rebuild an image and the classes of a dataset."""

from __future__ import annotations

import math
from typing import Any, NamedTuple

import torch
from torch import Tensor
from torch.utils.data import Dataset

from lt_plugins.analysis.best_locations import Location, LocationSearch, ViewedImages
from lt_plugins.errors import UserInputError
from lt_plugins.models.heads import LCRegHead


class ImageLatents(NamedTuple):
    """Outcome of :func:`view_images`.

    Args:
        weights (Tensor): How much of each latent category rebuilds an image: its assignment, mean over the locations,
            ``(B, M)``; sums to 1.
        similarity (Tensor): Similarity map of each latent category, from 0 to 1, ``(B, M, H', W')``.
        local_number (Tensor): Effective number of latent categories at a location, mean over the locations, ``(B,)``.
    """

    weights: Tensor
    similarity: Tensor
    local_number: Tensor


class LatentUsage(NamedTuple):
    """Outcome of :func:`measure_latents`.

    Args:
        grid (tuple[int, int]): Height and width of the feature map.
        usage (Tensor): Usage of each latent category: its weight, mean over locations, images and classes, so that each
            class counts the same, ``(M,)``; sums to 1.
        class_usage (Tensor): Usage by each class, ``(C, M)``; NaN for a class without images.
        local_number (float): Effective number of latent categories at a location, mean over locations and images.
        similarity_range (tuple[float, float]): Lowest and highest similarity of any location to any latent category.
        locations (list[list[Location]]): For each latent category the images that use it most, best first, at the
            location that is most similar to it; the score is the weight in the image times ``M``, 1 for even use.
    """

    grid: tuple[int, int]
    usage: Tensor
    class_usage: Tensor
    local_number: float
    similarity_range: tuple[float, float]
    locations: list[list[Location]]


def require_latents(model: Any) -> LCRegHead:
    """Head of a model that has latent categories.

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
    """Compute the weights of the latent categories in each image of a batch, and their similarity maps.

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

    One pass over the dataset (:class:`~lt_plugins.analysis.best_locations.LocationSearch`).

    Args:
        model (nn.Module): Classifier with an :class:`LCRegHead`, of either stage. Left in its mode.
        dataset (Dataset): Dataset with the test pipeline (see :func:`lt_plugins.datasets.pipelines.replace_pipeline`).
        top (int): Images kept for each latent category. Defaults to 8.
        max_per_class (int | None): How many of them may be of one class. Defaults to no limit.
        batch_size (int): Images a batch. Defaults to 256.
        num_workers (int): Data-loader workers. Defaults to 0.

    Raises:
        UserInputError: If the model has no latent categories, or ``top`` or ``max_per_class`` is not positive.
    """
    head = require_latents(model)
    num_latents = len(head.latent_pool.latents)
    search = LocationSearch(head.num_classes, num_latents, top, max_per_class)
    lowest, highest, local_numbers = 1.0, 0.0, 0.0
    grid = (0, 0)

    def view(batch: dict[str, Any]) -> ViewedImages:
        weights, similarity, local_number = view_images(model, batch)
        best = similarity.flatten(2).max(dim=2)
        scalars = torch.stack([similarity.amin(dim=(1, 2, 3)), best.values.amax(dim=1), local_number], dim=1)
        grid = (similarity.shape[2], similarity.shape[3])
        return ViewedImages(weights, num_latents * weights, best.indices, scalars, grid)

    for batch in search.batches(
        model, dataset, view, "latent categories: usage", batch_size=batch_size, num_workers=num_workers
    ):
        grid = batch.view.grid
        low, high, local_number = batch.view.scalars.unbind(dim=1)
        lowest, highest = min(lowest, float(low.min())), max(highest, float(high.max()))
        local_numbers += float(local_number.sum())
    table = search.table
    class_usage = table.sums / table.counts[:, None]  # 0 / 0 is NaN
    return LatentUsage(
        grid=grid,
        usage=class_usage[table.counts > 0].mean(dim=0).float(),
        class_usage=class_usage.float(),
        local_number=local_numbers / float(table.counts.sum()),
        similarity_range=(lowest, highest),
        locations=[best.locations for best in search.best],
    )


def effective_number(usage: Tensor) -> Tensor:
    r"""Effective number of latent categories, :math:`\exp(-\sum_m u_m \log u_m)`: ``M`` if evenly, 1 if only one is.

    Args:
        usage (Tensor): Usage of each latent category, ``(..., M)``; sums to 1.

    Returns:
        Tensor: Shape ``(...)``.
    """
    return torch.special.entr(usage).sum(dim=-1).exp()


def least_effective_number(num_latents: int, sim_temperature: float) -> float:
    r"""Lower bound of :func:`effective_number`, however unlike the latent categories are.

    The similarities lie between 0 and 1, so the weights lie between 1 and :math:`r = e^{1/T}` of each other. The
    entropy is least where some have the largest and all others the smallest weight, by the best number of them; if
    that need not be whole, the effective number is :math:`M s e^{1-s}` with :math:`s = r \log r / (r - 1)`.

    Args:
        num_latents (int): Number of latent categories ``M``.
        sim_temperature (float): Divides the similarities, ``T``.
    """
    s = 1 / (sim_temperature * -math.expm1(-1 / sim_temperature))
    return max(1.0, num_latents * s * math.exp(1 - s))
