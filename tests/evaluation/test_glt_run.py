"""A GLT run from its training to a test of its checkpoint: protocols are named by what the model was trained on."""

from __future__ import annotations

from pathlib import Path

import pytest
from mmengine.config import Config

from lt_plugins.errors import UserInputError
from lt_plugins.evaluation.glt_table import GLTTable
from lt_plugins.runs.quiet_runner import QuietRunner
from tests.miniatures import miniature_cfg
from tests.tool_process import ROOT


@pytest.fixture(scope="module")
def root(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("miniatures")


def make_cfg(spec: str, root: Path, work_dir: Path) -> Config:
    """A config of three steps, on a thin network."""
    cfg = miniature_cfg(ROOT / "configs" / spec, root)
    cfg.train_dataloader.dataset = {"type": "IndexedDataset", "dataset": cfg.train_dataloader.dataset,
                                    "indices": list(range(12))}  # fmt: skip
    cfg.train_cfg.update(max_epochs=1, val_interval=1)
    cfg.work_dir, cfg.experiment_name = str(work_dir), f"{work_dir.parent.name} {work_dir.name}"
    cfg.log_level = "ERROR"
    return cfg


@pytest.mark.parametrize(
    ("variant", "validated", "tested"),
    [("", {"val-glt"}, {"clt", "glt", "gap"}), (":alt", {"val-cbl"}, {"alt"})],
)
def test_protocols_follow_the_checkpoint(
    variant: str, validated: set[str], tested: set[str], root: Path, tmp_path: Path
) -> None:
    spec = f"ce/ce_r32_cifar100-glt.py{variant}"
    cfg = make_cfg(spec, root, tmp_path / "train")
    cfg.default_hooks.checkpoint.save_best = f"{next(iter(validated))}/worst_cell"  # made up before, named all the same
    cfg.default_hooks.checkpoint.rule = "greater"
    cfg.val_evaluator[2].min_images = 1
    runner = QuietRunner.from_cfg(cfg)
    runner.train()
    names = runner.message_hub.log_scalars
    found = {name.split("/")[1] for name in names if name.startswith("val/") and name.endswith("/precision")}
    assert found == validated

    cfg = make_cfg(spec, root, tmp_path / "test")
    cfg.load_from = str(tmp_path / "train" / "epoch_1.pth")
    metrics = QuietRunner.from_cfg(cfg).test()
    assert {name.split("/")[0] for name in metrics if "/" in name} == tested
    (path,) = (tmp_path / "test").rglob("glt_cells.csv")
    assert {*GLTTable.load(path).tests} == tested - {"gap"}


def test_a_set_without_attributes_is_one_line_before_training(root: Path, tmp_path: Path) -> None:
    cfg = make_cfg("ce/ce_r32_cifar100-lt.py", root, tmp_path / "train")
    cfg.val_evaluator = [{"type": "GLTMetric"}]
    with pytest.raises(UserInputError, match="GLTMetric needs the attribute of each test image") as caught:
        QuietRunner.from_cfg(cfg).train()
    assert "\n" not in str(caught.value)
