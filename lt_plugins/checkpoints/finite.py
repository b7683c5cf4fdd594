"""Whether weights, buffers and optimiser state are finite numbers."""

from __future__ import annotations

import math
from collections.abc import Collection, Iterator, Mapping
from typing import Any

import torch
from torch import Tensor

from lt_plugins.errors import UserInputError

MAX_SHOWN = 3
# Parts of a checkpoint that are no numbers of the model; the log keeps the losses of steps that loss scaling skipped.
NO_STATE = ("meta", "message_hub", "param_schedulers")


def all_finite(tensors: Collection[Tensor]) -> bool:
    """Whether no tensor holds NaN or infinity; one synchronisation with each device, however many tensors there are.

    Args:
        tensors (Collection[Tensor]): Of any shape, type and device; integers are finite.
    """
    groups: dict[tuple[torch.device, torch.dtype], list[Tensor]] = {}
    for tensor in tensors:
        if _can_diverge(tensor):
            values = _plain(tensor)
            groups.setdefault((values.device, values.dtype), []).append(values)
    # The largest magnitude is exact in any type, unlike a sum or a Euclidean norm, which can overflow.
    return all(
        bool(torch.stack(list(torch._foreach_norm(group, ord=math.inf))).isfinite().all()) for group in groups.values()
    )


def find_non_finite(tensors: Mapping[str, Tensor]) -> list[str]:
    """Name the tensors that hold NaN or infinity, and how many of each.

    Args:
        tensors (Mapping[str, Tensor]): Tensors by name.

    Returns:
        list[str]: Like ``head.fc.weight (3 of 640 values are nan)``, in the given order; empty if all are finite.
    """
    if all_finite(tensors.values()):
        return []
    found = []
    for name, tensor in tensors.items():
        if not _can_diverge(tensor):
            continue
        values = _plain(tensor)
        bad = values[~values.isfinite()]
        if len(bad):
            kind = "nan" if bool(bad.isnan().any()) else "infinite"
            found.append(f"{name} ({len(bad)} of {values.numel()} values are {kind})")
    return found


def describe_non_finite(found: list[str]) -> str:
    """The first few of :func:`find_non_finite`, and how many more there are.

    Args:
        found (list[str]): What it returned.
    """
    more = f" and {len(found) - MAX_SHOWN} more tensors" if len(found) > MAX_SHOWN else ""
    return ", ".join(found[:MAX_SHOWN]) + more


def check_finite_checkpoint(checkpoint: Mapping[str, Any], source: str) -> None:
    """Refuse a checkpoint of a training that has diverged.

    Args:
        checkpoint (Mapping[str, Any]): What a checkpoint file holds: weights, perhaps of a moving average as well, and
            the state of the optimiser; or the weights alone.
        source (str): How to name it.

    Raises:
        UserInputError: If a tensor, or an option of the optimiser such as the learning rate, is not finite.
    """
    tensors: dict[str, Tensor] = {}
    for part, content in checkpoint.items():
        if part in NO_STATE:
            continue
        for name, value in _leaves(content, "" if part == "state_dict" else str(part)):
            if isinstance(value, Tensor):
                tensors[name] = value
            elif part == "optimizer" and not math.isfinite(value):
                raise UserInputError(f"{source} holds {name}={value}; use an earlier checkpoint with finite values.")
    found = find_non_finite(tensors)
    if found:
        raise UserInputError(
            f"{source} holds values that are not finite: {describe_non_finite(found)}; its training has diverged, use "
            "an earlier checkpoint."
        )


def _leaves(content: Any, path: str) -> Iterator[tuple[str, Any]]:
    """Tensors and floating-point numbers in nested dicts, lists and tuples, by dotted path."""
    if isinstance(content, Tensor | float):
        yield path, content
    elif isinstance(content, Mapping):
        for key, value in content.items():
            yield from _leaves(value, f"{path}.{key}" if path else str(key))
    elif isinstance(content, list | tuple):
        for index, value in enumerate(content):
            yield from _leaves(value, f"{path}.{index}")


def _can_diverge(tensor: Tensor) -> bool:
    return (tensor.is_floating_point() or tensor.is_complex()) and tensor.numel() > 0 and not tensor.is_meta


def _plain(tensor: Tensor) -> Tensor:
    """A dense real tensor of a type that can be computed in."""
    values = tensor.detach()
    if values.layout != torch.strided:
        values = values.coalesce().values() if values.layout == torch.sparse_coo else values.to_dense()
    if values.is_complex():
        values = torch.view_as_real(values.resolve_conj())
    return values.float() if values.element_size() == 1 else values
