"""Two gloo processes with batch B train as one process with batch 2B does."""

from __future__ import annotations

import json
import os
import socket
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from lt_plugins.checkpoints.checkpoint import load_checkpoint
from lt_plugins.runs.config import read_stages
from tests.tool_process import ROOT, run_ranks, run_tool

BATCH = 12
STEPS = 2


def write_config(base: str, folder: Path, world_size: int) -> Path:
    """A config that takes two steps in float64 on fixed views, with synchronised batch statistics."""
    stages = read_stages(str(ROOT / "configs" / base))
    cfg = stages["oltr" in base]  # its second stage, from random weights
    train = cfg.train_dataloader
    views: list[dict[str, Any]] = [{"type": "LoadImage"}, {"type": "PackInputs"}]
    if cfg.model.type not in ("AuxLossClassifier", "ImageClassifier", "LFFClassifier", "OLTRClassifier"):
        num_views = cfg.model.get("num_views", 2)
        views.insert(
            1, {"type": "MultiView", "num_views": num_views, "transforms": [[{"type": "Resize", "scale": 32}]]}
        )
        cfg.resident = False  # Resize has no batched form
    if cfg.model.type == "MomentumClassifier":
        cfg.model.queue_size = 2 * BATCH
    train.dataset.dataset.pipeline = views
    indices = list(range(0, 340, 7))[: 2 * BATCH * STEPS]
    train.dataset = {"type": "IndexedDataset", "dataset": train.dataset, "indices": indices}
    train.batch_size = 2 * BATCH // world_size
    cfg.model.backbone.depth = 20
    if cfg.model.get("train_cfg"):  # each process mixes images of its own
        del cfg.model["train_cfg"]
        cfg.model.head.loss.use_soft = False
    if cfg.model.head.type == "LCRegHead":
        cfg.model.head.aug_loss = {"source": "assigned"}
    cfg.train_cfg.max_epochs = 1
    cfg.merge_from_dict(dict.fromkeys(["val_cfg", "val_dataloader", "val_evaluator"]))
    cfg.default_hooks.preflight.allow_empty_classes = True
    if cfg.model.type == "OLTRClassifier":
        cfg.param_scheduler = None
        cfg.custom_hooks[0].num_workers = 0
    if cfg.model.head.get("loss", {}).get("type") == "SBCLLoss":
        cfg.custom_hooks[0].update(start=0, num_workers=0)
        cfg.custom_hooks[0].task.min_size = 4
    if cfg.model.get("aux_losses", {}).get("attribute"):
        cfg.custom_hooks[0].update(start=0, num_workers=0)
    if cfg.model.type == "AuxLossClassifier":
        cfg.model.aux_losses.center["weights"] = 0.001
        cfg.custom_hooks[0].milestones = [0]
    cfg.custom_hooks.append({"type": "Float64Hook"})
    cfg.custom_imports.imports.append("tests.engine.float64_run")
    path = folder / f"{world_size}.py"
    cfg.dump(path)
    return path


def free_port() -> int:
    with socket.socket() as server:
        server.bind(("127.0.0.1", 0))
        return server.getsockname()[1]


def losses(folder: Path, rank: int) -> list[dict[str, float]]:
    return [json.loads(line) for line in (folder / f"losses_{rank}.json").read_text().splitlines()]


def assert_agree(one: Path, two: Path) -> None:
    """Losses, weights, statistics and the optimiser's momentum, which is made of the gradients of both steps."""
    for single, first, second in zip(losses(one, 0), losses(two, 0), losses(two, 1), strict=True):
        for name, value in single.items():
            np.testing.assert_allclose((first[name] + second[name]) / 2, value, rtol=1e-9, err_msg=name)
    expected, actual = (load_tensors(folder / "epoch_1.pth") for folder in (one, two))
    assert actual.keys() == expected.keys()
    for name, tensor in expected.items():
        assert actual[name].shape == tensor.shape, name
        if not tensor.numel():
            continue
        difference = (actual[name].double() - tensor.double()).abs().max()
        assert difference <= 1e-9 * tensor.double().abs().max() + 1e-12, f"{name}: {difference}"


