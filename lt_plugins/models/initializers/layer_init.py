"""Base of the initialisations of single layers."""

from __future__ import annotations

from typing import Any, ClassVar

import torch
from mmengine.model import BaseModule, update_init_info
from mmengine.model.weight_init import BaseInit
from torch import nn


class LayerInit(BaseInit):
    """Initialisation of layers that are chosen by their class, or one by its name; a subclass says what happens to one.

    Args:
        layer (str | list[str], optional): Classes of the layers, like ``'Linear'``. Defaults to None; a layer can be
            named by ``override`` then, as for mmengine's own initialisations.
    """

    kinds: ClassVar[tuple[type[nn.Module], ...]]
    """Layers that it can initialise; others of the chosen classes are left alone."""

    def __init__(self, layer: str | list[str] | None = None) -> None:
        super().__init__(layer=layer)

    def __call__(self, module: nn.Module) -> None:
        """Initialise the chosen layers.

        Args:
            module (nn.Module): The layer itself (by ``override``) or a module that contains layers.
        """
        with torch.no_grad():
            for part in module.modules():
                names = {base.__name__ for base in type(part).__mro__}
                if isinstance(part, self.kinds) and (self.wholemodule or names & {*self.layer}):
                    self.initialise(part)
        if isinstance(module, BaseModule) or hasattr(module, "_params_init_info"):
            update_init_info(module, init_info=self._get_init_info())

    def initialise(self, layer: Any) -> None:
        """Initialise one layer; called without gradient."""
        raise NotImplementedError(f"{type(self).__name__} does not define initialise(layer).")

    def _get_init_info(self) -> str:
        """What mmengine's log says of the parameters."""
        return type(self).__name__
