"""Pixel classifier: a whole classifier as one function of pixels, for export."""

from __future__ import annotations

from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from lt_plugins.analysis.trained_model import build_plain_dataset
from lt_plugins.errors import UserInputError
from lt_plugins.prediction.classifier import ImageClassifier


class PixelClassifier(nn.Module):
    r"""Classifier with its preprocessing inside: pixels in, :math:`\mathrm{softmax}(z / T)` out.

    Args:
        classifier (ImageClassifier): The classifier, with its temperature.
        gives_logits (bool): Whether it gives :math:`z / T` instead of probabilities. Defaults to False.

    Raises:
        UserInputError: If the model computes other things for other images, which no fixed graph holds.
    """

    mean: Tensor
    std: Tensor

    def __init__(self, classifier: ImageClassifier, gives_logits: bool = False) -> None:
        super().__init__()
        model = classifier.model
        if hasattr(model, "route"):
            raise UserInputError(
                f"a {type(model).__name__} asks as many experts as an image needs, which no fixed graph holds; export "
                "the stage before, which asks all of them (--stage 1)."
            )
        preprocessor = model.data_preprocessor
        for name, default in {"mean": torch.zeros(3), "std": torch.ones(3)}.items():
            value = getattr(preprocessor, name, default)
            self.register_buffer(name, value.detach().reshape(1, -1, 1, 1).float())
        self.takes_bgr = not preprocessor.to_rgb
        self.is_softmax = classifier.is_softmax
        self.gives_logits = gives_logits
        self.temperature = classifier.temperature
        self.model = model

    def forward(self, images: Tensor) -> Tensor:
        """Classify.

        Args:
            images (Tensor): RGB pixels, uint8 ``(B, 3, H, W)``.

        Returns:
            Tensor: Probabilities or logits, float32 ``(B, C)``.
        """
        pixels = images.float()
        if self.takes_bgr:
            pixels = pixels.flip(1)
        logits = self.model.head(self.model.extract_feat((pixels - self.mean) / self.std)).float() / self.temperature
        if self.gives_logits:
            return logits
        return torch.softmax(logits, dim=1) if self.is_softmax else torch.sigmoid(logits)


def find_input_size(classifier: ImageClassifier, given: tuple[int, int] | None = None) -> tuple[int, int]:
    """Height and width of the images that a model takes: what its test transforms give, whatever they get.

    Args:
        classifier (ImageClassifier): The classifier.
        given (tuple[int, int] | None): What the user says, which goes first.

    Raises:
        UserInputError: If the transforms leave images of other sizes different, and no test image is here.
    """
    if given is not None:
        return given
    found = {_size(classifier, np.zeros((*size, 3), dtype=np.uint8)) for size in ((480, 640), (700, 300))}
    if len(found) == 1:
        return found.pop()
    try:
        item: Any = build_plain_dataset(classifier.cfg, "test")[0]["inputs"]
    except (UserInputError, OSError) as error:
        raise UserInputError(
            "the test transforms of the config do not bring images to one size, and its test images are not here; say "
            "the size of the input, like --size 224 224 (height, width)."
        ) from error
    return tuple(item.shape[-2:])


def _size(classifier: ImageClassifier, pixels: np.ndarray) -> tuple[int, int]:
    image: Any = classifier.pipeline({"img": pixels, "sample_idx": -1})
    return tuple(image["inputs"].shape[-2:])
