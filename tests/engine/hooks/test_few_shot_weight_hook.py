"""Weights of novel classes: from which images they come, that a resumed run repeats them, and in two processes."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch
from mmengine.dataset import pseudo_collate
from mmengine.runner import Runner

from lt_plugins.datasets.pipelines import replace_pipeline
from lt_plugins.engine.hooks import FewShotWeightHook
from lt_plugins.errors import UserInputError
from lt_plugins.runs.config import load_config
from lt_plugins.runs.quiet_runner import QuietRunner
from tests.gloo import run_gloo
from tests.small_runs import MakeRunner, make_runner  # noqa: F401 (a fixture)
from tests.tool_process import ROOT

SAMPLER = {
    "_delete_": True,
    "type": "EpisodicSampler",
    "num_novel": 1,
    "num_exemplars": 2,
    "novel_queries": 2,
    "base_queries": 4,
    "few_threshold": 5,
}
OPTIONS = {  # class counts 8, 6, 5, 4, 3, 2, 2, 1, 1, 1
    "model.head": {"_delete_": True, "type": "FSLwFHead", "num_classes": 10, "in_channels": 64},
    "train_dataloader.sampler": SAMPLER,
    "train_dataloader.batch_size": 16,
    "custom_hooks": [{"type": "FewShotWeightHook", "num_workers": 0}],
}
BASE = [True] * 3 + [False] * 7


@torch.no_grad()
def expected_weight(runner: Runner) -> torch.Tensor:
    """Weights of the novel classes, from all their images one by one."""
    model = runner.model.eval()
    dataset = replace_pipeline(runner.train_dataloader.dataset, runner.cfg.test_dataloader.dataset.pipeline)
    rows, labels = [], []
    for position in range(len(dataset)):
        sample = model.data_preprocessor(pseudo_collate([dataset[position]]), training=False)
        label = int(sample["data_samples"][0].gt_label)
        if label > 2:
            rows.append(model.head.pre_logits(model.extract_feat(sample["inputs"])))
            labels.append(label)
    model.head.set_novel_weight(torch.cat(rows), torch.tensor(labels))
    return model.head.novel_weight.clone()


def test_weights_come_from_all_images_of_novel_classes(make_runner: MakeRunner) -> None:  # noqa: F811
    runner = make_runner(**OPTIONS)
    runner.train()
    head = runner.model.head
    assert head.is_base.tolist() == BASE
    found = head.novel_weight.clone()
    torch.testing.assert_close(found, expected_weight(runner), rtol=1e-4, atol=1e-5)
    assert found[3:].norm(dim=1).gt(0).all()
    saved = torch.load(f"{runner.work_dir}/epoch_3.pth", weights_only=False)["state_dict"]
    assert torch.equal(saved["head.novel_weight"], found), "they are those of the checkpoint"


def test_a_resumed_run_repeats_them(make_runner: MakeRunner) -> None:  # noqa: F811
    runner = make_runner(**OPTIONS)
    runner.train()
    resumed = make_runner(**OPTIONS, resume=True, load_from=f"{runner.work_dir}/epoch_2.pth")
    resumed.train()
    for name, value in runner.model.state_dict().items():
        assert torch.equal(resumed.model.state_dict()[name], value), f"{name} is another one after the resume"


def test_without_novel_classes_all_weights_are_learned(make_runner: MakeRunner) -> None:  # noqa: F811
    sampler = {**SAMPLER, "few_threshold": 1, "num_exemplars": 1, "novel_queries": 0}
    runner = make_runner(**{**OPTIONS, "train_dataloader.sampler": sampler, "train_dataloader.batch_size": 15})
    runner.train()
    assert runner.model.head.is_base.all()
    assert not runner.model.head.novel_weight.any()


def generate_once(work_dir: Path) -> Runner:
    """Generate by the weights that a run starts with."""
    cfg = load_config(str(ROOT / "configs/ce/ce_r32_digits.py"))
    small = {"train_dataloader.dataset.max_count": 8, "train_dataloader.dataset.imbalance_factor": 8}
    cfg.merge_from_dict(
        {"work_dir": str(work_dir), "log_level": "ERROR", "model.backbone.depth": 20, **small, **OPTIONS}
    )
    cfg.experiment_name = f"{work_dir.name}_{id(cfg)}"
    runner = QuietRunner.from_cfg(cfg)
    runner.model.init_weights()
    assert runner.train_loop.dataloader is runner.train_dataloader
    (hook,) = (hook for hook in runner.hooks if isinstance(hook, FewShotWeightHook))
    hook.before_train(runner)
    hook.after_train_epoch(runner)
    return runner


def generated_on_one_rank(work_dir: Path) -> torch.Tensor:
    head: Any = generate_once(work_dir).model.head
    assert head.is_base.tolist() == BASE
    return head.novel_weight


def test_two_processes_generate_what_one_does(tmp_path: Path) -> None:
    first, second = run_gloo(generated_on_one_rank, tmp_path / "run", folder=tmp_path)
    assert torch.equal(first, second)
    torch.testing.assert_close(first, generated_on_one_rank(tmp_path / "alone"), rtol=1e-4, atol=1e-5)


def test_what_does_not_fit_is_refused(make_runner: MakeRunner) -> None:  # noqa: F811
    for change, message in (
        ({"custom_hooks": []}, r"FSLwFHead needs FewShotWeightHook: add dict\(type='FewShotWeightHook'\)"),
        ({"model.head.type": "CosineClsHead"}, "the head is a CosineClsHead"),
        ({"train_dataloader.sampler": {"_delete_": True, "type": "ClassAwareSampler"}}, "from a ClassAwareSampler"),
        ({"train_dataloader.batch_size": 12}, "batch_size=12 must be a multiple of 8"),
        (
            {f"{loop}_{part}": None for loop in ("val", "test") for part in ("dataloader", "evaluator", "cfg")},
            "FewShotWeightHook needs transforms without augmentation",
        ),
    ):
        with pytest.raises(UserInputError, match=message):
            make_runner(**{**OPTIONS, **change}).train()
    with pytest.raises(UserInputError, match="batch_size=0 must be positive"):
        FewShotWeightHook(batch_size=0)
