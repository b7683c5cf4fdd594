"""A run killed in the middle of an epoch and resumed ends with the weights of the run that was left alone."""

from __future__ import annotations

import os
import signal
from pathlib import Path
from typing import Any

import pytest
import torch

from lt_plugins.checkpoints.checkpoint import load_checkpoint
from tests.tool_process import ROOT, run_tool, start_tool

# Three epochs of several steps each, so that the kill falls into the second one; a small network on small classes.
COMMON = [
    "train_cfg.max_epochs=3",
    "train_dataloader.batch_size=24",
    "train_dataloader.dataset.max_count=36",
    "train_dataloader.dataset.imbalance_factor=18",
    "model.backbone.depth=20",
    "default_hooks.logger.interval=1",
]
WORKERS = ["train_dataloader.num_workers=2"]
NO_VALIDATION = ["val_cfg=None", "val_dataloader=None", "val_evaluator=None"]
CASES = {
    # Random crops in workers: the classic failure. Validation lies between the second and the third.
    "ce/ce_r32_digits.py": ["resident=False", *WORKERS, "train_cfg.val_interval=2"],
    "paco/paco_r32_digits.py": [*NO_VALIDATION, "model.queue_size=96"],
    # Clusters before the first and the third epoch: the resumed run takes the table of the first from the checkpoint.
    "lpa/lpa_r32_digits.py": [
        *NO_VALIDATION,
        "model.queue_size=96",
        "custom_hooks.0.start=0",
        "custom_hooks.0.interval=2",
    ],
    # Four batches a step, which do not divide an epoch: gradients and keys would pend over its end.
    "paco/paco_r32_digits.py accumulating": [
        *NO_VALIDATION,
        "model.queue_size=96",
        "optim_wrapper.accumulative_counts=4",
    ],
    # Environments of the first epoch serve in the second; their weights come from the checkpoint.
    "ifl/ifl_r32_digits.py": [
        *NO_VALIDATION,
        "custom_hooks.0.milestones=[0,1]",
        "model.aux_losses.center.weights=[[1,0.001],[2,0.005]]",
    ],
    # Running losses of each image, of two networks.
    "lff/lff_r32_digits.py": NO_VALIDATION,
    # Covariances of what images look like, and a strength that rises in each iteration.
    "lcreg/lcreg_r32_digits.py:stage1": [*WORKERS, "train_cfg.val_interval=2", "model.head.aug_loss.source=assigned"],
    # The radius rises in the second epoch, where the run is killed; class weights begin with the third.
    "sam/sam_r32_digits.py:drw": [
        *NO_VALIDATION,
        "optim_wrapper.phases.0.start=1",
        "model.head.loss.reweight_from=2",
    ],
    # A reversed companion of each batch, and a share of the branches that falls in each epoch.
    "bbn/bbn_r32_digits.py": [*NO_VALIDATION],
    # Shares and boxes of the mixtures, and a share of the re-balanced classifier that rises in each epoch.
    "glmc/glmc_r32_digits.py": [*NO_VALIDATION],
    # Three views of each image.
    "bcl/bcl_r32_digits.py": NO_VALIDATION,
    # Foregrounds of a companion are pasted in the second epoch alone.
    "cmo/cmo_r32_digits.py": NO_VALIDATION,
    # Covariances that a meta set teaches, from the second epoch on, where the run is killed.
    "metasaug/metasaug_r32_digits.py": [*NO_VALIDATION, "model.head.loss.switch_from=1"],
    # The same beside another contrastive loss, in a module whose tables get their size from the data.
    "scl/scl_r32_digits.py:attributes,stage1": [
        *NO_VALIDATION,
        "custom_hooks.0.start=0",
        "custom_hooks.0.interval=2",
    ],
    # The means of the first epoch become the active ones with the second, where the run is killed.
    "proco/proco_r32_digits.py": NO_VALIDATION,
    # Prototypes of the first epoch serve in the second, some drawn in each step; new ones come before the third.
    "pcl/pcl_r32_digits.py:stage1": [
        *NO_VALIDATION,
        "model.queue_size=96",
        "model.head.loss.per_images=20000",
        "custom_hooks.0.start=0",
        "custom_hooks.0.interval=2",
    ],
    # A target network that follows by shares which fall in each iteration.
    "byol/byol_r32_digits.py:stage1": [*NO_VALIDATION, "train_dataloader.drop_last=True"],  # no batch of one image
    # Prototypes learn from the second epoch on, where the run is killed; the queue is full then.
    "swav/swav_r32_digits.py:stage1": [
        *NO_VALIDATION,
        "model.algorithm.head.loss.queue_from=0",
        "model.algorithm.head.loss.queue_size=96",
    ],
    # Subclasses and temperatures of the first epoch serve in the second; new ones come before the third.
    "sbcl/sbcl_r32_digits.py:stage1": [
        *NO_VALIDATION,
        "custom_hooks.0.start=0",
        "custom_hooks.0.interval=2",
        "custom_hooks.0.task.min_size=4",
    ],
    # Targets, made and matched before the second epoch, where the run is killed, and matched again before the third.
    "tsc/tsc_r32_digits.py:stage1": [*NO_VALIDATION, "model.head.loss.type=TSCLoss"],
}


def assert_identical(left: Any, right: Any, path: str = "") -> None:
    """Compare nested states bit for bit."""
    assert type(left) is type(right), path
    if isinstance(left, torch.Tensor):
        assert left.dtype == right.dtype, path
        assert torch.equal(left, right), path
    elif isinstance(left, dict):
        assert left.keys() == right.keys(), path
        for key in left:
            assert_identical(left[key], right[key], f"{path}.{key}")
    elif isinstance(left, (list, tuple)):
        assert len(left) == len(right), path
        for index, (one, other) in enumerate(zip(left, right, strict=True)):
            assert_identical(one, other, f"{path}[{index}]")
    else:
        assert left == right, path


@pytest.mark.parametrize("config", CASES)
def test_killed_and_resumed_equals_undisturbed(config: str, tmp_path: Path) -> None:
    arguments: list[str | Path] = [ROOT / "configs" / config.split()[0], "--cfg-options", *COMMON, *CASES[config]]
    alone, killed = tmp_path / "alone", tmp_path / "killed"
    assert run_tool("train.py", *arguments, "--work-dir", alone, logs=tmp_path).exit_code == 0

    victim = start_tool("train.py", *arguments, "--work-dir", killed, logs=tmp_path)
    victim.wait_for_line("Epoch(train) [2][2/")
    os.kill(victim.process.pid or 0, signal.SIGKILL)
    assert victim.wait().exit_code == -signal.SIGKILL
    assert (killed / "last_checkpoint").read_text().endswith("epoch_1.pth")

    resumed = run_tool("train.py", *arguments, "--work-dir", killed, "--resume", logs=tmp_path)
    assert resumed.exit_code == 0, resumed.output
    assert "resumed epoch: 1" in resumed.output
    assert "not divisible" not in resumed.output

    expected, actual = (load_checkpoint(folder / "epoch_3.pth") for folder in (alone, killed))
    for part in ("state_dict", "optimizer", "param_schedulers"):
        assert_identical(actual[part], expected[part], part)
    first = load_checkpoint(alone / "epoch_2.pth")["state_dict"]
    assert not torch.equal(first["head.fc.weight"], expected["state_dict"]["head.fc.weight"])
