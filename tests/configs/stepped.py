"""Which configs the tests take a training step of: as few as have every method with every backbone, and all data.

Configs of one method that differ in numbers alone, and in datasets that another config trains and tests on, are the
same to a step. That the parts of their networks fit is seen by ``test_the_metafile_states_epochs_and_network``, which
makes a prediction by every config.
"""

from __future__ import annotations

import functools
import json
from pathlib import Path
from typing import Any

from mmengine.config import Config

from tests.configs.catalogue import CONFIGS, is_for_own_data, needs_missing_timm, stages_of
from tests.miniatures import config_nodes

# Of the backbones, the quickest to step first.
BACKBONES = ("r20", "r32", "r10", "r18", "r50", "x50", "r152")
METHOD_PARTS = ("model", "custom_hooks", "optim_wrapper", "train_cfg")


@functools.cache
def stepped() -> frozenset[Path]:
    """Configs that take a step; the others have a method with its kind of backbone, and data, of these."""
    chosen, seen = set(), set[str]()
    for path in sorted((path for path in CONFIGS if not needs_missing_timm(path)), key=_costs):
        if not (told := {text for stage in stages_of(path) for text in _told(stage)}) <= seen:
            chosen.add(path)
            seen |= told
    return frozenset(chosen)


def _costs(path: Path) -> tuple[int, Path]:
    return -1 if is_for_own_data(path) else BACKBONES.index(path.stem.split("_")[1]), path


def _told(stage: Config) -> tuple[str, str, str]:
    """What a step of a stage tells: of the method, of the training images, of the test."""
    loader = stage.train_dataloader
    views = [node["num_views"] for node in config_nodes(loader) if "num_views" in node]
    method = [_without_numbers(stage.get(part)) for part in METHOD_PARTS]
    method += [views, _without_numbers(loader.sampler), _without_numbers(loader.get("batch_sampler"))]
    kinds = [node["type"] for node in config_nodes(loader.dataset) if isinstance(node.get("type"), str)]
    tests = [_without_numbers(stage[part]) for part in ("test_evaluator", "val_evaluator")]
    return json.dumps(method), json.dumps(kinds), json.dumps(tests)


def _without_numbers(node: Any) -> Any:
    """Types, switches and names of a part of a config."""
    if isinstance(node, dict):
        found = {key: _without_numbers(value) for key, value in sorted(node.items())}
        return {key: value for key, value in found.items() if value is not None}
    if isinstance(node, (list, tuple)):
        return [value for value in map(_without_numbers, node) if value is not None] or None
    return node if isinstance(node, (bool, str)) else None
