"""Runs side by side: the same weights as alone, a stop ends and a second start resumes them, a failure stops none."""

from __future__ import annotations

import json
import signal
import time
from pathlib import Path

import pytest
import torch

from lt_plugins.checkpoints.checkpoint import load_checkpoint
from tests.tool_process import ROOT, ToolProcess, run_tool, start_tool

EPOCHS = 10
SMALL = [
    "train_dataloader.dataset.max_count=12",
    "train_dataloader.dataset.imbalance_factor=6",
    "train_dataloader.batch_size=16",
    "val_dataloader.dataset.indices=20",
    "test_dataloader.dataset.indices=20",
    "model.backbone.depth=20",
    f"train_cfg.max_epochs={EPOCHS}",
    f"train_cfg.val_interval={EPOCHS}",
]


def write_config(folder: Path) -> Path:
    """Digits with two learning rates, and a batch that is larger than the set."""
    config = folder / "ce_r32_digits.py"
    config.write_text(
        f"_base_ = {str(ROOT / 'configs/ce/ce_r32_digits.py')!r}\n"
        "variants = dict(\n"
        "    slow=dict(optim_wrapper=dict(optimizer=dict(lr=0.01))),\n"
        "    huge=dict(train_dataloader=dict(batch_size=999, drop_last=True)),\n"
        ")\n"
    )
    return config


def children(pid: int | None) -> list[int]:
    """Processes that a process has started, from any of its threads."""
    listed = [path.read_text().split() for path in Path(f"/proc/{pid}/task").glob("*/children")]
    return [int(child) for thread in listed for child in thread]


@pytest.mark.skipif(not Path("/proc/self/task").exists(), reason="finds the runs in /proc")
def test_side_by_side_stopped_resumed_and_failing(tmp_path: Path) -> None:
    config, out = write_config(tmp_path), tmp_path / "out"
    specs = [f"{config}:huge", str(config), f"{config}:slow"]
    names = ["ce_r32_digits+huge", "ce_r32_digits", "ce_r32_digits+slow"]
    overrides = [value for value in SMALL if "batch_size" not in value]
    arguments: list[str | Path] = [*specs, "--jobs", "3", "--work-dir", out, "--cfg-options", *overrides]
    victim: ToolProcess = start_tool("sweep.py", *arguments, logs=tmp_path / "stopped")
    for name in names[1:]:
        victim.wait_for_line(f"{name}, seed 0 | Epoch(train)  [2]")
    runs = children(victim.process.pid)
    assert len(runs) >= 2
    victim.process.terminate()
    assert victim.wait().exit_code == 128 + signal.SIGTERM
    end = time.monotonic() + 10
    while any(Path(f"/proc/{pid}").exists() for pid in runs) and time.monotonic() < end:
        time.sleep(0.05)
    assert not any(Path(f"/proc/{pid}").exists() for pid in runs), "all runs have ended with the sweep"
    assert victim.errors.read_text() == "stopped by SIGTERM; the same command continues there\n"
    assert len(list(out.glob(f"*/epoch_{EPOCHS}.pth"))) < 2, "at least one was in the middle"

    again = run_tool("sweep.py", *arguments, logs=tmp_path / "again")
    assert again.exit_code == 1
    [line] = again.error_lines
    assert line.startswith("error: 1 of 3 runs failed, the first: the train run of ce_r32_digits+huge, seed 0 stopped:")
    assert "yields no batch of 999" in line
    assert "run 1 of 3: ce_r32_digits+huge, seed 0 failed: the train run" in again.output
    assert " | resumed epoch:" in again.output, "it goes on where it was"
    table = (out / "table.md").read_text()
    rows = [[cell.strip() for cell in row.strip("|").split("|")] for row in table.splitlines()[2:5]]
    assert [row[0] for row in rows] == names, "in the order of the command"
    assert [row[-1] for row in rows] == ["-", "0", "0"]
    assert "2 of 3 runs are finished." in table and table.splitlines()[2] in again.output

    for spec, name in zip(specs[1:], names[1:], strict=True):
        folder = out / f"{name}_seed0"
        threads = json.loads((folder / "sweep.json").read_text())["threads"]
        alone = tmp_path / "alone" / name
        done = run_tool(
            "train.py", spec, "--work-dir", alone, "--cfg-options", "randomness.seed=0", *overrides,
            logs=tmp_path / "logs", env={"OMP_NUM_THREADS": str(threads)},
        )  # fmt: skip
        assert done.exit_code == 0, done.output
        together, solo = (load_checkpoint(path / f"epoch_{EPOCHS}.pth") for path in (folder, alone))
        for part in ("state_dict", "optimizer"):
            torch.testing.assert_close(together[part], solo[part], rtol=0, atol=0)
