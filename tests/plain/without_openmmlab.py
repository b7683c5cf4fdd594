"""Plugin of pytest that hides OpenMMLab, and whatever else is more than torch, numpy and scipy, from a process."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from importlib.machinery import ModuleSpec, PathFinder
from types import ModuleType
from typing import Any

OPENMMLAB = ("mmengine", "mmcv", "mmpretrain", "mmdet")
HIDDEN = (
    *OPENMMLAB,
    *("PIL", "cv2", "faiss", "matplotlib", "rich", "safetensors", "sklearn", "tensorboard", "torchvision", "yaml"),
)


class Hide:
    """Finder of files on ``sys.path`` that finds none of the hidden packages, as if they were not installed."""

    def find_spec(
        self, name: str, path: Sequence[str] | None = None, target: ModuleType | None = None
    ) -> ModuleSpec | None:
        return None if name.partition(".")[0] in HIDDEN else PathFinder.find_spec(name, path, target)

    def __getattr__(self, name: str) -> Any:
        return getattr(PathFinder, name)


assert not set(HIDDEN) & set(sys.modules), "imported before it could be hidden"
sys.meta_path[sys.meta_path.index(PathFinder)] = Hide()
