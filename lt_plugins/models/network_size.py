"""Size of a network: the parameters that its predictions depend on."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from typing import Any

from torch import Tensor, nn
from torch.overrides import TorchFunctionMode

from lt_plugins.models.evaluation_mode import evaluation_mode


class _ParametersRead(TorchFunctionMode):
    """Collects the parameters that torch's functions are called with."""

    def __init__(self) -> None:
        super().__init__()
        self.found: dict[int, nn.Parameter] = {}

    def __torch_function__(
        self, func: Callable[..., Any], types: Any, args: tuple[Any, ...] = (), kwargs: dict[str, Any] | None = None
    ) -> Any:
        self.found |= {id(parameter): parameter for parameter in _parameters((args, kwargs or {}))}
        return func(*args, **(kwargs or {}))


def count_predicting_parameters(model: nn.Module, image: Tensor) -> int:
    """Count the parameters that a prediction reads: convolutions, normalisation, classifier.

    What only training needs does not count: projectors, key encoders, heads of auxiliary losses. The papers mean their
    network sizes in this way: 470 004 for a ResNet-32 with 100 classes.

    Args:
        model (nn.Module): A classifier of mmpretrain.
        image (Tensor): Images ``(B, 3, H, W)`` on its device, of any size that it takes.

    Returns:
        int: Number of their values. Frozen ones count, what two modules share counts once.
    """
    with evaluation_mode(model), _ParametersRead() as read:
        model(image, mode="tensor")
    return sum(parameter.numel() for parameter in read.found.values())


def _parameters(value: Any) -> Iterator[nn.Parameter]:
    if isinstance(value, nn.Parameter):
        yield value
    elif isinstance(value, dict):
        yield from _parameters(value.values())
    elif isinstance(value, (tuple, list)) or (isinstance(value, Iterable) and not isinstance(value, (Tensor, str))):
        for item in value:
            yield from _parameters(item)
