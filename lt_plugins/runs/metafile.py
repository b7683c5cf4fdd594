"""Metafiles: published numbers of configs."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from lt_plugins.unreadable import read_yaml, refuse_unreadable, require


def published_results(metafile: Path) -> list[tuple[str, dict[str, Any]]]:
    """Read the published numbers of a ``metafile.yml``, in its order.

    Args:
        metafile (Path): The file; OpenMMLab's own have none of these numbers.

    Returns:
        list[tuple[str, dict]]: The ``Config`` of a model and what one of its results has under ``Published``: numbers
        by name, and their ``source``.

    Raises:
        UserInputError: If it is no metafile.
    """
    advice = "correct it (CONTRIBUTING.md), or remove it."
    content = read_yaml(metafile, advice)
    found = []
    with refuse_unreadable(metafile, "a metafile", advice):
        for model in content["Models"]:
            require(isinstance(model["Config"], str), f"Config {model['Config']!r} is no path")
            for result in model.get("Results") or []:
                published = result.get("Published")
                if published is None:
                    continue
                require(isinstance(published["source"], str), "Published.source is no text")
                found.append((model["Config"], published))
    return found
