"""Shared by the tests of detection: the miniature of PASCAL VOC and a classifier to start from."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
from mmengine.registry import DefaultScope

import lt_plugins.detection  # noqa: F401 (registers with mmdet)
from tests.detection.voc import make_voc, write_classifier


@pytest.fixture(autouse=True)
def _scope_of_other_tests() -> Iterator[None]:
    """What mmengine takes for the default scope outlives a test; tests of classifiers build in mmpretrain's."""
    before = dict(DefaultScope._instance_dict)
    yield
    DefaultScope._instance_dict.clear()
    DefaultScope._instance_dict.update(before)


@pytest.fixture(scope="session")
def devkit(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """VOCdevkit in miniature, not to be changed."""
    return make_voc(tmp_path_factory.mktemp("voc"))


@pytest.fixture(scope="session")
def classifiers(tmp_path_factory: pytest.TempPathFactory) -> dict[int, Path]:
    """Checkpoints of classifiers by the depth of their ResNet."""
    folder = tmp_path_factory.mktemp("classifiers")
    return {depth: write_classifier(folder / f"ce_r{depth}.pth", depth) for depth in (18, 50)}
