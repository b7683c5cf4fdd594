"""The benchmark of steps counts what a step does, and compares it with its time."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
import torch
from torch import nn

from benchmarks.single_steps import PlainSteps
from benchmarks.step_cost import Row, find_configs, find_rows, main, markdown
from tests.configs.catalogue import CONFIGS, is_for_own_data


def test_every_method_on_the_network_has_a_row() -> None:
    """But for those with a config of a GLT benchmark alone, whose file of images is made from the real data."""
    parts = [path.stem.split("_") for path in CONFIGS if not is_for_own_data(path)]
    names = {method for method, backbone, dataset in parts if backbone == "r32" and not dataset.endswith("-glt")}
    assert {*find_configs()} == names
    assert next(iter(find_configs())) == "ce"


def test_stages_that_take_the_same_steps_are_one_row() -> None:
    """The first stage of cRT is cross-entropy; kept, since the second one starts from it; tau-norm has no other."""
    reference, [crt] = find_rows(["crt", "tau-norm"], batch_size=4)
    assert crt[0].key == reference.key != crt[1].key
    assert [stage.name for stage in crt] == ["crt, stage 1", "crt, stage 2"]


def test_images_of_an_episode_are_not_changed() -> None:
    _, [[first, second]] = find_rows(["fslwf"], batch_size=4)
    assert first.cfg.train_dataloader.batch_size == 4
    assert second.cfg.train_dataloader.batch_size == 220


def test_counts_of_plain_steps() -> None:
    """Of 2 images: forward 2 x 3 x 8 x 9 x 32 x 32 products and as many sums; backward the gradient of the weight."""
    steps = PlainSteps(nn.Conv2d(3, 8, 3, padding=1, bias=False), batch_size=2, device=torch.device("cpu"))
    forward, backward, memory = steps.count()
    assert forward == 2 * 2 * 3 * 8 * 9 * 32 * 32
    assert backward == forward
    output = 4 * 2 * 8 * 32 * 32
    assert output <= memory < 3 * output, "the output, its gradient, weights"


def test_methods_cost_their_passes(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("sys.stderr.isatty", lambda: False)
    path = tmp_path / "cost.json"
    options = ["--methods", "sam", "cr?", "--rounds", "1", "--batch-size", "4", "--json", str(path)]
    with pytest.raises(SystemExit, match=r"more than 0.01 times the count: crt, stage 2 [\d.]+, sam"):
        main([*options, "--fail-above", "0.01"])
    rows = {row["name"]: row for row in json.loads(path.read_text())["rows"]}
    assert {name: (row["forward"], row["backward"]) for name, row in rows.items()} == {
        "crt, stage 2": (1, 0),
        "sam": (2, 2),
    }
    assert all(row["cost"] > 0 and row["above"] == row["cost"] / row["passes"] for row in rows.values())
    assert rows["crt, stage 2"]["memory"] < rows["sam"]["memory"]
    assert "| [sam](../configs/sam/sam_r32_cifar100-lt.py) | 2.00 | 2.00 | 2.00 |" in capsys.readouterr().out


def test_table() -> None:
    row = Row("sam", "configs/sam/sam.py", 2, 2, 2, cost=2.1, least=1.9, largest=2.3, wall=2.2, memory=1.04)
    assert markdown([row]).splitlines()[-1] == (
        "| [sam](../configs/sam/sam.py) | 2.00 | 2.00 | 2.00 | 2.10 (1.90-2.30) | 2.20 | +5% | 1.04 |"
    )


def test_an_unknown_method(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit):
        main(["--methods", "samm"])
    assert "no method is called samm; there are: ce balanced-softmax" in capsys.readouterr().err
