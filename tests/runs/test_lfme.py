"""Learning from multiple experts in four stages: what its hook has measured, killed and resumed, in two processes."""

from __future__ import annotations

import os
import shutil
import signal
from pathlib import Path
from typing import Any

import pytest
import torch
from mmengine.config import Config
from torch import Tensor

from lt_plugins.checkpoints.checkpoint import load_checkpoint
from lt_plugins.registry import DATASETS, MODELS
from lt_plugins.runs.config import load_stages
from tests.engine.test_distributed import free_port
from tests.engine.test_resume import assert_identical
from tests.miniatures import config_nodes
from tests.models.losses.test_lfme_loss import slow_weight
from tests.tool_process import ROOT, run_ranks, run_tool, start_tool

CONFIG = f"""
_base_ = [{str(ROOT / "configs/ce/ce_r32_digits.py")!r}, {str(ROOT / "configs/_base_/stages/lfme.py")!r}]
model = dict(backbone=dict(depth=20), head=dict(type="ClassSubsetHead"))
train_dataloader = dict(batch_size=12, dataset=dict(max_count=24, imbalance_factor=6))
hold_out = dict(val_fraction=0.4)
class_subset = dict(many_threshold=9, few_threshold=5)
param_scheduler = [dict(type="CosineAnnealingLR", by_epoch=True, begin=0, end=3, T_max=3)]
train_cfg = dict(max_epochs=3, val_interval=99)
default_hooks = dict(logger=dict(interval=1), checkpoint=dict(max_keep_ckpts=-1))
"""
GROUPS = [[0, 1, 2], [3, 4, 5], [6, 7, 8, 9]]


