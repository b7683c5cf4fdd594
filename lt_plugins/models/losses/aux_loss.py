"""Base of the losses beside that of a head."""

from __future__ import annotations

import math
from collections.abc import Sequence
from numbers import Integral
from typing import Any

from torch import Tensor, nn

from lt_plugins.errors import UserInputError
from lt_plugins.models.structures import ContrastBatch, LabelBatch, StatesCall, as_labels


class EpochWeighted(nn.Module):
    """Base of losses whose weight follows the epochs: ``self.weight``, by which ``forward`` multiplies its value.

    Args:
        weights (float | Sequence[Sequence[float]]): Weight of the loss; or pairs of an epoch, from 0, and the weight
            from it on, like ``[(60, 0.001), (80, 0.005)]``; before the first it is 0. ``EpochHook`` tells the epoch,
            and ``--shorten`` scales the epochs. Defaults to 1.0.

    Raises:
        UserInputError: If a weight is negative, or the epochs are no ascending whole numbers.
    """

    def __init__(self, weights: float | Sequence[Sequence[float]] = 1.0) -> None:
        super().__init__()
        steps = [(0, weights)] if isinstance(weights, int | float) else [tuple(pair) for pair in weights]
        if not steps or any(len(pair) != 2 or not _fits(*pair) for pair in steps):
            raise UserInputError(
                f"weights={weights!r} must be a weight of 0 or more, or pairs of an epoch (a whole number, from 0) and "
                "the weight from it on, like [(60, 0.001), (80, 0.005)]."
            )
        epochs = [epoch for epoch, _ in steps]
        if epochs != sorted(epochs):
            raise UserInputError(f"weights={weights!r} must have ascending epochs.")
        self.steps = steps
        self.weight = self.weight_of(0)

    def weight_of(self, epoch: int) -> float:
        """Weight of the loss in an epoch.

        Args:
            epoch (int): The epoch, from 0.
        """
        return float(next((weight for start, weight in reversed(self.steps) if epoch >= start), 0.0))

    def set_epoch(self, epoch: int, max_epochs: int) -> str:  # noqa: ARG002 (others follow its share)
        """Set the weight of an epoch.

        Args:
            epoch (int): The epoch about to start, from 0.
            max_epochs (int): Number of epochs of the training. Unused.

        Returns:
            str: The weight, for the log.
        """
        self.weight = self.weight_of(epoch)
        return f"weight {self.weight:g}"


class AuxLoss(StatesCall, EpochWeighted):
    """Base class of auxiliary losses, which :class:`.AuxLossClassifier` adds to that of its head.

    A method is one ``forward(features, logits, samples, num_environments)``. Its value is multiplied by the weight of
    the epoch, ``self.weight``.

    Args:
        weights (float | Sequence[Sequence[float]]): Weight of the loss, as of :class:`EpochWeighted`. Defaults to 1.0.

    Raises:
        UserInputError: If a weight is negative, or the epochs are no ascending whole numbers.
    """

    call = "loss(features, logits, labels)"

    def __call__(
        self, features: Tensor, logits: Tensor, samples: Any = None, num_environments: int = 1, **kwargs: Any
    ) -> Any:
        """Run ``forward``; in a loop of one's own ``samples`` may be the labels.

        Args:
            features (Tensor): As of :meth:`forward`.
            logits (Tensor): As of :meth:`forward`.
            samples (LabelBatch | Labels): Labels of the images.
            num_environments (int): As of :meth:`forward`. Defaults to 1.
            **kwargs: Further arguments of a subclass.
        """
        if samples is None:
            return super().__call__(features, logits)  # which says what is missing
        if not isinstance(samples, LabelBatch):
            samples = LabelBatch(as_labels(samples, features.device))
        return super().__call__(features, logits, samples, num_environments, **kwargs)

    def forward(
        self, features: Tensor, logits: Tensor, samples: LabelBatch, num_environments: int = 1
    ) -> Tensor | None:
        """Compute the loss of a batch; what a method implements.

        Args:
            features (Tensor): What the head classifies, shape ``(B, D)``.
            logits (Tensor): Its logits, shape ``(B, C)``, of ``K`` experts ``(B, K, C)``.
            samples (LabelBatch): Labels of the images.
            num_environments (int): In how many chunks of one size the batch comes. Defaults to 1.

        Returns:
            Tensor | None: Scalar loss, or None if there is none.
        """
        raise NotImplementedError(f"{type(self).__name__} does not define forward().")


class ContrastAuxLoss(StatesCall, EpochWeighted):
    """Base class of auxiliary contrastive losses, which :class:`.TwoViewClassifier` adds to those of its head.

    A method is one ``forward(contrast)`` of the contrast that the head's own loss reads. Its value is multiplied by the
    weight of the epoch, ``self.weight``.

    Args:
        weights (float | Sequence[Sequence[float]]): Weight of the loss, as of :class:`EpochWeighted`. Defaults to 1.0.

    Raises:
        UserInputError: If a weight is negative, or the epochs are no ascending whole numbers.
    """

    call = "loss(ContrastBatch.from_views(view_1, view_2, labels))"

    def forward(self, contrast: ContrastBatch) -> Tensor | None:
        """Compute the loss of a batch; what a method implements.

        Args:
            contrast (ContrastBatch): Anchors and candidates.

        Returns:
            Tensor | None: Scalar loss, or None if there is none.
        """
        raise NotImplementedError(f"{type(self).__name__} does not define forward().")


def _fits(epoch: float, weight: float) -> bool:
    return isinstance(epoch, Integral) and epoch >= 0 and 0 <= weight < math.inf