def load_tensors(path: Path) -> dict[str, torch.Tensor]:
    """Weights, buffers and momenta of a checkpoint."""
    checkpoint = load_checkpoint(path)
    tensors: dict[str, torch.Tensor] = checkpoint["state_dict"]
    if len(tensors.get("queue.features", ())):  # two processes enqueue in another order, which no loss can see
        order = tensors["queue.features"][:, 0].argsort()
        tensors |= {name: tensors[name][order] for name in ("queue.features", "queue.labels", "queue.samples")}
    for index, state in checkpoint["optimizer"]["state"].items():
        tensors[f"momentum {index}"] = state["momentum_buffer"]
    return tensors


@pytest.mark.parametrize(
    "base",
    [
        "bcl/bcl_r32_digits.py",
        "ce/ce_r32_digits.py",
        "ifl/ifl_r32_digits.py",
        "isda/isda_r32_digits.py",
        "lcreg/lcreg_r32_digits.py:stage1",
        "lff/lff_r32_digits.py",
        "oltr/oltr_r32_digits.py",
        "proco/proco_r32_digits.py",
        "sam/sam_r32_digits.py",
        "sam/focal-sam_r32_digits.py",
        "sbcl/sbcl_r32_digits.py:stage1",
        "scl/scl_r32_digits.py:attributes,stage1",
    ],
)
def test_by_rank(base: str, tmp_path: Path) -> None:
    one, two = tmp_path / "one", tmp_path / "two"
    single = run_tool("train.py", write_config(base, tmp_path, 1), "--work-dir", one, logs=tmp_path)
    assert single.exit_code == 0, single.output
    config = write_config(base, tmp_path, 2)
    for rank in run_ranks("train.py", config, "--work-dir", two, logs=tmp_path, world_size=2, port=free_port()):
        assert rank.exit_code == 0, rank.output
    assert_agree(one, two)


def launch(script: str, *arguments: str | Path) -> subprocess.CompletedProcess[str]:
    """Run one of the shell scripts, from a folder where nothing lies."""
    env = os.environ | {"PYTHON": sys.executable, "OMP_NUM_THREADS": "1"}
    command = [str(ROOT / "tools" / script), *map(str, arguments)]
    return subprocess.run(command, env=env, capture_output=True, text=True, timeout=300, cwd="/")


def test_paco_by_dist_train(tmp_path: Path) -> None:
    base = "paco/paco_r32_digits.py"
    one, two = tmp_path / "one", tmp_path / "two words"
    single = run_tool("train.py", write_config(base, tmp_path, 1), "--work-dir", one, logs=tmp_path)
    assert single.exit_code == 0, single.output
    done = launch("dist_train.sh", write_config(base, tmp_path, 2), "2", "--work-dir", two)
    assert done.returncode == 0, done.stderr
    assert_agree(one, two)


@pytest.mark.parametrize("failing", ["every rank", "the second rank"])
def test_failure_is_said_once(failing: str, tmp_path: Path) -> None:
    config = write_config("ce/ce_r32_digits.py", tmp_path, 2)
    options, line = ["model.head.num_classes=11"], "model.head.num_classes=11"
    if failing == "the second rank":
        options, line = ["custom_hooks.0.fail_on_rank=1"], "rank 1 fails on purpose"
    arguments = ["--work-dir", str(tmp_path), "--cfg-options", *options]
    ranks = run_ranks("train.py", config, *arguments, logs=tmp_path / "logs", world_size=2, port=free_port())
    assert [rank.exit_code for rank in ranks] == [1, 1]
    lines = [text for rank in ranks for text in rank.error_lines]
    assert len(lines) == 1
    assert line in lines[0]
    assert not any("Traceback" in rank.output for rank in ranks)


@pytest.mark.parametrize("script", ["dist_train.sh", "dist_test.sh", "slurm_train.sh"])
def test_scripts_say_how_they_are_used(script: str) -> None:
    done = launch(script)
    assert done.returncode == 1
    assert f"tools/{script} " in done.stderr
