"""Warnings about sizes: each where it belongs, with a fix that helps, and none where the papers' sizes fit."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import nn
from torch.utils.data import DataLoader, TensorDataset

from lt_plugins.checks.size_warnings import find_size_warnings
from lt_plugins.datasets.samplers import ClassAwareSampler, ClassBalancedSampler
from lt_plugins.models.structures import ClassDistribution
from lt_plugins.models.structures.labelled_queue import LabelledQueue
from tests.tool_process import ROOT, run_tool

COUNTS = [60, 20, 10, 0, 3]


def warnings(batch: int, queue: int = 0, sampler: Any = None, counts: list[int] = COUNTS, world_size: int = 1) -> list:
    model = nn.Module()
    model.class_distribution = ClassDistribution(len(counts))
    model.class_distribution.set_counts(counts)
    model.queue = LabelledQueue(queue, 2)
    labels = torch.arange(len(counts)).repeat_interleave(torch.tensor(counts))
    loader = DataLoader(TensorDataset(labels), batch_size=batch, sampler=sampler and sampler(labels))
    return list(find_size_warnings(model, loader, world_size))


def test_queue() -> None:
    assert warnings(8, queue=93) == []
    [line] = warnings(8, queue=186)
    assert "queue of 186 keys is larger than the training set of 93 images" in line and "about 2.0 times" in line
    assert line.endswith("model.queue_size=16.")
    assert warnings(16, queue=186, world_size=4)[0].endswith("model.queue_size=64."), "a step must fit"
    for match in re.findall(r"queue_size=(\d+)", line):
        assert warnings(8, queue=int(match)) == []


def test_batch() -> None:
    assert warnings(93) == []
    [line] = warnings(32, world_size=3)
    assert "a step takes 96 images and the training set has 93" in line
    [size] = re.findall(r"batch_size=(\d+)", line)
    assert warnings(int(size), world_size=3) == []


@pytest.mark.parametrize("sampler", [ClassAwareSampler, ClassBalancedSampler])
def test_balanced_batches(sampler: Any) -> None:
    assert warnings(12, sampler=sampler) == []
    [line] = warnings(16, sampler=sampler)
    assert "has 4 images of each class and the smallest class has 3" in line
    assert warnings(16) == []


def test_other_draws_are_not_balanced() -> None:
    for options in ({"power": 0.5}, {"progressive": True}, {"rule": "effective_number"}):
        assert warnings(16, sampler=lambda labels, options=options: ClassBalancedSampler(labels, **options)) == []


def test_sizes_of_the_papers_are_fine() -> None:
    """PaCo on CIFAR-100-LT: 1024 keys, batches of 128; cRT: class-aware batches of 128."""
    counts = [int(500 * 100 ** (-label / 99)) for label in range(100)]
    assert warnings(128, queue=1024, counts=counts) == []
    assert warnings(128, sampler=ClassAwareSampler, counts=counts) == []


def test_printed_before_the_first_step(tmp_path: Path) -> None:
    done = run_tool(
        "train.py", ROOT / "configs/paco/paco_r32_digits.py", "--work-dir", tmp_path / "run", "--no-validate",
        "--cfg-options", "model.queue_size=512", "train_cfg.max_epochs=1", "model.backbone.depth=20", logs=tmp_path,
    )  # fmt: skip
    assert done.exit_code == 0, done.output
    line = "warning: the queue of 512 keys is larger than the training set of 342 images"
    assert done.output.count(line) == 1
    assert done.output.index(line) < done.output.index("Epoch(train)")
