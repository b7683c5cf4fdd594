"""Pseudo-attributes of classes, and the contrastive loss whose positives are images of classes that share some."""

from __future__ import annotations

from typing import Any, ClassVar

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from lt_plugins.errors import UserInputError
from lt_plugins.models.structures import ContrastBatch, DataSizedModule


class PseudoAttributes(DataSizedModule):
    """Pseudo-attributes, a mixin: the tables of a clustering of local features, and LPA's contrastive loss on them.

    It has no ``__init__``, so that it goes beside other bases; :meth:`begin_attributes` takes its place.
    :class:`.LPAHead` and :class:`.AttributePositives` say what the loss is.

    Attributes:
        prototypes (Tensor): Unit rows ``(K, D)``.
        class_attributes (Tensor): Score of each attribute for each class, float ``(C, K)``.
        attribute_labels (Tensor): The attributes that describe each class, bool ``(C, K)``.
    """

    needs_hook: ClassVar[dict[str, Any]] = {"type": "ReclusterHook", "task": {"type": "AttributeClustering"}}
    sized_by_data: tuple[str, ...] = ("prototypes", "class_attributes", "attribute_labels")
    prototypes: Tensor
    class_attributes: Tensor
    attribute_labels: Tensor

    def begin_attributes(
        self,
        num_attributes: int,
        attributes_per_class: int,
        assignment_temperature: float,
        loss: nn.Module,
        num_classes: int = 0,
        channels: int = 0,
    ) -> None:
        """Check the settings and register the buffers; for ``__init__``.

        Args:
            num_attributes (int): Number of pseudo-attributes ``K``.
            attributes_per_class (int): How many of its strongest attributes describe a class.
            assignment_temperature (float): Temperature of the softmax over prototypes.
            loss (nn.Module): Loss of a contrast and the weight of each pair, like :class:`SupConLoss`.
            num_classes (int): Rows ``C`` of the table of classes. Defaults to 0, until the first clustering.
            channels (int): Length ``D`` of the local features. Defaults to 0, until the first clustering.

        Raises:
            UserInputError: If ``num_attributes`` or ``attributes_per_class`` does not fit the other, or the temperature
                is not positive.
        """
        if not 0 < attributes_per_class <= num_attributes:
            raise UserInputError(
                f"attributes_per_class={attributes_per_class} must be in 1..num_attributes={num_attributes}."
            )
        if not assignment_temperature > 0:
            raise UserInputError(f"assignment_temperature={assignment_temperature} must be positive, like 0.1.")
        self.num_attributes = num_attributes
        self.attributes_per_class = attributes_per_class
        self.assignment_temperature = assignment_temperature
        self.attribute_loss_module = loss
        self.register_buffer("prototypes", torch.zeros(num_attributes if channels else 0, channels))
        table = num_classes, num_attributes if num_classes else 0
        self.register_buffer("class_attributes", torch.zeros(table))
        self.register_buffer("attribute_labels", torch.zeros(table, dtype=torch.bool))

    @property
    def has_attributes(self) -> bool:
        """Whether a clustering has set the attributes."""
        return bool(self.attribute_labels.any())

    def set_attributes(self, prototypes: Tensor, class_attributes: Tensor) -> None:
        """Take over a clustering and label each class with its strongest attributes.

        Args:
            prototypes (Tensor): Unit rows, shape ``(K, D)``.
            class_attributes (Tensor): Score of each attribute for each class, shape ``(C, K)``. A class whose scores
                are all equal (no images) gets no attributes.

        Raises:
            UserInputError: If the number of attributes is another one.
        """
        found = len(prototypes), class_attributes.shape[1]
        if found != (self.num_attributes, self.num_attributes):
            raise UserInputError(
                f"{found[0]} prototypes and scores of {found[1]} attributes must both be num_attributes="
                f"{self.num_attributes}."
            )
        self.resize_and_copy("prototypes", prototypes)
        self.resize_and_copy("class_attributes", class_attributes)
        strongest = self.class_attributes.topk(self.attributes_per_class, dim=1).indices
        labels = torch.zeros_like(self.class_attributes, dtype=torch.bool).scatter_(1, strongest, True)
        described = self.class_attributes.amax(dim=1) > self.class_attributes.amin(dim=1)
        self.resize_and_copy("attribute_labels", labels & described[:, None])

    def attribute_scores(self, local_features: Tensor) -> Tensor:
        """Softly assign local features to attributes.

        Args:
            local_features (Tensor): Shape ``(..., D)``.

        Returns:
            Tensor: Scores that sum to 1 over the attributes, shape ``(..., K)``, as precise as the prototypes.
        """
        cosine = F.normalize(local_features.to(self.prototypes), dim=-1) @ self.prototypes.T
        return (cosine / self.assignment_temperature).softmax(dim=-1)

    def affinity(self, labels: Tensor, other_labels: Tensor, dtype: torch.dtype = torch.float32) -> Tensor:
        """Jaccard index of the attributes of pairs of classes; 1 for a class with itself.

        Args:
            labels (Tensor): Classes, int64 ``(M,)``.
            other_labels (Tensor): Classes, int64 ``(A,)``; negative ones are no class and have affinity 0.
            dtype (torch.dtype): Of the result. Defaults to ``torch.float32``.

        Returns:
            Tensor: Affinities in ``[0, 1]``, shape ``(M, A)``.
        """
        one = self.attribute_labels[labels].to(dtype)
        other = self.attribute_labels[other_labels.clamp(min=0)].to(dtype)
        shared = one @ other.T
        union = one.sum(dim=1)[:, None] + other.sum(dim=1)[None, :] - shared
        affinity = torch.where(labels[:, None] == other_labels[None, :], 1.0, shared / union.clamp(min=1))
        return affinity.masked_fill(other_labels[None, :] < 0, 0.0)

    def attribute_loss(self, contrast: ContrastBatch) -> Tensor:
        """Compute the contrastive loss with the affinities of classes as weights of the pairs.

        Args:
            contrast (ContrastBatch): Anchors and candidates.

        Returns:
            Tensor: Scalar loss, without a weight; zero while no class has attributes.
        """
        affinity = self.affinity(contrast.anchor_labels, contrast.candidate_labels, contrast.cosine.dtype)
        # A product instead of a branch: asking the device for a bool would stall it in every step.
        return self.attribute_labels.any() * self.attribute_loss_module(contrast, affinity)


