"""A campaign measures, trains, is stopped and goes on elsewhere from what it has written out."""

from __future__ import annotations

import json
import signal
from pathlib import Path

import cv2
import numpy as np
import pytest

from tests.tool_process import expect_errors, run_tool, start_tool

NAME = "ce/ce_r32_cifar100-lt+folders+short20_seed1"
SMALL = [
    "train_dataloader.dataset.imbalance_factor=1",
    "train_dataloader.num_workers=0",
    "val_dataloader.dataset.indices=20",
    "test_dataloader.dataset.indices=20",
    "val_dataloader.num_workers=0",
    "model.backbone.depth=20",
    "default_hooks.checkpoint.min_seconds=0",
]


@pytest.fixture
def data(tmp_path: Path) -> Path:
    """Class folders like those of CIFAR-100, an image a class."""
    rng = np.random.default_rng(0)
    for split in ("train", "test"):
        for label in range(100):
            path = tmp_path / "data" / "cifar100" / split / f"class{label:02}" / "0.png"
            path.parent.mkdir(parents=True)
            cv2.imwrite(str(path), rng.integers(0, 256, (32, 32, 3), dtype=np.uint8))
    return tmp_path / "data"


def test_a_campaign_in_two_places(data: Path, tmp_path: Path) -> None:
    out = tmp_path / "out"
    common: list[str | Path] = ["--methods", "ce", "--datasets", "c100-100", "--seeds", "1", "--data", data]
    common += ["--shorten", "20", "--cfg-options", *SMALL]
    here: list[str | Path] = ["--work-dir", tmp_path / "here", "--out", out, *common]
    dry = run_tool("dev/campaign.py", "--dry-run", "--minutes", "600", "--steps", "1", *here, logs=tmp_path / "dry")
    assert dry.exit_code == 0, dry.output
    [row] = [line for line in dry.output.splitlines() if NAME in line]
    cells = [cell.strip() for cell in row.strip("|").split("|")]
    assert cells[3] == "10" and cells[-1] == "yes" and float(cells[2]) > 0, "ten epochs of one step"
    assert "1 of 1 runs end within 600 minutes, 1 at a time" in dry.output

    first = start_tool("dev/campaign.py", "--minutes", "600", *here, logs=tmp_path / "first")
    first.wait_for_line("Epoch(train)  [2][1/1]")
    first.process.terminate()
    assert first.wait().exit_code == 128 + signal.SIGTERM
    assert first.errors.read_text() == "stopped by SIGTERM; the same command goes on there\n"
    assert sorted(path.name for path in out.iterdir()) == ["checkpoints-1.tar", "records.tar.gz"]

    there = tmp_path / "there"
    second = run_tool(
        "dev/campaign.py", "--minutes", "600", "--work-dir", there, "--resume-from", out, "--commit", "abc", *common,
        logs=tmp_path / "second",
    )  # fmt: skip
    assert second.exit_code == 0, second.output
    assert f"files put back from {out}" in second.output and "resumed epoch: " in second.output
    result = json.loads((there / "results" / f"{NAME}.json").read_text())
    assert (result["seed"], result["dataset"], result["epochs"], result["schedule"]) == (1, "cifar100-lt", 10, "short")
    assert result["config"] == "configs/ce/ce_r32_cifar100-lt.py:folders" and result["metrics"].keys() > {"overall"}
    assert "python tools/train.py configs/ce/ce_r32_cifar100-lt.py:folders --shorten 20 --cfg" in result["command"]
    assert "0 of 1 runs are left" in second.output
    assert "38.3 (SBCL, Tab. 2)" in (there / "table.md").read_text()


def test_mistakes(data: Path, tmp_path: Path) -> None:
    common: tuple[str | Path, ...] = ("--work-dir", tmp_path / "work", "--data", data)
    expect_errors(
        "dev/campaign.py",
        {
            ("--minutes", "0.5", *common): "--minutes 0.5 must be 1 or more",
            ("--minutes", "9", "--jobs", "0", *common): "--jobs 0 must be 1 or more",
            ("--minutes", "9", "--methods", "ce", "focal", *common): "--methods 'focal' is unknown; give some of ce",
            ("--minutes", "9", "--wheels", data, *common): "has no *.whl",
            ("--minutes", "9", "--datasets", "c100-50", "--resume-from", data, *common): "has no records.tar.gz",
            ("--minutes", "9", *common): "cifar10/train is not there; give --data DIR, or --archives DIR",
            ("--minutes", "9", "--archives", tmp_path, *common): "has no cifar10.tar.gz",
        },
        logs=tmp_path,
    )
