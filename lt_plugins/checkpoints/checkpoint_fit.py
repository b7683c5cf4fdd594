"""Whether a checkpoint is one of this model."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Literal

from torch import Tensor, nn

from lt_plugins.errors import UserInputError
from lt_plugins.models.structures import ClassDistribution

Purpose = Literal["resume", "test", "initialise"]

MAX_SHOWN = 3
# Batch normalisation counts its batches there, and does not need the number; weights of before 2018 lack it.
COUNTER = "num_batches_tracked"
# In the names of position embeddings and of tables of relative positions.
RESIZED = "pos"


def check_checkpoint_fit(
    model: nn.Module, state_dict: Mapping[str, Tensor], source: str, purpose: Purpose, min_fraction: float = 1.0
) -> None:
    """Refuse a checkpoint of another model, which mmengine would load with a warning and leave the weights random.

    Args:
        model (nn.Module): The model, without wrappers.
        state_dict (Mapping[str, Tensor]): Weights of the checkpoint, keys as in ``model.state_dict()``.
        source (str): How to name the checkpoint.
        purpose (str): ``"resume"``: every tensor must fit and none be left over. ``"test"``: every tensor of the model
            must come from the checkpoint (class counts may be missing, as in checkpoints from elsewhere).
            ``"initialise"`` (``load_from``, ``init_cfg``): head, queue and so on may be new, but the backbone must fit,
            and so must each part in the model's ``initialised_parts``; of a module without a backbone all of it.
        min_fraction (float): How much of a backbone that is trained must fit to initialise it (a ResNet-34 finds 55 %
            of its tensors in a ResNet-18). Defaults to 1.0.

    Raises:
        UserInputError: If it does not fit; says how many tensors do and which first do not.
    """
    expected = {key: tuple(value.shape) for key, value in model.state_dict().items()}
    found = {key: tuple(value.shape) for key, value in state_dict.items()}
    fitting = _same_shape(model, expected, found)
    if purpose == "initialise":
        fitting |= _keys_resized_on_loading(model, expected, found)
        needed = {"backbone.": 1 if is_frozen(model) else min_fraction}
        needed |= dict.fromkeys(getattr(model, "initialised_parts", ()), 1)
        for prefix, fraction in needed.items():
            part = {key for key in expected if key.startswith(prefix) and not key.endswith(COUNTER)}
            name = prefix.removesuffix(".")
            if prefix == "backbone." and not part:  # a module by itself
                part, name = {key for key in expected if not key.endswith(COUNTER)}, type(model).__name__
            if len(part & fitting) < fraction * len(part):
                raise UserInputError(
                    f"only {len(part & fitting)} of the {len(part)} tensors of the {name} are in {source}: "
                    f"{describe_misfits(sorted(part - fitting), expected, found)}; "
                    f"the rest would stay random: give a checkpoint of the same {name}."
                )
        return
    wrong = sorted(expected.keys() - fitting - (_count_keys(model) if purpose == "test" else set()))
    if purpose == "resume":
        wrong += sorted(found.keys() - expected.keys() - optional_keys(model, found))
    if wrong:
        raise UserInputError(
            f"{source} is a checkpoint of another model: {len(fitting)} of {len(expected)} tensors fit, "
            f"{len(wrong)} do not: {describe_misfits(wrong, expected, found)}; use the config that it was trained with."
        )


def fits_on_loading(model: nn.Module, state_dict: Mapping[str, Tensor]) -> set[str]:
    """Find the tensors of a model that can be initialised from a checkpoint, with those that resize as they load.

    Args:
        model (nn.Module): The model, or a part of it.
        state_dict (Mapping[str, Tensor]): Weights, keys as in ``model.state_dict()``.

    Returns:
        set[str]: Their names.
    """
    expected = {key: tuple(value.shape) for key, value in model.state_dict().items()}
    found = {key: tuple(value.shape) for key, value in state_dict.items()}
    return _same_shape(model, expected, found) | _keys_resized_on_loading(model, expected, found)


def optional_keys(model: nn.Module, state_dict: Mapping[str, object]) -> set[str]:
    """Find the tensors of a checkpoint that a model takes, though it has none of them until then.

    Args:
        model (nn.Module): The model; its modules name such parts in ``optional_parts``, like the adjusted classifier of
            a head.
        state_dict (Mapping[str, Any]): Tensors of the checkpoint by name.
    """
    owners = [
        f"{path}.{part}".removeprefix(".")
        for path, module in model.named_modules()
        for part in getattr(module, "optional_parts", ())
    ]
    return {key for key in state_dict if key.startswith(tuple(owners))}


def is_frozen(model: nn.Module) -> bool:
    """Whether the model has a backbone, and no parameter of it is trained.

    Args:
        model (nn.Module): The model, without wrappers.
    """
    backbone = getattr(model, "backbone", None)
    return isinstance(backbone, nn.Module) and not any(p.requires_grad for p in backbone.parameters())


def _count_keys(model: nn.Module) -> set[str]:
    return {f"{path}.counts" for path, module in model.named_modules() if isinstance(module, ClassDistribution)}


def _same_shape(
    model: nn.Module, expected: Mapping[str, tuple[int, ...]], found: Mapping[str, tuple[int, ...]]
) -> set[str]:
    sized_by_data = _keys_sized_by_data(model)
    return {
        key
        for key, shape in expected.items()
        if found.get(key) == shape or (key in sized_by_data and len(found.get(key, ())) == len(shape))
    }


def _keys_sized_by_data(model: nn.Module) -> set[str]:
    """Buffers that a training set gives their size, such as the subclass of each image; they resize as they load."""
    return {f"{path}.{name}" for path, module in model.named_modules() for name in getattr(module, "sized_by_data", ())}


def _keys_resized_on_loading(
    model: nn.Module, expected: Mapping[str, tuple[int, ...]], found: Mapping[str, tuple[int, ...]]
) -> set[str]:
    """Tensors of another size that a transformer interpolates as it loads them, such as position embeddings."""
    owners = [f"{path}." if path else "" for path, module in model.named_modules() if module._load_state_dict_pre_hooks]
    return {
        key
        for key, shape in expected.items()
        if RESIZED in key.rpartition(".")[2]
        and len(found.get(key, ())) == len(shape)
        and any(key.startswith(owner) for owner in owners)
    }


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
