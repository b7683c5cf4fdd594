"""Checkpoints that version 0.1 wrote are tested and resumed by the tools.

``tests/data/checkpoints_version_0.1.tar.xz`` holds runs of commit e168741, stopped after two of three epochs, and the
metrics that its ``tools/test.py`` gave for them on the first 40 test images. Their backbones are constant (``Constant``
initialisation, learning rate 0), so that the file is small; everything else is trained.
"""

from __future__ import annotations

import json
import tarfile
from pathlib import Path
from typing import NamedTuple

import pytest

from lt_plugins.checkpoints.checkpoint import load_checkpoint
from tests.tool_process import ROOT, run_tool

STORED = ROOT / "tests/data/checkpoints_version_0.1.tar.xz"


class OldRun(NamedTuple):
    """Config of today that trains what an old run trained, and the settings of the old run beside those of all."""

    config: str
    options: tuple[str, ...] = ()


RUNS = {
    "ce": OldRun("ce/ce_r32_digits.py"),
    "isda": OldRun("isda/isda_r32_digits.py"),
    "lpa": OldRun(
        "lpa/lpa_r32_digits.py",
        (
            "model.queue_size=16",
            "model.head.num_attributes=8",
            "model.projector.hid_channels=8",
            "model.projector.out_channels=8",
            "model.projection_dim=8",
            "custom_hooks.0.start=1",
            "custom_hooks.0.interval=1",
        ),
    ),
    "lcreg-stage1": OldRun(
        "lcreg/lcreg_r32_digits.py:stage1",
        (
            "model.head.num_latents=2",
            "model.head.aug_loss.type=LatentISDALoss",
            "model.head.aug_loss.covariance=diagonal",
        ),
    ),
    "sbcl-stage1": OldRun(
        "sbcl/sbcl_r32_digits.py:stage1",
        (
            "model.projector.hidden_channels=8",
            "model.projector.out_channels=8",
            "model.projection_dim=8",
            "custom_hooks.0.start=1",
            "custom_hooks.0.interval=1",
            "custom_hooks.0.task.min_size=2",
        ),
    ),
    "sbcl": OldRun("sbcl/sbcl_r32_digits.py"),
    "mislas": OldRun("mislas/mislas_r32_digits.py"),
}
OF_ALL = (
    "resident=False",  # version 0.1 augmented image by image
    "train_cfg.max_epochs=3",
    "optim_wrapper.optimizer.momentum=0",
    "optim_wrapper.paramwise_cfg.custom_keys.backbone.lr_mult=0",
    "optim_wrapper.paramwise_cfg.custom_keys.backbone.decay_mult=0",
    "train_dataloader.batch_size=16",
    "train_dataloader.dataset.max_count=8",
    "train_dataloader.dataset.imbalance_factor=4",
    "test_dataloader.dataset.indices=40",
    "val_dataloader.dataset.indices=40",
    "model.backbone.depth=20",
)
STAGE_2 = {"sbcl", "mislas"}


@pytest.fixture(scope="module")
def stored(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Folder with the stored files."""
    folder = tmp_path_factory.mktemp("version_0.1")
    with tarfile.open(STORED) as archive:
        archive.extractall(folder, filter="data")
    return folder


def options(name: str) -> list[str]:
    """The ``--cfg-options`` of a run; the second stage of some sets what all runs set differently."""
    later = [f"stage2.{option}" for option in OF_ALL if not option.startswith("model.")] if name in STAGE_2 else []
    return [*OF_ALL, *later, *RUNS[name].options]


@pytest.mark.parametrize("name", RUNS)
def test_metrics_are_those_of_version_0_1(name: str, stored: Path) -> None:
    out = stored / f"{name}.json"
    spec = ROOT / "configs" / RUNS[name].config
    done = run_tool(
        "test.py", spec, stored / f"{name}.pth", "--out", out, "--work-dir", stored / name, "--cfg-options",
        *options(name), logs=stored / "logs",
    )  # fmt: skip
    assert done.exit_code == 0, done.output
    before = json.loads((stored / "metrics.json").read_text())[name]
    assert json.loads(out.read_text()) == pytest.approx(before, abs=1e-3)


@pytest.mark.parametrize("name", RUNS)
def test_resumes_without_a_change(name: str, stored: Path, tmp_path: Path) -> None:
    """Weights, optimiser and schedule are taken over, and the run record finds no setting that differs."""
    spec = ROOT / "configs" / RUNS[name].config
    done = run_tool(
        "train.py", spec, "--resume", stored / f"{name}.pth", "--work-dir", tmp_path, "--cfg-options",
        *options(name), logs=tmp_path / "logs",
    )  # fmt: skip
    assert done.exit_code == 0, done.output
    assert "Epoch(train) [3]" in done.output and "Epoch(train) [2]" not in done.output
    assert "Changed since" not in done.output
    assert load_checkpoint(tmp_path / "epoch_3.pth")["meta"]["epoch"] == 3


def test_a_run_of_another_model_is_refused(stored: Path, tmp_path: Path) -> None:
    spec = ROOT / "configs" / RUNS["ce"].config
    done = run_tool(
        "train.py", spec, "--resume", stored / "isda.pth", "--work-dir", tmp_path, "--cfg-options", *options("ce"),
        logs=tmp_path / "logs",
    )  # fmt: skip
    assert done.exit_code == 1
    assert "isda.pth is a checkpoint of another model" in done.error_lines[0]


def test_a_run_with_another_setting_is_refused(stored: Path, tmp_path: Path) -> None:
    """Settings are compared by their names of today."""
    spec = ROOT / "configs" / RUNS["mislas"].config
    done = run_tool(
        "train.py", spec, "--resume", stored / "mislas.pth", "--work-dir", tmp_path, "--cfg-options",
        *options("mislas"), "stage2.model.norm_eval=True", logs=tmp_path / "logs",
    )  # fmt: skip
    assert done.exit_code == 1
    assert "model.norm_eval False -> True" in done.error_lines[0]
    assert done.error_lines[0].count("->") == 1
