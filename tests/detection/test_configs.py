"""Every config of a detector takes a training step from the backbone of a classifier, and is tested."""

from __future__ import annotations

import math
from pathlib import Path

import pytest
import yaml
from mmengine.config import Config

from lt_plugins.checks.config_check import check_config
from lt_plugins.runs.quiet_runner import QuietRunner
from lt_plugins.runs.tables import DETECTION, column_values
from tests.detection.voc import small_cfg

FOLDER = Path(__file__).resolve().parents[2] / "configs" / "detection"
CONFIGS = sorted(FOLDER.glob("*.py"))


@pytest.mark.parametrize("path", CONFIGS, ids=lambda path: path.stem)
def test_one_step_and_test(path: Path, devkit: Path, classifiers: dict[int, Path], tmp_path: Path) -> None:
    depth = Config.fromfile(path).model.backbone.depth
    runner = QuietRunner.from_cfg(small_cfg(path, devkit, tmp_path, str(classifiers[depth])))
    before = {name: parameter.detach().clone() for name, parameter in runner.model.named_parameters()}
    assert all(parameter.requires_grad for parameter in runner.model.parameters()), "it is fine-tuned end to end"
    runner.train()
    assert runner.iter == 1
    assert math.isfinite(runner.message_hub.get_scalar("train/loss").current())
    after = dict(runner.model.named_parameters())
    changed = {name for name in before if not after[name].equal(before[name])}
    assert {name for name in before if name.startswith(("backbone.layer4", "roi_head.shared_head"))} <= changed
    metrics = runner.val_loop.run()
    found = column_values(metrics, DETECTION)
    assert found.keys() == DETECTION.keys() and all(0 <= value <= 100 for value in found.values())


@pytest.mark.parametrize("path", CONFIGS, ids=lambda path: path.stem)
def test_recipe(path: Path) -> None:
    """RGB as in the pre-training, every layer trained with its own statistics over all processes."""
    cfg = Config.fromfile(path)
    check_config(cfg, needs=["train", "val", "test"])
    preprocessor, backbone = cfg.model.data_preprocessor, cfg.model.backbone
    assert (preprocessor.mean, preprocessor.std) == ([123.675, 116.28, 103.53], [58.395, 57.12, 57.375])
    assert preprocessor.bgr_to_rgb
    assert backbone.style == "pytorch"
    assert backbone.frozen_stages == -1
    assert not backbone.norm_eval
    assert backbone.get("init_cfg") is None, "no weights but ours"
    assert backbone.zero_init_residual is False, "as detectron2, if it is trained from scratch"
    if cfg.num_processes:  # a recipe; the shortest schedule takes any batch
        assert cfg.num_processes * cfg.train_dataloader.batch_size == cfg.auto_scale_lr.base_batch_size == 16
    assert cfg.sync_bn == "torch"
    assert cfg.val_evaluator.eval_mode == "11points"
    assert [round(100 * iou) for iou in cfg.val_evaluator.iou_thrs] == list(range(50, 100, 5))
    assert cfg.test_evaluator == cfg.val_evaluator
    assert cfg.param_scheduler[-1].end == cfg.train_cfg.max_iters


def test_protocol_of_the_paper() -> None:
    cfg = Config.fromfile(FOLDER / "faster-rcnn_r50-c4_24k_voc0712.py")
    assert cfg.train_cfg.max_iters == 24000
    assert cfg.optim_wrapper.optimizer.lr == 0.02
    assert (cfg.num_processes, cfg.train_dataloader.batch_size) == (8, 2)
    assert cfg.param_scheduler[1].milestones == [18000, 22000]
    scales = [scale[1] for scale in cfg.train_dataloader.dataset.dataset.datasets[0].pipeline[2].scales]
    assert scales == list(range(480, 801, 32))
    assert [part.ann_file[:7] for part in cfg.train_dataloader.dataset.dataset.datasets] == ["VOC2007", "VOC2012"]
    assert cfg.test_dataloader.dataset.ann_file == "VOC2007/ImageSets/Main/test.txt"
    assert cfg.model.roi_head.shared_head.type == "ResLayerExtraNorm"
    assert (cfg.model.test_cfg.rpn.nms_pre, cfg.model.test_cfg.rpn.max_per_img) == (6000, 1000)


def test_folder_is_described() -> None:
    models = yaml.safe_load((FOLDER / "metafile.yml").read_text())["Models"]
    assert sorted(Path(model["Config"]).name for model in models) == [path.name for path in CONFIGS]
    assert (FOLDER / "README.md").is_file()
