"""Detectors end with exact statistics of their batch norms, as detectron2's PRECISE_BN gives them."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch
from mmengine.config import Config
from torch import Tensor, nn

from lt_plugins.runs.quiet_runner import QuietRunner
from tests.detection.test_configs import CONFIGS
from tests.detection.voc import small_cfg


@pytest.mark.parametrize("path", CONFIGS, ids=lambda path: path.stem)
def test_every_detector_has_it(path: Path) -> None:
    cfg = Config.fromfile(path)
    hook = cfg.default_hooks.precise_bn
    assert hook.type == "FinalPreciseBNHook"
    if cfg.train_cfg.max_iters == 24000:
        assert hook.num_samples / cfg.auto_scale_lr.base_batch_size == 200, "TEST.PRECISE_BN.NUM_ITER of detectron2"


def test_statistics_are_those_of_the_final_weights(devkit: Path, classifiers: dict[int, Path], tmp_path: Path) -> None:
    """Mean over batches of their mean and variance, in backbone and RoI head, by what the layers really see."""
    path = next(path for path in CONFIGS if "200i" in path.name)
    cfg = small_cfg(path, devkit, tmp_path, str(classifiers[18]))
    cfg.train_cfg.max_iters = 2
    cfg.val_cfg = cfg.val_dataloader = cfg.val_evaluator = None
    runner = QuietRunner.from_cfg(cfg)
    layers = {name: runner.model.get_submodule(name) for name in ("backbone.bn1", "roi_head.shared_head.norm")}
    seen: dict[str, list[tuple[Tensor, Tensor]]] = {name: [] for name in layers}

    def record(name: str) -> Any:
        def hook(_: nn.Module, inputs: tuple[Tensor]) -> None:
            variance, mean = torch.var_mean(inputs[0].detach().double(), dim=(0, 2, 3))
            seen[name].append((mean, variance))

        return hook

    for name, layer in layers.items():
        layer.register_forward_pre_hook(record(name))
    runner.train()
    for name, layer in layers.items():
        assert len(seen[name]) == 4, "two steps, and four images in batches of two"
        mean, variance = (torch.stack(values[2:]).mean(dim=0) for values in zip(*seen[name], strict=True))
        torch.testing.assert_close(layer.running_mean.double(), mean, rtol=1e-4, atol=1e-5)
        torch.testing.assert_close(layer.running_var.double(), variance, rtol=1e-4, atol=1e-5)
        assert layer.momentum == 0.1
        assert int(layer.num_batches_tracked) == 2, "it counts steps of the training"
