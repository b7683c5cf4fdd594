"""Labels as a loop of one's own has them: a tensor, an array or a list."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, ClassVar

import numpy as np
import torch
from torch import Tensor, nn

from lt_plugins.errors import UserInputError

Labels = Tensor | np.ndarray | Sequence[int]
"""Classes of the images of a batch, or (as a tensor or array) their shares of the classes."""


def as_labels(labels: Labels, device: torch.device | None = None) -> Tensor:
    """Convert the labels of a batch to a tensor: whole numbers to int64; shares of classes stay what they are.

    Args:
        labels (Labels): Whole numbers ``(B,)``, or shares ``(B, C)``.
        device (torch.device, optional): Where they go, unless they are a tensor. Defaults to the CPU.

    Returns:
        Tensor: The labels; the same tensor, if it was one that fits.

    Raises:
        UserInputError: If they are neither.
    """
    try:
        found = labels if isinstance(labels, Tensor) else torch.as_tensor(labels, device=device)
    except (TypeError, ValueError, RuntimeError) as error:
        raise UserInputError(f"labels={labels!s:.60} must be whole numbers from 0, one an image.") from error
    if found.dtype == torch.int64 or found.ndim == 2:
        return found
    if found.ndim != 1 or found.is_floating_point() or found.is_complex() or found.dtype == torch.bool:
        raise UserInputError(
            f"labels are {str(found.dtype).removeprefix('torch.')} of shape {tuple(found.shape)}; give whole numbers "
            "from 0, shape (B,), or the shares of the classes of mixed images, shape (B, C)."
        )
    return found.long()


class StatesCall(nn.Module):
    """Mixin of losses that need something else than logits and labels: says what, where they are called with these.

    Attributes:
        call (ClassVar[str]): How the loss is called, like ``loss(features, labels, fc.weight, fc.bias)``.
    """

    call: ClassVar[str]

    def __call__(self, *args: Any, **kwargs: Any) -> Any:
        """Run ``forward``.

        Args:
            *args: Its arguments.
            **kwargs: Its arguments by name.

        Raises:
            UserInputError: If they are a matrix and labels alone.
        """
        if len(args) == 2 and not kwargs and isinstance(args[0], Tensor) and _are_labels(args[1]):
            raise UserInputError(f"{type(self).__name__} is no loss of (logits, labels) alone; call it {self.call}.")
        return super().__call__(*args, **kwargs)


def _are_labels(value: Any) -> bool:
    """Whether a value is whole numbers in one dimension."""
    if isinstance(value, Tensor):
        return value.ndim == 1 and not value.is_floating_point()
    if isinstance(value, np.ndarray):
        return value.ndim == 1 and value.dtype.kind in "iu"
    return isinstance(value, list | tuple) and all(isinstance(label, int) for label in value)
