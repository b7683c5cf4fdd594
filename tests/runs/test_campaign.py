"""Plan of a campaign: its order, its configs, and what fits into the time."""

from __future__ import annotations

import itertools
import json
from pathlib import Path
from typing import Any

import pytest

from lt_plugins.errors import UserInputError
from lt_plugins.runs.campaign import (
    BLOCKS,
    METHODS,
    StageSpeed,
    check_names,
    data_overrides,
    plan_runs,
    plan_table,
    result_table,
    schedule,
    without_folders,
)
from lt_plugins.runs.config import read_stages
from lt_plugins.runs.recorded_run import RecordedRun
from tests.configs.recipes import RECIPES

ROOT = Path(__file__).resolve().parents[2]
PLAN = plan_runs(METHODS, BLOCKS, (0, 1, 2))


def leaves(node: Any, key: str = "") -> dict[str, str]:
    """Values of a config by dotted keys."""
    if isinstance(node, dict):
        return {k: v for name, value in node.items() for k, v in leaves(value, f"{key}.{name}").items()}
    return {key: json.dumps(node, sort_keys=True)}


def test_order_of_worth() -> None:
    names = [(Path(run.config).name.partition("_")[0], run.seed) for run in PLAN]
    methods = ["ce", "ldam-drw", "mislas", "lcreg", "paco", "lpa", "sbcl"]
    assert names[:21] == [(method, seed) for seed in (0, 1, 2) for method in methods]
    blocks = [run.config.rpartition("r32_")[2] for run in PLAN[::21]]
    cifar100, cifar10 = "cifar100-lt.py:folders", "cifar10-lt.py:folders"
    assert blocks == [cifar100, f"{cifar100},lt50", f"{cifar100},lt10", cifar10, f"{cifar10},lt50"]
    assert [run.dataset for run in PLAN] == ["cifar100"] * 63 + ["cifar10"] * 42
    assert len({run[:2] for run in PLAN}) == len(PLAN)
    assert plan_runs(["lpa"], ["c10-50"], [4]) == [
        ("configs/lpa/lpa_r32_cifar10-lt.py:folders,lt50", 4, "cifar10"),
    ]


@pytest.mark.parametrize("config", sorted({run.config for run in PLAN}))
def test_class_folders_change_nothing_of_the_recipe(config: str) -> None:
    """Only where the images come from, in all stages; the draw is of the recipe's imbalance factor and seed."""
    plain = without_folders(config)
    if "cifar100" in config:
        assert plain.removeprefix("configs/") in RECIPES
    for before, after in zip(*(read_stages(str(ROOT / spec)) for spec in (plain, config)), strict=True):
        old, new = leaves(before.to_dict()), leaves(after.to_dict())
        changed = {key for key in {*old, *new} if old.get(key) != new.get(key)}
        parts = {f".{loop}_dataloader.dataset" for loop in ("val", "test")} | {".train_dataloader.dataset.dataset"}
        names = ("type", "split", "data_prefix", "class_folder")
        assert changed <= {f"{part}.{name}" for part, name in itertools.product(parts, names)}
        for part in parts:
            assert new[f"{part}.type"] == '"ImageListDataset"' and new[f"{part}.split"] == "null"
            assert new[f"{part}.data_prefix"] == ('"train"' if "train" in part else '"test"')


def test_schedule() -> None:
    assert schedule([3, 5, 1, 2], jobs=1) == [(0, 3), (3, 8), (8, 9), (9, 11)]
    assert schedule([3, 5, 1, 2], jobs=2) == [(0, 3), (0, 5), (3, 4), (4, 6)]
    assert schedule([3, 5], jobs=8) == [(0, 3), (0, 5)]


def make_runs(folder: Path, count: int) -> list[RecordedRun]:
    """Runs that have not begun."""
    return [RecordedRun(f"run{k}", folder / str(k), f"{'ab'[k % 2]}.py", k, []) for k in range(count)]


def test_plan_table(tmp_path: Path) -> None:
    fast = StageSpeed(10, 0.1, batch_size=128, steps=80, epochs=10, val_s=5.0, evaluations=2, pass_s=0.0)
    assert fast.seconds == pytest.approx(10 + 80 + 10) and fast.images_per_s == pytest.approx(1280)
    slow = StageSpeed(10, 0.5, batch_size=64, steps=20, epochs=20, val_s=0.0, evaluations=0, pass_s=90.0)
    runs = make_runs(tmp_path, 4)
    table, num_fitting = plan_table(runs, {"a.py": [fast], "b.py": [fast, slow]}, jobs=2, minutes=5)
    rows = [[cell.strip() for cell in line.strip("|").split("|")] for line in table.splitlines()[2:]]
    assert rows == [
        ["1", "run0", "1280", "800", "10 %", "1.7", "1.7", "yes"],
        ["2", "run1", "1280", "800 + 400", "2 %", "6.7", "6.7", "in part"],
        ["3", "run2", "1280", "800", "10 %", "1.7", "3.3", "yes"],
        ["4", "run3", "1280", "800 + 400", "2 %", "6.7", "10.0", "in part"],
    ]
    assert num_fitting == 2
    table, num_fitting = plan_table(runs[:2], {"a.py": [fast]}, jobs=1, minutes=1)
    assert table.splitlines()[-1] == "| 2 | run1 | - | - | - | - | - | - |" and num_fitting == 0


def test_speeds_are_read_back(tmp_path: Path) -> None:
    speed = StageSpeed(1, 2, 3, 4, 5, 6, 7, 8)
    path = tmp_path / "speed.json"
    path.write_text(json.dumps({"stages": [speed._asdict()]}))
    assert StageSpeed.read(path) == [speed]
    path.write_text('{"stages": [{"step": 1}]}')
    with pytest.raises(UserInputError, match="cannot be read as the result of a probe"):
        StageSpeed.read(path)


def test_result_table_names_what_is_published(tmp_path: Path) -> None:
    config = str(ROOT / "configs/ldam/ldam-drw_r32_cifar100-lt.py:folders,lt50")
    runs = [RecordedRun(f"ldam+lt50_seed{seed}", tmp_path / str(seed), config, seed, []) for seed in (0, 1)]
    lines = result_table(runs, {runs[0]: {"shot/accuracy_top1": 45.25, "calibration/ece": 3}}).splitlines()
    assert lines[2] == "| ldam+lt50 | 45.2 | - | - | - | 3.0 | 46.6 (SBCL, Tab. 2) | 0 |"
    assert "1 of 2 runs are finished." in lines[4] and "another selection" in lines[6]


def test_names_and_places() -> None:
    check_names("--methods", ["lpa", "ce"], METHODS)
    for names, line in ((["lpa", "lpi"], "--methods 'lpi' is unknown; give some of ce, "), (["ce", "ce"], "ce twice")):
        with pytest.raises(UserInputError, match=line):
            check_names("--methods", names, METHODS)
    assert data_overrides(Path("data"), "cifar10") == []
    assert data_overrides(Path("/mnt"), "cifar10") == [
        "train_dataloader.dataset.dataset.data_root=/mnt/cifar10",
        "val_dataloader.dataset.data_root=/mnt/cifar10",
        "test_dataloader.dataset.data_root=/mnt/cifar10",
    ]
    assert without_folders("a.py:lt50,folders") == "a.py:lt50" and without_folders("a.py:folders") == "a.py"
