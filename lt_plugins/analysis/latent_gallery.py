"""Latent gallery: turns the usage of latent categories into rows of images."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor

from lt_plugins.analysis.figures import AttributeRow, LatentRow
from lt_plugins.analysis.gallery import ImageGallery, to_picture
from lt_plugins.analysis.latent_usage import LatentUsage, require_latents, view_images


class LatentGallery(ImageGallery):
    """Gallery of latent categories: rows for ``draw_latent_rows`` and ``draw_attribute_grid``.

    Args:
        model (nn.Module): Classifier with an :class:`LCRegHead`, in evaluation mode.
        dataset (Dataset): The dataset that was searched, with the test pipeline.
        measured (LatentUsage): The usage that was measured in it.

    Raises:
        UserInputError: If the model has no latent categories.

    Examples:
        >>> measured = measure_latents(model, dataset, top=8, max_per_class=2)
        >>> gallery = LatentGallery(model, dataset, measured)
        >>> figure = draw_latent_rows([gallery.sample_row(0), gallery.sample_row(1)], gallery.relative_usage)
    """

    def __init__(self, model: Any, dataset: Any, measured: LatentUsage) -> None:
        self.head = require_latents(model)
        super().__init__(model, dataset, measured.grid)
        self.model = model
        self.measured = measured
        self.num_latents = len(measured.usage)
        self.relative_usage = (self.num_latents * measured.usage).numpy()  # (M,), 1 for even use
        self.relative_class_usage = (self.num_latents * measured.class_usage).numpy()  # (C, M)

    @property
    def spread(self) -> Tensor:
        """Spread over the classes: largest minus smallest relative usage of each latent category, ``(M,)``."""
        relative = torch.from_numpy(self.relative_class_usage)
        present = relative[~relative[:, 0].isnan()]
        return present.amax(dim=0) - present.amin(dim=0)

    def most_spread(self, number: int) -> list[int]:
        """Latent categories by which classes differ most.

        Args:
            number (int): How many at most.
        """
        return self.spread.argsort(descending=True, stable=True)[:number].tolist()

    def class_samples(self, label: int, number: int) -> list[int]:
        """Positions of the first images of a class.

        Args:
            label (int): The class.
            number (int): How many at most.
        """
        return (self.labels == label).nonzero()[0][:number].tolist()

    def sample_row(self, sample: int, num_latents: int = 3) -> LatentRow:
        """Row of an image of the dataset and the latent categories that it is rebuilt from.

        Args:
            sample (int): Its position in the dataset.
            num_latents (int): How many latent categories have their map shown, at most. Defaults to 3.
        """
        label = int(self.labels[sample])
        row = self.image_row(self.dataset[sample]["inputs"], self.class_title(label), num_latents)
        return row._replace(group=self.group(label))

    def image_row(self, inputs: Tensor, title: str, num_latents: int = 3) -> LatentRow:
        """Row of an image and the latent categories that it is rebuilt from.

        Maps are shown of the latent categories that it uses more than is usual, so that what every image uses does not
        come first.

        Args:
            inputs (Tensor): The image as the test pipeline gives it, uint8 ``(3, H, W)``.
            title (str): Written above it.
            num_latents (int): How many latent categories have their map shown, at most. Defaults to 3.
        """
        found = view_images(self.model, {"inputs": [inputs]})
        weights, similarity = found.weights[0].cpu(), found.similarity[0].cpu()
        excess = weights - self.measured.usage
        shown = excess.argsort(descending=True, stable=True)[:num_latents].tolist()
        return LatentRow(
            to_picture(inputs),
            (self.num_latents * weights).numpy(),
            {latent: similarity[latent].numpy() for latent in shown},
            title,
        )

    def latent_row(self, latent: int, num_images: int | None = None) -> AttributeRow:
        """Row of the images that use a latent category most, each marked where it is most similar.

        Args:
            latent (int): The latent category ``m``.
            num_images (int | None): How many at most. Defaults to all that were found.
        """
        locations = self.measured.locations[latent][:num_images]
        title = f"latent {latent}\nmean {self.relative_usage[latent]:.2f}"
        return self.row(title, locations)