@pytest.fixture(scope="module")
def finished(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with the config and its undisturbed run, ``alone``."""
    folder = tmp_path_factory.mktemp("lfme")
    (folder / "config.py").write_text(CONFIG)
    result = run_tool("train.py", folder / "config.py", "--work-dir", folder / "alone", logs=folder)
    assert result.exit_code == 0, result.output
    assert result.output.count("LFME learns from the labels of the") == 1
    return folder


def classify(cfg: Config, path: Path, dataset: Any, among: list[int] | None = None) -> tuple[Tensor, Tensor]:
    """Probabilities and labels of all images, one at a time, of a network that was saved."""
    model: Any = MODELS.build(dict(cfg.model, teachers=[]) if "teachers" in cfg.model else cfg.model)
    state = load_checkpoint(path)["state_dict"]
    model.load_state_dict({key: value for key, value in state.items() if key != "class_distribution.counts"})
    preprocessor = MODELS.build(cfg.data_preprocessor)
    model.eval()
    logits, labels = [], []
    for index in range(len(dataset)):
        sample = dataset[index]
        batch = preprocessor({"inputs": [sample["inputs"]], "data_samples": [sample["data_samples"]]}, training=False)
        with torch.no_grad():
            logits.append(model.head(model.extract_feat(batch["inputs"]))[0])
        labels.append(int(sample["data_samples"].gt_label))
    chosen = torch.stack(logits)
    if among is not None:
        chosen = torch.stack(
            [row.masked_fill(~torch.isin(torch.arange(10), torch.tensor(among)), -1e9) for row in chosen]
        )
    return chosen.softmax(dim=1), torch.tensor(labels)


def class_accuracy(scores: Tensor, labels: Tensor, classes: list[int]) -> float:
    """Mean over classes."""
    shares = [(scores[labels == c].argmax(dim=1) == c).float().mean().item() for c in classes]
    return sum(shares) / len(shares)


def check_measures(folder: Path, config: Path, epochs: int = 3) -> None:
    """All that the hook has written, from the checkpoints of the run."""
    stages = load_stages(str(config))
    train, val = (DATASETS.build(stages[-1][f"{split}_dataloader"].dataset) for split in ("train", "val"))
    # The training images without augmentation.
    train.pipeline = val.pipeline.transforms
    experts = [(cfg, folder / f"stage{number}/epoch_3.pth") for number, cfg in enumerate(stages[:3], start=1)]
    state = load_checkpoint(folder / "epoch_1.pth")["state_dict"]
    reached, confidence = [], torch.zeros(len(train))
    for (cfg, path), classes in zip(experts, GROUPS, strict=True):
        reached.append(class_accuracy(*classify(cfg, path, val, classes), classes))
        scores, labels = classify(cfg, path, train, classes)
        own = torch.isin(labels, torch.tensor(classes))
        confidence[own] = scores.gather(1, labels[:, None])[own, 0]
    assert state["distill.expert_accuracy"].tolist() == pytest.approx(reached, rel=1e-6)
    counts = [int((labels == c).sum()) for c in range(10)]
    means = [sum(counts[c] for c in classes) / len(classes) for classes in GROUPS]
    expected = []
    for value, label in zip(confidence.tolist(), labels.tolist(), strict=True):
        same = confidence[labels == label]
        floor = min(means) / next(mean for mean, classes in zip(means, GROUPS, strict=True) if label in classes)
        share = float((value - same.min()) / (same.max() - same.min())) if len(same) > 1 else 1.0
        expected.append(floor + (1 - floor) * share)
    torch.testing.assert_close(state["curriculum.start"], torch.tensor(expected), rtol=1e-4, atol=1e-5)
    for epoch in range(1, epochs + 1):
        path = folder / f"epoch_{epoch}.pth"
        answers = classify(stages[-1], path, val)
        weights = [
            slow_weight(class_accuracy(*answers, classes), expert, 0.3)
            for classes, expert in zip(GROUPS, reached, strict=True)
        ]
        assert load_checkpoint(path)["state_dict"]["distill.weights"].tolist() == pytest.approx(weights, abs=1e-6)


def test_what_the_hook_has_measured(finished: Path) -> None:
    check_measures(finished / "alone", finished / "config.py")


def begin_student(finished: Path, run: Path) -> None:
    """A folder of a run whose experts have been trained."""
    for stage in ("stage1", "stage2", "stage3"):
        shutil.copytree(finished / "alone" / stage, run / stage)
        (run / stage / "last_checkpoint").write_text(str(run / stage / "epoch_3.pth"))


def test_killed_and_resumed_equals_undisturbed(finished: Path) -> None:
    """The weights of experts and images come from the checkpoint."""
    killed = finished / "killed"
    begin_student(finished, killed)
    arguments = (finished / "config.py", "--work-dir", killed, "--resume")
    victim = start_tool("train.py", *arguments, logs=finished)
    victim.wait_for_line("Epoch(train) [3][1/")
    os.kill(victim.process.pid or 0, signal.SIGKILL)
    victim.wait()
    assert (killed / "last_checkpoint").read_text().endswith("killed/epoch_2.pth")
    resumed = run_tool("train.py", *arguments, logs=finished)
    assert resumed.exit_code == 0, resumed.output
    assert "LFME learns from the labels" not in resumed.output, "it was measured before"
    expected, actual = (load_checkpoint(finished / name / "epoch_3.pth") for name in ("alone", "killed"))
    for part in ("state_dict", "optimizer", "param_schedulers"):
        assert_identical(actual[part], expected[part], part)


def test_two_processes_measure_what_one_does(finished: Path, tmp_path: Path) -> None:
    run, config = tmp_path / "run", tmp_path / "config.py"
    begin_student(finished, run)
    config.write_text(f"{CONFIG}\nstage4 = dict(train_cfg=dict(max_epochs=2))\n")
    options: list[str | Path] = ["--work-dir", run, "--resume", "--accept-changes"]
    ranks = run_ranks("train.py", config, *options, logs=tmp_path, world_size=2, port=free_port())
    for rank in ranks:
        assert rank.exit_code == 0, rank.output
    check_measures(run, config, epochs=2)


def test_testing_needs_no_expert(finished: Path, tmp_path: Path) -> None:
    (tmp_path / "epoch_3.pth").write_bytes((finished / "alone/epoch_3.pth").read_bytes())
    tested = run_tool("test.py", finished / "config.py", tmp_path / "epoch_3.pth", logs=tmp_path)
    assert tested.exit_code == 0, tested.output


def test_validation_on_the_test_set_is_refused(finished: Path, tmp_path: Path) -> None:
    """Before the experts are trained, too."""
    config = tmp_path / "config.py"
    config.write_text(f"{CONFIG}\nhold_out = None\n")
    [line] = run_tool("train.py", config, "--work-dir", tmp_path / "run", logs=tmp_path).error_lines
    assert "LFMEHook learns from validation images" in line
    assert "hold_out = dict(val_fraction=0.1, seed=0)" in line
    assert not (tmp_path / "run/stage1").exists()


def test_an_expert_without_images_is_refused(tmp_path: Path) -> None:
    config = tmp_path / "config.py"
    config.write_text(f"{CONFIG}\nclass_subset['many_threshold'] = 200\n")
    [line] = run_tool("train.py", config, "--work-dir", tmp_path / "run", logs=tmp_path).error_lines
    assert "no class is many-shot by many_threshold=200" in line


def test_networks_of_the_stages() -> None:
    """Experts have a softmax over their classes, the student one over all; each begins from scratch."""
    stages = load_stages(str(ROOT / "configs/lfme/lfme_r32_cifar100-lt.py"), needs=["train", "val", "test"])
    assert [cfg.model.head.type for cfg in stages] == [*["ClassSubsetHead"] * 3, "LinearHead"]
    assert [cfg.model.head.num_classes for cfg in stages] == [100] * 4
    assert [bool(cfg.get("from_scratch")) for cfg in stages] == [False, True, True, True]
    kept = [node.keep for cfg in stages for node in config_nodes(cfg.train_dataloader) if "keep" in node]
    assert kept == ["many", "medium", "few"]
