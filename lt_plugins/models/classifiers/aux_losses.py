"""Auxiliary losses of a classifier: built from their configs, and added to the losses of its head."""

from __future__ import annotations

from typing import Any

from torch import Tensor, nn

from lt_plugins.errors import UserInputError
from lt_plugins.models.losses import AuxLoss, ContrastAuxLoss
from lt_plugins.registry import MODELS


def build_aux_losses(aux_losses: dict[str, Any], classifier: nn.Module, has_contrast: bool) -> nn.ModuleDict:
    """Build auxiliary losses, and refuse those that another kind of classifier calls.

    Args:
        aux_losses (dict): Their configs by name.
        classifier (nn.Module): The classifier that will call them.
        has_contrast (bool): Whether it gives them a :class:`ContrastBatch`, in place of features and logits.

    Raises:
        UserInputError: If one reads what the classifier does not give.
    """
    built = nn.ModuleDict({name: MODELS.build(aux) for name, aux in aux_losses.items()})
    wrong, reads, other = (
        (AuxLoss, "features and logits", "AuxLossClassifier")
        if has_contrast
        else (ContrastAuxLoss, "a contrast", "TwoViewClassifier or MomentumClassifier")
    )
    for name, aux in built.items():
        if isinstance(aux, wrong):
            raise UserInputError(
                f"aux_losses.{name} is {type(aux).__name__}, which reads {reads}; {type(classifier).__name__} gives "
                f"none: leave it out, or take {other}."
            )
    return built


def add_aux_losses(losses: dict[str, Tensor], aux_losses: nn.ModuleDict, *given: Any) -> None:
    """Call auxiliary losses and add what they return as ``loss_NAME``.

    Args:
        losses (dict[str, Tensor]): The losses of the head; changed in place.
        aux_losses (nn.ModuleDict): The auxiliary ones; one that returns None adds nothing.
        *given (Any): What each is called with.

    Raises:
        UserInputError: If the head has a loss of that name.
    """
    for name, aux in aux_losses.items():
        key = f"loss_{name}"
        if key in losses:
            raise UserInputError(f"aux_losses.{name} would take the place of {key} of the head; give it another name.")
        value = aux(*given)
        if value is not None:
            losses[key] = value
