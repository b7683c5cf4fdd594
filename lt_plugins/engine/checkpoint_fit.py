"""Whether a checkpoint is one of this model."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Literal

from torch import Tensor, nn

from lt_plugins.errors import UserInputError
from lt_plugins.structures import ClassDistribution

Purpose = Literal["resume", "test", "initialise"]

MAX_SHOWN = 3
# Initialising another method's model keeps the backbone; a few tensors that fit by chance are no backbone.
MIN_BACKBONE_FRACTION = 0.5


def check_checkpoint_fit(model: nn.Module, state_dict: Mapping[str, Tensor], source: str, purpose: Purpose) -> None:
    """Refuse a checkpoint of another model, which mmengine would load with a warning and leave the weights random.

    Args:
        model (nn.Module): The model, without wrappers.
        state_dict (Mapping[str, Tensor]): Weights of the checkpoint, keys as in ``model.state_dict()``.
        source (str): How to name the checkpoint.
        purpose (str): ``"resume"``: every tensor must fit and none be left over. ``"test"``: every tensor of the model
            must come from the checkpoint (class counts may be missing, as in checkpoints from elsewhere).
            ``"initialise"`` (``load_from``): head, queue and so on may be new, but at least half of the backbone must
            fit, and all of a frozen one and of each part in the model's ``initialised_parts``.

    Raises:
        UserInputError: If it does not fit; says how many tensors do and which first do not.
    """
    expected = {key: tuple(value.shape) for key, value in model.state_dict().items()}
    found = {key: tuple(value.shape) for key, value in state_dict.items()}
    sized_by_data = _keys_sized_by_data(model)
    fitting = {
        key
        for key, shape in expected.items()
        if found.get(key) == shape or (key in sized_by_data and len(found.get(key, ())) == len(shape))
    }
    if purpose == "initialise":
        needed = {"backbone.": 1 if is_frozen(model) else MIN_BACKBONE_FRACTION}
        needed |= dict.fromkeys(getattr(model, "initialised_parts", ()), 1)
        for prefix, fraction in needed.items():
            part = {key for key in expected if key.startswith(prefix)}
            if prefix == "backbone.":  # a model without one is all backbone
                part = part or set(expected)
            if len(part & fitting) < fraction * len(part):
                name = prefix.removesuffix(".")
                raise UserInputError(
                    f"only {len(part & fitting)} of the {len(part)} tensors of the {name} are in {source}: "
                    f"{describe_misfits(sorted(part - fitting), expected, found)}; "
                    f"load_from needs a checkpoint of the same {name}."
                )
        return
    wrong = sorted(expected.keys() - fitting - (_count_keys(model) if purpose == "test" else set()))
    if purpose == "resume":
        wrong += sorted(found.keys() - expected.keys())
    if wrong:
        raise UserInputError(
            f"{source} is a checkpoint of another model: {len(fitting)} of {len(expected)} tensors fit, "
            f"{len(wrong)} do not: {describe_misfits(wrong, expected, found)}; use the config that it was trained with."
        )


def is_frozen(model: nn.Module) -> bool:
    """Whether the model has a backbone, and no parameter of it is trained.

    Args:
        model (nn.Module): The model, without wrappers.
    """
    backbone = getattr(model, "backbone", None)
    return isinstance(backbone, nn.Module) and not any(p.requires_grad for p in backbone.parameters())


def _count_keys(model: nn.Module) -> set[str]:
    return {f"{path}.counts" for path, module in model.named_modules() if isinstance(module, ClassDistribution)}


def _keys_sized_by_data(model: nn.Module) -> set[str]:
    """Buffers that a training set gives their size, such as the subclass of each image; they resize as they load."""
    return {f"{path}.{name}" for path, module in model.named_modules() for name in getattr(module, "sized_by_data", ())}


def describe_misfits(
    keys: list[str], expected: Mapping[str, tuple[int, ...]], found: Mapping[str, tuple[int, ...]]
) -> str:
    """Name the first few tensors that a checkpoint lacks or has in another shape.

    Args:
        keys (list[str]): Their names.
        expected (Mapping[str, tuple]): Shapes in the model.
        found (Mapping[str, tuple]): Shapes in the file.

    Returns:
        str: ``key (shape in the model, shape in the file), ...``
    """
    shown = [f"{key} ({expected.get(key, 'not')} in the model, {found.get(key, 'not')} in the file)" for key in keys]
    return ", ".join(shown[:MAX_SHOWN]) + (", ..." if len(shown) > MAX_SHOWN else "")