def find_pseudo_attributes(model: nn.Module) -> PseudoAttributes | None:
    """Find the module of a model that holds pseudo-attributes: its head, or an auxiliary loss.

    Args:
        model (nn.Module): The classifier, without wrappers.

    Returns:
        PseudoAttributes | None: The module, or None if there is none.

    Raises:
        UserInputError: If there are several, of which a clustering would fill one.
    """
    found = {name: module for name, module in model.named_modules() if isinstance(module, PseudoAttributes)}
    if len(found) > 1:
        raise UserInputError(
            f"{' and '.join(found)} hold pseudo-attributes; a model has one module with them: leave one out."
        )
    return next(iter(found.values()), None)


def require_pseudo_attributes(model: Any) -> PseudoAttributes:
    """Find the module of a classifier that holds pseudo-attributes, which there must be.

    Args:
        model (nn.Module): The classifier, without wrappers.

    Returns:
        PseudoAttributes: The module.

    Raises:
        UserInputError: If there is none, or there are several.
    """
    found = find_pseudo_attributes(model)
    if found is None:
        raise UserInputError(
            f"the model, {type(model).__name__} with {type(getattr(model, 'head', None)).__name__}, has no "
            "pseudo-attributes; add model.aux_losses=dict(attribute=dict(type='AttributePositives')) to a "
            "TwoViewClassifier or MomentumClassifier, or use a config of configs/lpa."
        )
    return found
