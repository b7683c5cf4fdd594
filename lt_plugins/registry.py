"""Registries of mmpretrain, imported when they are needed first.

``@MODELS.register_module()`` notes a class and imports nothing, so that losses, samplers and metrics cost no import of
OpenMMLab and work where it is not installed. ``import lt_plugins.plugins`` calls :func:`register_all`; a module that is
imported after mmpretrain's registries registers its classes at once.
"""

from __future__ import annotations

import sys
from collections.abc import Callable
from importlib import import_module
from typing import Any, TypeVar

T = TypeVar("T", bound=type)
TARGETS = "mmpretrain.registry"


class LazyRegistry:
    """Registry of mmpretrain that is imported by its first ``build``, or by ``lt_plugins.plugins``.

    Args:
        name (str): Its name in ``mmpretrain.registry``.

    Examples:
        >>> @MODELS.register_module()
        ... class MyLoss(nn.Module): ...
    """

    def __init__(self, name: str) -> None:
        self.name = name
        self._noted: list[type] = []

    def register_module(self) -> Callable[[T], T]:
        """Decorator that registers a class under its name."""

        def register(component: T) -> T:
            self._noted.append(component)
            if TARGETS in sys.modules:
                self.target()
            return component

        return register

    def build(self, cfg: dict, **kwargs: Any) -> Any:
        """Build a component.

        Args:
            cfg (dict): Its ``type`` and arguments.
            **kwargs: As for ``build`` of mmengine's ``Registry``.
        """
        return self.target().build(cfg, **kwargs)

    def target(self) -> Any:
        """Import mmpretrain's registry and register what has been noted so far.

        Returns:
            mmengine.registry.Registry: The registry of this name.

        Raises:
            KeyError: If a class of the same name is registered already.
        """
        registry = getattr(import_module(TARGETS), self.name)
        while self._noted:
            registry.register_module(module=self._noted.pop(0))
        return registry


BATCH_AUGMENTS = LazyRegistry("BATCH_AUGMENTS")
DATASETS = LazyRegistry("DATASETS")
DATA_SAMPLERS = LazyRegistry("DATA_SAMPLERS")
HOOKS = LazyRegistry("HOOKS")
LOOPS = LazyRegistry("LOOPS")
METRICS = LazyRegistry("METRICS")
MODELS = LazyRegistry("MODELS")
OPTIMIZERS = LazyRegistry("OPTIMIZERS")
OPTIM_WRAPPER_CONSTRUCTORS = LazyRegistry("OPTIM_WRAPPER_CONSTRUCTORS")
OPTIM_WRAPPERS = LazyRegistry("OPTIM_WRAPPERS")
TASK_UTILS = LazyRegistry("TASK_UTILS")
TRANSFORMS = LazyRegistry("TRANSFORMS")


def register_all() -> None:
    """Register everything that has been noted so far with mmpretrain."""
    for registry in (
        *(BATCH_AUGMENTS, DATASETS, DATA_SAMPLERS, HOOKS, LOOPS, METRICS, MODELS, OPTIMIZERS),
        *(OPTIM_WRAPPER_CONSTRUCTORS, OPTIM_WRAPPERS, TASK_UTILS, TRANSFORMS),
    ):
        registry.target()
