"""Decoded size: how small large photographs may be decoded for a pipeline without a loss."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any

# Transforms that leave the size as it is, and do not depend on it.
_KEEP_SIZE = {"LoadImage", "RandomFlip", "RandomGrayscale", "ColorJitter"}


def limit_decoded_size(pipeline: Sequence[Any]) -> list[Any]:
    """Let the first step of a pipeline decode large JPEG files at a part of their size.

    It takes the smallest one that holds every pixel that the first resizing step could ask for: the edge of ``Resize``
    and ``ResizeEdge``, and for ``RandomResizedCrop`` a side of which its smallest crop still has the pixels of its
    output. A pipeline that does not resize first, or whose ``LoadImage`` has a ``min_side``, stays as it is.

    Args:
        pipeline (Sequence[dict]): Config of the transforms.

    Returns:
        list[dict]: The same with ``min_side`` in its ``LoadImage``.
    """
    steps = list(pipeline)
    if not steps or not isinstance(steps[0], Mapping) or _name(steps[0]) != "LoadImage" or "min_side" in steps[0]:
        return steps
    side = _needed_side(steps)
    return steps if side is None else [{**steps[0], "min_side": side}, *steps[1:]]


def _needed_side(steps: Sequence[Any]) -> int | None:
    """Pixels of the short side that a pipeline can make use of; None if that is not known."""
    for step in steps:
        if not isinstance(step, Mapping):
            return None
        name = _name(step)
        if name == "MultiView":
            sides = [_needed_side(view) for view in step.get("transforms", ())]
            return max((side for side in sides if side is not None), default=None) if None not in sides else None
        if name in ("Resize", "ResizeEdge", "RandomResizedCrop"):
            return _resized_side(name, step)
        if name not in _KEEP_SIZE:
            return None
    return None


def _resized_side(name: str, step: Mapping[str, Any]) -> int | None:
    scale = step.get("scale")
    largest = max(scale) if isinstance(scale, Sequence) and not isinstance(scale, str) else scale
    if not isinstance(largest, int) or step.get("edge", "short") != "short":
        return None
    if name != "RandomResizedCrop":
        return largest
    area = step.get("crop_ratio_range", (0.08, 1.0))[0]
    aspect = step.get("aspect_ratio_range", (3 / 4, 4 / 3))
    smallest = math.sqrt(area * min(aspect[0], 1 / aspect[1]))  # side of the smallest crop, of a square image's
    return math.ceil(largest / smallest - 1e-9) if smallest > 0 else None


def _name(step: Mapping[str, Any]) -> str:
    return str(step.get("type")).rpartition(".")[2]
