"""Files that the package carries: the ready configs and the command line tools.

In a clone they are the folders ``configs`` and ``tools`` beside the package; a wheel has them inside of it.
"""

from __future__ import annotations

import os
import re
from collections.abc import Iterator
from pathlib import Path, PurePosixPath

PACKAGE = Path(__file__).resolve().parent
IN_CLONE = not (PACKAGE / "configs").is_dir()
CONFIGS, TOOLS = (Path(PACKAGE.parent if IN_CLONE else PACKAGE, name) for name in ("configs", "tools"))
SCOPE = "lt_plugins::"
"""What stands before a ready config in ``_base_``, as ``mmpretrain::`` before one of mmpretrain's."""

_HIDDEN = {"_base_", "dev"}
_TOOL = re.compile(r"(?:python )?\btools/(\w+(?:/\w+)*)\.py")


def find_config(name: str) -> Path | None:
    """Find a ready config.

    Args:
        name (str): Its path below ``configs``, like ``lpa/paco_r50_inat``; ``.py`` at its end, and ``configs/`` or
            :data:`SCOPE` before it, may be left out.

    Returns:
        Path | None: The file, None if there is none.
    """
    below = name.removeprefix(SCOPE).removeprefix("configs/")
    path = PurePosixPath(below if below.endswith(".py") else f"{below}.py")
    if path.is_absolute() or ".." in path.parts:
        return None
    file = str(CONFIGS / path)
    return Path(file) if os.path.isfile(file) else None  # noqa: PTH113 (pathlib's raises on names that no file can have)


def ready_configs() -> Iterator[str]:
    """Names of the ready configs, sorted: their paths below ``configs``, without ``.py``."""
    for path in sorted(CONFIGS.rglob("*.py")):
        name = path.relative_to(CONFIGS).with_suffix("")
        if _HIDDEN.isdisjoint(name.parts):
            yield name.as_posix()


def tools() -> dict[str, Path]:
    """Scripts of the command line tools by name, sorted; one in a folder is called ``FOLDER/NAME``."""
    scripts = {path.relative_to(TOOLS).with_suffix(""): path for path in TOOLS.rglob("*.py")}
    return {name.as_posix(): scripts[name] for name in sorted(scripts) if _HIDDEN.isdisjoint(name.parts)}


def spell_tools(text: str) -> str:
    """Spell the tools in a message as they are called here.

    Args:
        text (str): It names them as in a clone, ``tools/test.py``.

    Returns:
        str: The same in a clone; with ``python -m lt_plugins test`` where the package is installed from a wheel.
    """
    return text if IN_CLONE else _TOOL.sub(r"python -m lt_plugins \1", text)
