"""Probe of a config: what it counts, and that probes side by side wait for each other."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
from mmengine.config import Config

from lt_plugins.errors import UserInputError
from lt_plugins.runs.config import load_stages
from lt_plugins.runs.probe import Meeting, count_passes, measure_side_by_side, probe
from tests.tool_process import ROOT

SMALL = {
    "train_dataloader.dataset.max_count": 12,
    "train_dataloader.dataset.imbalance_factor": 6,
    "train_dataloader.batch_size": 16,
    "val_dataloader.dataset.indices": 20,
    "model.backbone.depth": 20,
}


def test_all_stages_are_measured(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Config, "pretty_text", "")  # formatted for seconds
    spec = str(ROOT / "configs/lcreg/lcreg_r32_digits.py")
    stages = load_stages(spec, {**SMALL, "train_cfg.max_epochs": 30, "train_cfg.val_interval": 7}, ["train", "val"])
    expected = [(stage.train_cfg.max_epochs, stage.train_cfg.val_interval) for stage in stages]
    speeds = probe(stages, steps=2, meeting=Meeting(None, 1), who="0")
    assert [speed.batch_size for speed in speeds] == [16, 16]
    assert [speed.epochs for speed in speeds] == [epochs for epochs, _ in expected]
    assert [speed.evaluations for speed in speeds] == [-(-epochs // interval) for epochs, interval in expected]
    assert speeds[0].steps == 4, "53 images"
    assert all(speed.start_s > 0 and speed.step_s > 0 and speed.val_s > 0 and speed.pass_s == 0 for speed in speeds)


def test_feature_passes_are_counted() -> None:
    hooks = [{"type": "ReclusterHook", "start": 10, "interval": 10}, {"type": "TemperatureHook"}]
    assert count_passes(Config({"custom_hooks": hooks, "train_cfg": {"max_epochs": 50}})) == 4
    assert count_passes(Config({"custom_hooks": [], "train_cfg": {"max_epochs": 50}})) == 0


def test_probes_meet(tmp_path: Path) -> None:
    meeting = Meeting(tmp_path, 2)

    def come(who: str) -> bool:
        meeting.arrive("warm", who)
        meeting.wait("warm")
        return meeting.is_complete("warm")

    with ThreadPoolExecutor(2) as executor:
        assert list(executor.map(come, "ab")) == [True, True]
    meeting.arrive("measured", "a")
    assert not meeting.is_complete("measured")
    assert Meeting(None, 1).is_complete("anywhere")


def test_a_config_that_fails_keeps_no_other_waiting(tmp_path: Path) -> None:
    config = tmp_path / "ce_r32_digits.py"
    config.write_text(
        f"_base_ = {str(ROOT / 'configs/ce/ce_r32_digits.py')!r}\nmodel = dict(head=dict(loss=dict(x=1)))\n"
    )
    found, failed = measure_side_by_side({str(config): []}, jobs=2, steps=1, shorten=1, threads=1)
    assert found == {} and "CrossEntropyLoss" in failed[str(config)]


def test_a_training_that_is_too_short_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Config, "pretty_text", "")
    stages = load_stages(
        str(ROOT / "configs/ce/ce_r32_digits.py"), {**SMALL, "train_cfg.max_epochs": 1}, ["train", "val"]
    )
    with pytest.raises(UserInputError, match="ended before 50 steps; lower --steps"):
        probe(stages, steps=47, meeting=Meeting(None, 1), who="0")
