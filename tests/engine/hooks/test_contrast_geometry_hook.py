"""The hook logs what is measured beside the metrics, by the validated weights, and leaves the training alone."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from mmengine.hooks import EMAHook

from lt_plugins.analysis.contrast_page import logged_points
from lt_plugins.checkpoints.checkpoint import load_checkpoint
from lt_plugins.engine.contrast_geometry import measure_geometry
from lt_plugins.engine.hooks import ContrastGeometryHook
from lt_plugins.errors import UserInputError
from lt_plugins.evaluation.geometry_names import GROUPS, is_percentage, scalar_name
from lt_plugins.runs.run_folder import RunFolder
from tests.small_runs import MakeRunner

SETTINGS: dict[str, Any] = {
    "train_cfg.max_epochs": 2,
    "train_cfg.val_interval": 1,
    "val_dataloader.dataset.indices": 40,
    # Of the 8 images of the largest class down to one.
    "val_evaluator.0.many_threshold": 5,
    "val_evaluator.0.few_threshold": 2,
    "test_evaluator.0.many_threshold": 5,
    "test_evaluator.0.few_threshold": 2,
}
HOOK = {"max_images": 30, "seed": 4}


def test_numbers_are_logged_and_training_is_the_same(make_runner: MakeRunner, tmp_path: Any) -> None:
    make_runner(**SETTINGS, work_dir=str(tmp_path / "plain")).train()
    runner = make_runner(
        **SETTINGS,
        **{"default_hooks.contrast_geometry": {"type": "ContrastGeometryHook", **HOOK}},
        work_dir=str(tmp_path / "measured"),
    )
    runner.train()
    for epoch in (1, 2):
        plain, measured = (load_checkpoint(tmp_path / name / f"epoch_{epoch}.pth") for name in ("plain", "measured"))
        for part in ("state_dict", "optimizer"):
            torch.testing.assert_close(measured[part], plain[part], rtol=0, atol=0)

    log = RunFolder(tmp_path / "measured").log()
    assert [row["step"] for row in log.metrics] == [1, 2]
    assert all({"shot/accuracy_top1", "geometry/alignment", "geometry/within_few"} <= row.keys() for row in log.metrics)
    first, last = logged_points(log)
    assert (first[0], last[0]) == (1, 2) and first[1] != last[1]
    loader = runner.val_dataloader
    found = measure_geometry(runner.model.eval(), loader.dataset, runner.cfg, batch_size=loader.batch_size, **HOOK)
    assert {*found.numbers["within"]} == {*GROUPS}
    for quantity, values in found.numbers.items():
        assert last[1][quantity] == pytest.approx(values, abs=1e-4)
    assert logged_points(RunFolder(tmp_path / "plain").log()) == []


def test_averaged_weights_are_measured_where_they_are_validated(make_runner: MakeRunner) -> None:
    runner = make_runner(**SETTINGS, **{"default_hooks.contrast_geometry": {"type": "ContrastGeometryHook", **HOOK}})
    average = EMAHook(momentum=0.05)
    runner.register_hook(average)
    runner.train()
    (_, last) = logged_points(RunFolder(runner.work_dir).log())[-1]
    validated = average.ema_model.module.eval()
    for model, is_validated in ((validated, True), (runner.model.eval(), False)):
        found = measure_geometry(model, runner.val_dataloader.dataset, runner.cfg, batch_size=64, **HOOK)
        same = last["uniformity"]["all"] == pytest.approx(found.numbers["uniformity"]["all"], abs=1e-4)
        assert same == is_validated


def test_names_of_the_numbers() -> None:
    assert (scalar_name("within", "all"), scalar_name("within", "few")) == ("geometry/within", "geometry/within_few")
    assert [is_percentage(name) for name in ("geometry/within", "shot/few")] == [False, True]


def test_no_image() -> None:
    with pytest.raises(UserInputError, match="max_images=0 of ContrastGeometryHook must be positive"):
        ContrastGeometryHook(max_images=0)
