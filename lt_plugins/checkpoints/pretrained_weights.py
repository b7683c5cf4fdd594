"""Pretrained weights: recognises how a file names its tensors, and matches them to a backbone."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from typing import NamedTuple

from torch import Tensor, nn

from lt_plugins.checkpoints.checkpoint_fit import COUNTER, MAX_SHOWN, fits_on_loading
from lt_plugins.checkpoints.weight_naming import NAMINGS
from lt_plugins.models.backbones.expert_stage import spread_to_experts

BACKBONE = "backbone."
UNKNOWN = "names of no scheme that is known"
# What packages call the weight of their classifier.
CLASSIFIERS = ("fc", "head.fc", "head", "heads.head", "classifier.2", "classifier", "_fc", "head.layers.head")
MAX_PREFIXES = 8  # tried of each scheme, shortest first: conv1.weight ends the name of each block of a ResNet


class MatchedWeights(NamedTuple):
    """Weights of a file by the names that a module has for them.

    Args:
        label (str): Naming scheme of the file: package and network.
        weights (dict[str, Tensor]): Tensors by the names of the module; of those that it has, in its shape.
        found (int): Number of tensors of the module in the file.
        expected (int): Number of tensors of the module.
        homeless (tuple[str, ...]): Tensors of the file's network that the module has no place for, by the module's
            naming: the file is of a larger network, or one with other layers.
        num_classes (int | None): Length of the classifier in the file, if it has one.
    """

    label: str
    weights: dict[str, Tensor]
    found: int
    expected: int
    homeless: tuple[str, ...]
    num_classes: int | None

    def describe(self) -> str:
        """One line: naming, tensors found."""
        return f"{self.label}: {self.found} of {self.expected} tensors of the backbone found"

    def describe_homeless(self) -> str:
        """The first tensors without a place."""
        shown = ", ".join(self.homeless[:MAX_SHOWN]) + (", ..." if len(self.homeless) > MAX_SHOWN else "")
        return f"{len(self.homeless)} tensors of the file find no place ({shown})"


def match_weights(module: nn.Module, tensors: Mapping[str, Tensor]) -> MatchedWeights:
    """Match the tensors of a file to a module, whatever package has named them.

    Tried are the module's own names and the schemes of :data:`~lt_plugins.checkpoints.weight_naming.NAMINGS`, each
    behind any prefix (``backbone.``, ``module.encoder_q.``, ``visual.``, ...); the one by which most tensors fit is
    taken. Weights of a plain network are given to each expert of one of several.

    Args:
        module (nn.Module): The backbone.
        tensors (Mapping[str, Tensor]): Tensors of the file by name.

    Returns:
        MatchedWeights: The weights by the module's names, of which some may be missing.
    """
    own = {key: value for key, value in module.state_dict().items() if not key.endswith(COUNTER)}
    best: tuple[int, str, str, dict[str, Tensor]] = (-1, UNKNOWN, "", {})
    for label, prefix, named in _readings(own, tensors):
        shaped = {
            key: _shape_like(value, own[key]) if key in own else value
            for key, value in spread_to_experts(module, named).items()
        }
        score = len(fits_on_loading(module, shaped) & own.keys())
        if score > best[0]:
            best = (score, label, prefix, shaped)
    score, label, prefix, shaped = best
    if score <= 0:  # of another network: what it is, its names may say
        label = next((naming.label for naming in NAMINGS if _prefixes(tensors, naming.signature)), UNKNOWN)
        return MatchedWeights(label, dict(tensors), 0, len(own), (), _classifier_length(tensors, ""))
    # Of a scheme only the backbone is renamed; behind other prefixes there may be a classifier, too.
    is_backbone = prefix.endswith(BACKBONE) or label in [naming.label for naming in NAMINGS]
    roots = {key.partition(".")[0] for key in own}
    homeless = tuple(
        key
        for key in shaped
        if key not in own and not key.endswith(COUNTER) and (is_backbone or key.partition(".")[0] in roots)
    )
    known = {key: value for key, value in shaped.items() if key in own or key.endswith(COUNTER)}
    return MatchedWeights(label, known, score, len(own), homeless, _classifier_length(tensors, prefix))


def rename_weights(model: nn.Module, tensors: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """Rename the tensors of a file so that a model, or a part of one, can be initialised from them.

    Args:
        model (nn.Module): A model with a backbone, or a module by itself.
        tensors (Mapping[str, Tensor]): Tensors of the file by name.

    Returns:
        dict[str, Tensor]: As :func:`match_weights` names them; those of a model that has the names of the file for its
        backbone stay as they are, with head, neck and so on.
    """
    backbone = getattr(model, "backbone", None)
    if not isinstance(backbone, nn.Module):
        return match_weights(model, tensors).weights
    named = spread_to_experts(model, dict(tensors))
    has_own_names = any(key.startswith(BACKBONE) for key in fits_on_loading(model, named))
    if has_own_names:
        return named
    matched = match_weights(backbone, tensors)
    return {f"{BACKBONE}{key}": value for key, value in matched.weights.items()} if matched.found else named


def _readings(own: Mapping[str, Tensor], tensors: Mapping[str, Tensor]) -> Iterator[tuple[str, str, dict[str, Tensor]]]:
    """Ways to read the names of a file: scheme, prefix, and the tensors by the names of the module."""
    # A wrapper around a network of another package has all its tensors below one name.
    parts = {key.partition(".")[0] for key in own}
    for root in ["", *(f"{part}." for part in parts if len(parts) == 1)]:
        first = next((key.removeprefix(root) for key in own), None)
        for prefix in _prefixes(tensors, first) if first is not None else ():
            yield (_own_label(tensors, prefix), prefix, _below(tensors, prefix, lambda key, root=root: root + key))  # type: ignore[misc]
    for naming in NAMINGS:
        for prefix in _prefixes(tensors, naming.signature):
            yield naming.label, prefix, naming.rename(_below(tensors, prefix))


def _prefixes(tensors: Mapping[str, Tensor], name: str) -> list[str]:
    """What stands before a name in a file, the shortest first, and copies that follow the network last."""
    found = {key.removesuffix(name) for key in tensors if key == name or key.endswith(f".{name}")}
    return sorted(found, key=lambda prefix: ("key" in prefix or "teacher" in prefix, len(prefix)))[:MAX_PREFIXES]


def _below(
    tensors: Mapping[str, Tensor], prefix: str, rename: Callable[[str], str] = lambda key: key
) -> dict[str, Tensor]:
    return {rename(key.removeprefix(prefix)): value for key, value in tensors.items() if key.startswith(prefix)}


def _own_label(tensors: Mapping[str, Tensor], prefix: str) -> str:
    if prefix.endswith(BACKBONE):
        return "mmpretrain naming"
    return "torchvision or timm naming" if f"{prefix}fc.weight" in tensors else "naming of the backbone itself"


def _shape_like(value: Tensor, own: Tensor) -> Tensor:
    """A tensor in the shape of the module, where they differ by axes of length one."""
    if value.shape != own.shape and [n for n in value.shape if n > 1] == [n for n in own.shape if n > 1]:
        return value.reshape(own.shape)
    return value[None] if value.ndim == own.ndim - 1 and own.shape[0] == 1 else value


def _classifier_length(tensors: Mapping[str, Tensor], prefix: str) -> int | None:
    """Number of classes that a file was trained on, if it has the classifier, behind the prefix or beside it."""
    for start in dict.fromkeys((prefix, prefix.removesuffix(BACKBONE), "")):
        for name in CLASSIFIERS:
            weight = tensors.get(f"{start}{name}.weight")
            if weight is not None and weight.ndim == 2:
                return len(weight)
    return None
