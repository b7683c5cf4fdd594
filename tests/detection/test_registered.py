"""What the package registers in mmdet's registries: the part of the common battery that applies to it."""

from __future__ import annotations

import copy
import pickle
from pathlib import Path
from typing import Any

import mmdet.registry
import pytest
from mmengine.registry import Registry, init_default_scope

from tests.detection.voc import WIDTH

VOC = {"ann_file": "VOC2007/ImageSets/Main/test.txt", "data_prefix": {"sub_data_root": "VOC2007/"}, "pipeline": []}
# Registry and class -> arguments that it needs; a new class needs an entry.
ENTRIES: dict[tuple[str, str], dict[str, Any]] = {
    ("DATASETS", "CheckedVOCDataset"): VOC,
    ("DATASETS", "SeededDataset"): {"dataset": {"type": "CheckedVOCDataset", **VOC}},
    ("DATA_SAMPLERS", "SeededInfiniteSampler"): {"dataset": range(8), "seed": 0},
    ("HOOKS", "DetectionPreflightHook"): {},
    ("HOOKS", "FinalPreciseBNHook"): {},
    ("HOOKS", "IterationSeedHook"): {},
    ("HOOKS", "LoadBackboneHook"): {},
}


def registered() -> set[tuple[str, str]]:
    """Everything of the package in mmdet's registries."""
    registries = {name: value for name, value in vars(mmdet.registry).items() if isinstance(value, Registry)}
    return {
        (registry, name)
        for registry, value in registries.items()
        for name, cls in value.module_dict.items()
        # mmdet imports the root registries too, under that prefix.
        if cls.__module__.startswith("lt_plugins.") and not registry.startswith("MMENGINE_")
    }


def test_every_class_has_an_entry() -> None:
    assert registered() == set(ENTRIES)


@pytest.mark.parametrize(("registry", "name"), ENTRIES, ids=lambda value: value)
def test_builds_and_can_be_copied(registry: str, name: str, devkit: Path) -> None:
    init_default_scope("mmdet")
    args = copy.deepcopy(ENTRIES[registry, name])
    if registry == "DATASETS":
        args.get("dataset", args)["data_root"] = f"{devkit}/"
    built = getattr(mmdet.registry, registry).build({"type": name, **args})
    if registry == "DATA_SAMPLERS":
        return  # a generator of mmengine's sampler cannot be copied
    for twin in (built, copy.deepcopy(built), pickle.loads(pickle.dumps(built))):
        assert type(twin) is type(built)
        assert set(vars(twin)) == set(vars(built))
        if registry == "DATASETS":
            assert getattr(twin, "dataset", twin).get_data_info(0)["width"] == WIDTH
