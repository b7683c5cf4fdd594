"""Page of a GLT run: the numbers of its metric, its log, and the images that environments weigh."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from mmengine.config import Config
from mmpretrain.registry import DATASETS

from lt_plugins.analysis.glt_page import GLTPage, add_trend, predict, weight_rows
from lt_plugins.analysis.inspection import find_pages
from lt_plugins.analysis.trained_model import TrainedModel, build_plain_dataset
from lt_plugins.errors import UserInputError
from lt_plugins.evaluation.glt_metric import GLTMetric
from lt_plugins.models.build import build_model
from lt_plugins.models.losses import EnvironmentRecorder
from lt_plugins.runs.quiet_runner import QuietRunner
from lt_plugins.visualization import FigurePage
from tests.miniatures import miniature_cfg
from tests.tool_process import ROOT
from tests.visualization.test_html import read

CONFIG = ROOT / "configs/ce/ce_r32_cifar100-glt.py"


@pytest.fixture
def cfg(tmp_path: Path) -> Config:
    """The config with environments, on a miniature."""
    cfg = miniature_cfg(CONFIG, tmp_path / "data")
    cfg.model.type = "AuxLossClassifier"
    cfg.model.backbone.depth = 20
    cfg.model.aux_losses = {"environments": {"type": "EnvironmentRecorder"}}
    return cfg


def make_trained(cfg: Config, folder: Path, weights: torch.Tensor | None = None) -> TrainedModel:
    """A model with random weights, as if it was in a checkpoint of a run."""
    torch.manual_seed(0)
    model: Any = build_model(cfg).eval()
    recorder: EnvironmentRecorder = model.aux_losses["environments"]
    if weights is not None:
        recorder.set_num_images(weights.shape[1])
        recorder.set_weights(weights)
    return TrainedModel(model, folder / "epoch_2.pth", 2)


def write_log(folder: Path) -> None:
    """What a run leaves in its folder."""
    start = folder / "20260101_000000" / "vis_data"
    start.mkdir(parents=True)
    rows: list[dict[str, float]] = [{"loss": 1.0, "epoch": 2, "iter": 4, "step": 4}]
    rows += [{"val-glt/accuracy": 10.0 * e, "val-glt/precision": 20.0 * e, "shot/few": 1.0, "step": e} for e in (1, 2)]
    (start / "scalars.json").write_text("".join(json.dumps(row) + "\n" for row in rows))


def make_tester(cfg: Config, trained: TrainedModel, folder: Path) -> QuietRunner:
    """A runner that tests a model."""
    cfg = Config(
        {**cfg.to_dict(), "work_dir": str(folder), "experiment_name": folder.parent.name, "log_level": "ERROR"}
    )
    for key in ("train_cfg", "train_dataloader", "optim_wrapper", "param_scheduler", "auto_scale_lr"):
        cfg[key] = None
    cfg.custom_hooks = []
    runner = QuietRunner.from_cfg(cfg)
    runner.model.load_state_dict(trained.model.state_dict(), strict=False)
    return runner


def test_page_of_a_glt_run(cfg: Config, tmp_path: Path) -> None:
    write_log(tmp_path)
    train = DATASETS.build(cfg.train_dataloader.dataset)
    trained = make_trained(cfg, tmp_path, torch.arange(len(train), dtype=torch.float64)[None])
    found = find_pages({0: cfg})
    assert [page.name for page in found.pages] == ["glt"]
    text = GLTPage({"top": 2}).write(cfg, trained, "ce/x")
    assert all(name in text for name in ("cells.png", "trend.png", "environment_2.png"))
    page = read(tmp_path / "glt_epoch_2" / "index.html").text
    assert "CLT" in page and "GLT" in page

    # The numbers are those of the metric in a test of the same model.
    tested = make_tester(cfg, trained, tmp_path / "test").test()
    metric, dataset = GLTMetric(), build_plain_dataset(cfg, "test")
    metric.dataset_meta = dataset.metainfo
    numbers = metric.table(predict(trained.model, dataset, {"batch_size": 7})).numbers()
    assert {name: tested[name] for name in numbers} == numbers
    assert f"{numbers['test-cbl/accuracy_attribute1']:.2f}" in page


def test_of_a_model_without_environments_or_log(cfg: Config, tmp_path: Path) -> None:
    text = GLTPage().write(cfg, make_trained(cfg, tmp_path), "ce/x", tmp_path / "page")
    page = read(tmp_path / "page" / "index.html").text
    assert "cells.png" in text and "trend.png" not in text and "environment" not in text
    assert "has no training log yet" in page
    assert "the environments are still equal" in page
    write_log(tmp_path / "run")
    (tmp_path / "run/20260101_000000/vis_data/scalars.json").write_text('{"loss": 1, "iter": 1, "step": 1}\n')
    report = FigurePage("", tmp_path / "second")
    add_trend(report, tmp_path / "run")
    assert "no accuracy and precision of GLTMetric" in report.render()


class Gallery:
    """Images of two classes: the pixel says which it is."""

    labels = np.array([0, 1, 0, 0, 0, 0])
    class_names = ["cat", "dog", "cow"]
    grid = (1, 1)
    dataset = [{"inputs": torch.full((3, 2, 2), number, dtype=torch.uint8)} for number in range(6)]

    def class_title(self, label: int) -> str:
        return self.class_names[label]

    def group(self, label: int) -> str | None:
        return None


def test_rows_of_a_class_by_weight() -> None:
    gallery: Any = Gallery()
    weights = torch.tensor([0.1, 0.9, 0.4, 0.0, 0.3, 0.2])
    high, low = weight_rows(gallery, weights, 0, 2)
    assert (high.title, low.title) == ("cat\nhighest weights", "cat\nlowest weights")
    assert [int(image.image[0, 0, 0]) for image in (*high.images, *low.images)] == [2, 4, 0, 3]
    scores = [image.score for image in (*high.images, *low.images)]
    assert scores == pytest.approx([2.0, 1.5, 0.5, 0.0])  # the mean of the class is 0.2
    (only,) = weight_rows(gallery, weights, 1, 2)
    assert [image.score for image in only.images] == [1.0]
    assert [image.score for image in weight_rows(gallery, 0 * weights, 1, 2)[0].images] == [0.0]
    with pytest.raises(UserInputError, match="class cow has no training image to show"):
        weight_rows(gallery, weights, 2, 2)


def test_refuses_what_does_not_fit(cfg: Config, tmp_path: Path) -> None:
    with pytest.raises(UserInputError, match="--top 0 must be 1 or more"):
        GLTPage({"top": 0})
    trained = make_trained(cfg, tmp_path, torch.ones(1, 3))
    with pytest.raises(UserInputError, match="weighs 3 training images, and the training set of the config has"):
        GLTPage().write(cfg, trained, "ce/x", tmp_path / "page")
