"""Whether a label means the same class in all datasets, and in the checkpoint of a model."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from itertools import zip_longest
from typing import Any

from lt_plugins.datasets.leaf_table import build_leaf_table
from lt_plugins.errors import UserInputError

Names = tuple[str, ...]

EXCEPTION = " If only the names differ, allow it by default_hooks.preflight.allow_renamed_classes=True."


def named_classes(dataset: Any) -> Names | None:
    """Names of the classes that a dataset declares, in label order.

    Args:
        dataset (Any): An mmpretrain dataset, or one in any nesting of wrappers.

    Returns:
        tuple[str, ...] | None: The names of the first dataset at the end of the chain that has any; None if none has
        (lists without names).
    """
    return next(filter(None, leaf_classes("", dataset).values()), None)


def leaf_classes(name: str, dataset: Any) -> dict[str, Names | None]:
    """Names of the classes of each dataset at the end of a chain of wrappers, for :func:`check_same_classes`.

    Args:
        name (str): How to name the dataset, such as ``"the train dataset"``.
        dataset (Any): An mmpretrain dataset, or one in any nesting of wrappers.

    Returns:
        dict[str, tuple[str, ...] | None]: The names in label order, None where there are none, by what has them.
    """
    leaves = build_leaf_table(dataset).leaves
    owners = [name if number == 1 else f"part {number} of {name}" for number in range(1, len(leaves) + 1)]
    return {owner: _as_names(getattr(leaf, "metainfo", None)) for owner, leaf in zip(owners, leaves, strict=True)}


def checkpoint_classes(checkpoint: Mapping[str, Any]) -> Names | None:
    """Names of the classes that a checkpoint was trained on; mmengine writes them into its ``meta``.

    Args:
        checkpoint (Mapping[str, Any]): As loaded.

    Returns:
        tuple[str, ...] | None: The names in label order, None if it has none.
    """
    meta = checkpoint.get("meta")
    return _as_names(meta.get("dataset_meta")) if isinstance(meta, Mapping) else None


def check_same_classes(named: Mapping[str, Sequence[str] | None], exception: str = EXCEPTION) -> None:
    """Refuse class names that differ, in themselves or in their order: labels would mean something else.

    Args:
        named (Mapping[str, Sequence[str] | None]): Class names in label order by what has them, such as
            ``"the train dataset"``. One without names is left out.
        exception (str): How to allow it.

    Raises:
        UserInputError: At the first label that differs.
    """
    known = [(owner, names) for owner, names in named.items() if names is not None]
    for owner, names in known[1:]:
        difference = first_difference(known[0], (owner, names))
        if difference:
            raise UserInputError(
                f"{difference}; give all datasets the same classes=[...], the names in label order (a class may lack "
                f"images), or use the data that the checkpoint was trained on.{exception}"
            )


def first_difference(one: tuple[str, Sequence[str]], other: tuple[str, Sequence[str]]) -> str:
    """The first label that means something else.

    Args:
        one (tuple[str, Sequence[str]]): What has the names, and its class names in label order.
        other (tuple[str, Sequence[str]]): The same of another.

    Returns:
        str: A line that names the label and both classes; empty if there is none.
    """
    for label, names in enumerate(zip_longest(one[1], other[1])):
        if names[0] != names[1]:
            shown = ["no class" if name is None else repr(name) for name in names]
            counts = "" if len(one[1]) == len(other[1]) else f" ({len(one[1])} and {len(other[1])} classes)"
            return f"label {label} is {shown[0]} in {one[0]} and {shown[1]} in {other[0]}{counts}"
    return ""


def _as_names(metainfo: Any) -> Names | None:
    classes = metainfo.get("classes") if isinstance(metainfo, Mapping) else None
    return tuple(map(str, classes)) if isinstance(classes, list | tuple) and classes else None
