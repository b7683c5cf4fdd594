"""The configs of classifiers as the tests of this folder look at them: each file is read once in a process.

A run reads its config once. The tests resolve a thousand variants of a few hundred files, and reading a file with its
eight or nine bases takes ten times as long as all else.
"""

from __future__ import annotations

import copy
import functools
import importlib.util
from pathlib import Path
from typing import Any
from unittest.mock import patch

from mmengine.config import Config

from lt_plugins.runs import config
from lt_plugins.unreadable import read_yaml

ROOT = Path(__file__).resolve().parents[2]
# Those of detectors are mmdet's kind and have tests of their own, tests/detection/test_configs.py.
ELSEWHERE = {"_base_", "detection"}
CONFIGS = sorted(path for path in (ROOT / "configs").rglob("*.py") if not ELSEWHERE & {*path.parts})
# Recipes for images of a user, --data, are named by what they fine-tune.
OWN_DATA = "finetune"

_read_config = config.read_config
_read_file = Config._file2dict


@functools.cache
def _read_base(path: str) -> tuple[Any, ...]:
    """What mmengine reads in a file below ``_base_``, not to be changed."""
    read: tuple[Any, ...] = _read_file(path)
    return read


def _read_base_once(filename: str, *args: Any, **kwargs: Any) -> Any:
    """Stands in for mmengine's reader while a file of the repository is read: its bases are shared by hundreds."""
    path = Path(filename).resolve()
    if ROOT / "configs" / "_base_" in path.parents:
        return copy.deepcopy(_read_base(str(path)))
    return _read_file(filename, *args, **kwargs)


def is_for_own_data(path: Path) -> bool:
    """Whether a config takes its images from ``--data`` only."""
    return path.parent.name == OWN_DATA


def needs_missing_timm(path: Path) -> bool:
    """Whether a config has a network of timm, which is not installed."""
    return path.stem == "timm" and importlib.util.find_spec("timm") is None


def name_of(path: Path) -> str:
    return str(path.relative_to(ROOT / "configs"))


@functools.cache
def file_of(path: str) -> Config:
    """The config of a file with its variants and stages, not to be changed."""
    with patch.object(Config, "_file2dict", staticmethod(_read_base_once)):
        return _read_config(path)


def read_once(path: str | Path) -> Config:
    """Stands in for ``read_config``: of the repository's files it returns a copy of what it read before."""
    return copy.deepcopy(file_of(str(path))) if ROOT / "configs" in Path(path).parents else _read_config(path)


@functools.cache
def stages_of(spec: str | Path) -> list[Config]:
    """The stages of a config, by its path or ``METHOD/CONFIG.py[:VARIANT]``; not to be changed."""
    return config.read_stages(str(ROOT / "configs" / spec))


@functools.cache
def models_of(metafile: Path) -> list[dict[str, Any]]:
    """What a metafile says of its configs."""
    return read_yaml(metafile, "")["Models"]
