"""Base of the heads that are an affine classifier of their features, which post-hoc methods may replace."""

from __future__ import annotations

from typing import Any, ClassVar

import torch
import torch.nn.functional as F
from torch import Tensor

from lt_plugins.errors import UserInputError
from lt_plugins.models.heads.adjusted_classifier import AdjustedClassifier
from lt_plugins.models.heads.label_batch_head import LabelBatchHead


class AffineHead(LabelBatchHead):
    """Classification head whose logits are affine in its features or in their directions: ``z = W x + b``.

    A post-hoc method may put another classifier beside the trained one, which then answers: :attr:`adjusted`. It comes
    and goes with the checkpoint that is loaded. A subclass says what its logits are (:meth:`classify`) and which affine
    classifier that is (:meth:`affine`).

    Args:
        **kwargs: As for mmpretrain's head.
    """

    has_unit_features: bool = False
    """Whether the classifier is affine in the direction of the features instead of the features."""
    optional_parts: ClassVar[tuple[str, ...]] = ("adjusted.",)
    """Keys that a checkpoint may have and the new model has not."""
    adjusted: AdjustedClassifier | None

    def __init__(self, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.adjusted = None

    def forward(self, feats: tuple[Tensor, ...]) -> Tensor:
        """Compute the logits.

        Args:
            feats (tuple[Tensor, ...]): Output of the neck, the last of shape ``(B, in_channels)``.

        Returns:
            Tensor: Logits ``(B, C)``.
        """
        features = self.pre_logits(feats)
        return self.classify(features) if self.adjusted is None else self.adjusted(features)

    def classify(self, features: Tensor) -> Tensor:
        """Compute the logits of the trained classifier.

        Args:
            features (Tensor): What :meth:`pre_logits` gives, shape ``(B, D)``.

        Returns:
            Tensor: Logits ``(B, C)``.
        """
        raise NotImplementedError(f"{type(self).__name__} does not define classify(features).")

    def affine(self) -> tuple[Tensor, Tensor]:
        """The trained classifier as an affine one of what :meth:`affine_features` gives.

        Returns:
            tuple[Tensor, Tensor]: Weights ``(C, D)`` and biases ``(C,)``, without gradient.
        """
        raise NotImplementedError(f"{type(self).__name__} does not define affine().")

    def affine_features(self, features: Tensor) -> Tensor:
        """What the classifier is affine in: the features, or their directions (``has_unit_features``).

        Args:
            features (Tensor): What :meth:`pre_logits` gives, shape ``(B, D)``.

        Returns:
            Tensor: Shape ``(B, D)``.
        """
        return F.normalize(features, dim=1) if self.has_unit_features else features

    def check_loss(self, loss: Any) -> None:
        """Refuse a loss that does not fit the logits.

        Args:
            loss (nn.Module): The loss on the logits.

        Raises:
            UserInputError: If it does not. A head that fits every loss says nothing.
        """

    def trained_prior(self, sampled: Tensor) -> Tensor:
        """Class prior that the logits answer for, see :meth:`.LongTailLoss.trained_prior`.

        Args:
            sampled (Tensor): How often each class came in training, shares of shape ``(C,)``.

        Returns:
            Tensor: Shape ``(C,)``; that of the loss, or ``sampled`` if the loss says nothing.
        """
        find = getattr(self.loss_module, "trained_prior", None)
        return sampled if find is None else find(sampled)

    def adjust(self, weight: Tensor, bias: Tensor, centre: Tensor | None = None) -> None:
        """Let another classifier answer from now on, as of :class:`.AdjustedClassifier`.

        Args:
            weight (Tensor): Its weights, shape ``(C, D)``.
            bias (Tensor): Its biases, shape ``(C,)``.
            centre (Tensor, optional): Where the directions of the features are taken from, shape ``(D,)``. Defaults to
                None: it classifies features.
        """
        self.adjusted = AdjustedClassifier(weight, bias, centre).to(next(self.parameters()).device)

    def train(self, mode: bool = True) -> AffineHead:
        """Switch between training and evaluation.

        Args:
            mode (bool): Whether to train. Defaults to True.

        Raises:
            UserInputError: If an adjusted classifier is to be trained: it would hide what the training does.
        """
        if mode and self.adjusted is not None:
            raise UserInputError(
                "the classifier of this model was adjusted after its training (head.adjusted), so it cannot be "
                "trained on; go on from the checkpoint that it was made from."
            )
        return super().train(mode)

    def _load_from_state_dict(self, state_dict: dict[str, Any], prefix: str, *args: Any) -> None:
        """Make room for the adjusted classifier of a checkpoint, and for none if it has none."""
        tensors = {name: state_dict.get(f"{prefix}adjusted.{name}") for name in ("weight", "bias", "centre")}
        if self.adjusted is not None:
            del self.adjusted  # mmengine's tools take no module that is None
            self.adjusted = None
        if tensors["weight"] is not None and tensors["bias"] is not None:
            self.adjust(**{name: torch.empty_like(value) for name, value in tensors.items() if value is not None})
        super()._load_from_state_dict(state_dict, prefix, *args)
