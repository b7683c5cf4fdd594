"""SSD in three stages: what each takes over from the one before, killed and resumed in each, and both classifiers."""

from __future__ import annotations

import json
import os
import signal
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor

from lt_plugins.checkpoints.checkpoint import load_checkpoint
from lt_plugins.registry import DATASETS
from lt_plugins.runs.config import load_stages
from tests.engine.test_resume import assert_identical
from tests.runs.test_lfme import classify
from tests.tool_process import ROOT, run_tool, start_tool

# Stages of 2, 3 and 4 epochs, so that a line of the log says in which stage it was printed.
CONFIG = f"""
_base_ = {str(ROOT / "configs/ssd/ssd_r32_digits.py")!r}
model = dict(backbone=dict(depth=20), queue_size=48)
train_dataloader = dict(batch_size=24, dataset=dict(max_count=24, imbalance_factor=6))
train_cfg = dict(max_epochs=2, val_interval=99)
stage2 = dict(train_cfg=dict(max_epochs=3))
stage3 = dict(train_cfg=dict(max_epochs=4))
val_dataloader = dict(dataset=dict(indices=60))
test_dataloader = dict(dataset=dict(indices=60))
default_hooks = dict(logger=dict(interval=1), checkpoint=dict(max_keep_ckpts=-1))
"""
LAST = ("stage1/epoch_2.pth", "stage2/epoch_3.pth", "epoch_4.pth")


@pytest.fixture(scope="module")
def finished(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with the config and its undisturbed run, ``alone``."""
    folder = tmp_path_factory.mktemp("ssd")
    (folder / "config.py").write_text(CONFIG)
    result = run_tool("train.py", folder / "config.py", "--work-dir", folder / "alone", logs=folder)
    assert result.exit_code == 0, result.output
    return folder


def states(folder: Path) -> list[dict[str, Tensor]]:
    """The weights at the end of each stage."""
    return [load_checkpoint(folder / name)["state_dict"] for name in LAST]


def test_what_each_stage_takes_over(finished: Path) -> None:
    first, second, third = states(finished / "alone")
    assert int((first["queue.labels"] >= 0).sum()) == 48
    learned = {name for name in second if "running" not in name and "num_batches" not in name}
    kept = {name for name in learned if name != "head.scale"}
    assert all(torch.equal(second[name], first[name]) for name in kept), "network and classifier of stage 1"
    assert not torch.equal(second["backbone.bn1.running_mean"], first["backbone.bn1.running_mean"]), "as in LWS"
    assert (second["head.scale"] != 1).all()
    assert {name for name in third if name.startswith("head.")} == {
        f"head.{part}.{kind}" for part in ("fc", "hard") for kind in ("weight", "bias")
    }
    assert third.keys() - first.keys() == {"head.hard.weight", "head.hard.bias"}
    similarity = torch.cosine_similarity(third["backbone.layer2.1.conv1.weight"].flatten(),
                                         first["backbone.layer2.1.conv1.weight"].flatten(), dim=0)  # fmt: skip
    assert similarity.abs() < 0.1, "from scratch"


def test_killed_in_each_stage_and_resumed_equals_undisturbed(finished: Path) -> None:
    killed = finished / "killed"
    arguments = (finished / "config.py", "--work-dir", killed)
    for number, last in enumerate((2, 3, 4)):
        victim = start_tool("train.py", *arguments, *(["--resume"] if number else []), logs=finished)
        victim.wait_for_line(f"Epoch(train) [{last}][2/")
        os.kill(victim.process.pid or 0, signal.SIGKILL)
        assert victim.wait().exit_code == -signal.SIGKILL
        assert not (killed / LAST[number]).exists()
    resumed = run_tool("train.py", *arguments, "--resume", logs=finished)
    assert resumed.exit_code == 0, resumed.output
    for name in LAST:
        expected, actual = (load_checkpoint(finished / run / name) for run in ("alone", "killed"))
        for part in ("state_dict", "optimizer", "param_schedulers"):
            assert_identical(actual[part], expected[part], f"{name} {part}")


def test_the_hard_classifier_of_a_run_is_tested(finished: Path, tmp_path: Path) -> None:
    """By a variant of the config, without the teacher, in a folder of its own."""
    spec, checkpoint = f"{finished / 'config.py'}:hard", tmp_path / "epoch_4.pth"
    checkpoint.write_bytes((finished / "alone/epoch_4.pth").read_bytes())
    result = run_tool("test.py", spec, checkpoint, "--out", tmp_path / "metrics.json", logs=tmp_path)
    assert result.exit_code == 0, result.output
    accuracies = []
    for cfg in (load_stages(spec)[-1], load_stages(str(finished / "config.py"))[-1]):
        dataset: Any = DATASETS.build(cfg.test_dataloader.dataset)
        assert len(dataset) == 60
        scores, labels = classify(cfg, checkpoint, dataset)
        accuracies.append(100 * (scores.argmax(dim=1) == labels).float().mean().item())
    hard, soft = accuracies
    assert json.loads((tmp_path / "metrics.json").read_text())["shot/accuracy_top1"] == pytest.approx(hard, abs=0.01)
    assert hard != soft
