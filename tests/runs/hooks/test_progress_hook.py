"""Progress of a run, on a terminal and in a file."""

from __future__ import annotations

import os
import pty
import re
import subprocess
import sys
from pathlib import Path

import pytest

from lt_plugins.runs.hooks.progress_hook import fit_line
from lt_plugins.runs.short_names import short_names
from tests.tool_process import ROOT, run_tool

SMALL = [
    "model.backbone.depth=20",
    "train_dataloader.dataset.max_count=12",
    "train_dataloader.dataset.imbalance_factor=6",
    "train_dataloader.batch_size=16",
    "val_dataloader.dataset.indices=100",
    "train_cfg.max_epochs=5",
    "train_cfg.val_interval=2",
    "stage2.train_cfg.max_epochs=3",
]


@pytest.fixture(scope="module")
def terminal(tmp_path_factory: pytest.TempPathFactory) -> str:
    """What a terminal gets of a run in two stages."""
    folder = tmp_path_factory.mktemp("terminal")
    config = ROOT / "configs/lcreg/lcreg_r32_digits.py"
    command = [sys.executable, "tools/train.py", config, "--work-dir", folder / "run", "--cfg-options", *SMALL]
    master, slave = pty.openpty()
    environment = {**os.environ, "COLUMNS": "150", "PYTHONPATH": str(ROOT), "OMP_NUM_THREADS": "1"}
    with subprocess.Popen([*map(str, command)], stdout=slave, stderr=slave, cwd=ROOT, env=environment) as process:
        os.close(slave)
        chunks = []
        while True:
            try:
                chunk = os.read(master, 65536)
            except OSError:  # Linux's end of a terminal
                break
            if not chunk:
                break
            chunks.append(chunk)
        os.close(master)
        text = b"".join(chunks).decode()
        assert process.wait(120) == 0, text[-3000:]
    return text


def test_a_terminal_gets_one_line_that_replaces_itself(terminal: str) -> None:
    drawn = re.findall(r"\r\x1b\[2K(stage[^\r\n]*)", terminal)
    assert len(drawn) > 3
    assert all(len(line) < 150 for line in drawn)
    assert any(re.match(r"stage 1/2  epoch [1-5]/5  step \d/4  \d+ %  \d+ s left", line) for line in drawn), drawn
    assert any(re.match(r"stage 2/2  epoch [1-3]/3  ", line) for line in drawn), drawn
    assert any("evaluation 1/1" in line for line in drawn) or len(drawn) < 20
    assert re.search(r"balanced \d+\.\d  \(few \d+\.\d\)  best \d+\.\d in epoch \d", " ".join(drawn)), drawn
    assert "Epoch(" not in terminal, "mmengine's lines are in the log"


def test_each_evaluation_leaves_a_line_on_a_terminal(terminal: str) -> None:
    plain = "\n".join(line.rstrip("\r").rpartition("\r\x1b[2K")[2] for line in terminal.split("\n"))
    kept = re.findall(r"^(stage \d/2  epoch \d/\d)  overall ([\d.]+)  balanced ([\d.]+)", plain, re.MULTILINE)
    stages = [where for where, *_ in kept]
    assert stages == [*(f"stage 1/2  epoch {n}/5" for n in (2, 4, 5)), *(f"stage 2/2  epoch {n}/3" for n in (2, 3))]
    assert "(best balanced: " in plain


def test_the_time_left_counts_both_stages(terminal: str) -> None:
    [first, *_] = re.findall(
        r"time      about (.*) left, until \d\d:\d\d: 20 steps of (\S+) s, (.*); (\S+ .B) of", terminal
    )
    assert "and the stages that follow" in first[2]
    assert first[3].endswith("MB") or float(first[3].split()[0]) < 100


def test_a_file_gets_plain_lines(tmp_path: Path) -> None:
    config = ROOT / "configs/ce/ce_r32_digits.py"
    options = ["--cfg-options", *SMALL[:-1], "default_hooks.logger.interval=1"]
    done = run_tool("train.py", config, "--work-dir", tmp_path / "run", *options, logs=tmp_path)
    assert done.exit_code == 0, done.output
    assert "\r" not in done.output and "\x1b" not in done.output
    lines = done.log.read_text().splitlines()
    steps = [line for line in lines if line.startswith("Epoch(train)")]
    assert len(steps) == 20
    assert "eta: 0:00:00" in steps[-1]
    assert sum(line.startswith("Epoch(val)") for line in lines) == 3
    [estimate] = [line for line in lines if line.startswith("time ")]
    assert re.fullmatch(
        r"time      about \d+ s left, until [\w :]*: 20 steps of \S+ s, evaluations of \S+ s; \S+ .B of memory so far",
        estimate,
    )


def test_a_narrow_terminal_keeps_what_matters() -> None:
    parts = {
        "where": "epoch 3/30",
        "step": "step 4/5",
        "share": "9 %",
        "left": "3 min left",
        "loss": "loss 1.2",
        "x": "",
    }
    assert fit_line(parts, 80) == "epoch 3/30  step 4/5  9 %  3 min left  loss 1.2"
    assert fit_line(parts, 45) == "epoch 3/30  step 4/5  3 min left  loss 1.2"
    assert fit_line(parts, 10) == "epoch 3/30  3 min left"


def test_names_of_metrics() -> None:
    logged = {
        "calibration/ece": 3.0,
        "shot/many": 9.0,
        "shot/accuracy_top1": 7.0,
        "shot/accuracy_top5": 8.0,
        "time": 1.0,
    }
    assert short_names(logged) == {"overall": 7.0, "many": 9.0, "ECE": 3.0}
    assert short_names({"pascal_voc/mAP": 0.5, "time": 1.0}) == {"mAP": 0.5}
