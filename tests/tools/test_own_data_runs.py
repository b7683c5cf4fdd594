"""--data, --shorten and --stage on the command line, with a method in one stage and one in two."""

from __future__ import annotations

import json
import os
import shutil
import signal
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from lt_plugins.checkpoints.checkpoint import load_checkpoint
from lt_plugins.runs.run_folder import RunFolder
from tests.tool_process import ROOT, run_tool, start_tool

SIZES = {"ant": 12, "bee": 8, "cat": 4, "dog": 1}
SMALL = ["model.backbone.depth=20", "train_dataloader.batch_size=8", "default_hooks.logger.interval=1"]
ONE_STAGE = [*SMALL, "model.queue_size=16", "train_cfg.max_epochs=2", "train_cfg.val_interval=2"]
TWO_STAGES = [*SMALL, "train_cfg.max_epochs=2", "stage2.train_cfg.max_epochs=2"]


@pytest.fixture(scope="module")
def animals(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Class folders of small images, without a split."""
    root = tmp_path_factory.mktemp("animals")
    generator = np.random.default_rng(0)
    for name, size in SIZES.items():
        (root / name).mkdir()
        for number in range(size):
            pixels = generator.integers(0, 256, (32, 32, 3), dtype=np.uint8)
            Image.fromarray(pixels).save(root / name / f"{number}.png")
    return root


def test_a_method_in_one_stage(animals: Path, tmp_path: Path) -> None:
    config, run = ROOT / "configs/lpa/lpa_r32_digits.py", tmp_path / "run"
    overrides = ["--cfg-options", *ONE_STAGE]
    done = run_tool("train.py", config, "--data", animals, "--work-dir", run, *overrides, logs=tmp_path)
    assert done.exit_code == 0, done.output
    line = (
        f"{animals}: no validation part is given, so 20 % of each class is split off (seed 0): 20 training and 5 "
        "validation images; 1 class has a single image, which stays in training, and is not measurable: dog"
    )
    assert done.output.count(line) == 1
    checkpoint = load_checkpoint(run / "epoch_2.pth")
    assert checkpoint["meta"]["run_record"]["data"]["class_counts"] == [10, 6, 3, 1]
    assert checkpoint["meta"]["dataset_meta"]["classes"] == tuple(SIZES)
    assert checkpoint["state_dict"]["head.fc.weight"].shape[0] == 4

    trained = RunFolder(run).predictions()[1]
    assert np.bincount(trained.label, minlength=4).tolist() == [2, 2, 1, 0]
    tested = tmp_path / "tested.json"
    calls: list[list[str | Path]] = [[config, run, "--data", animals, *overrides], [run / config.name, run]]
    for number, spec in enumerate(calls):
        done = run_tool("test.py", *spec, "--out", tested, "--work-dir", tmp_path / f"test{number}", logs=tmp_path)
        assert done.exit_code == 0, done.output
        assert "dog" not in done.output and "may have been trained on" not in done.output
        again = RunFolder(tmp_path / f"test{number}").predictions()[1]
        for name in ("label", "predicted", "confidence"):
            np.testing.assert_array_equal(getattr(again, name), getattr(trained, name))
    done = run_tool("test.py", *calls[0], "split.seed=3", "--work-dir", tmp_path / "other", logs=tmp_path)
    assert done.exit_code == 1
    assert "give the same, as by --cfg-options split.seed=0." in done.error_lines[0]
    shutil.copytree(animals, tmp_path / "more")
    shutil.copy(animals / "ant/0.png", tmp_path / "more/ant/new.png")
    calls[0][3] = tmp_path / "more"
    done = run_tool("test.py", *calls[0], "--work-dir", tmp_path / "other", logs=tmp_path)
    assert done.exit_code == 0, done.output
    assert done.output.count("warning: The images of this dataset have changed since the training") == 1
    assert (
        json.loads(tested.read_text())["shot/accuracy_top1"] == RunFolder(run).log().metrics[-1]["shot/accuracy_top1"]
    )


def test_a_method_in_two_stages_is_killed_and_resumed(animals: Path, tmp_path: Path) -> None:
    spec, run = f"{ROOT}/configs/mislas/mislas_r32_digits.py", tmp_path / "run"
    arguments: list[str | Path] = [spec, "--data", animals, "--work-dir", run]
    overrides = ["--cfg-options", *TWO_STAGES, "split.seed=5"]
    victim = start_tool("train.py", *arguments, *overrides, logs=tmp_path)
    victim.wait_for_line("Epoch(train) [2][")
    os.kill(victim.process.pid or 0, signal.SIGKILL)
    victim.wait()
    done = run_tool("train.py", *arguments, "--resume", *overrides, logs=tmp_path)
    assert done.exit_code == 0, done.output
    lists = set()
    for folder in (run / "stage1", run):
        record = load_checkpoint(folder / "epoch_2.pth")["meta"]["run_record"]
        assert record["data"]["class_counts"] == [10, 6, 3, 1]
        lists.add(record["data"]["list"])
        assert load_checkpoint(folder / "epoch_2.pth")["state_dict"]["head.fc.weight"].shape[0] == 4
    assert len(lists) == 1, "both stages train on the same images"

    refused = run_tool("train.py", *arguments, "--resume", *overrides[:-1], "split.seed=6", logs=tmp_path)
    assert refused.exit_code == 1
    assert "train_dataloader.dataset.seed 5 -> 6" in refused.error_lines[0]

    for stage, head in (("1", "LinearHead"), ("2", "LWSClsHead")):
        done = run_tool("test.py", spec, run, "--data", animals, "--stage", stage, *overrides, logs=tmp_path)
        assert done.exit_code == 0, done.output
        folder = run / "stage1" if stage == "1" else run
        assert RunFolder(folder).setting("model.head.type", str) == head
        page = tmp_path / f"report{stage}.html"
        done = run_tool("report.py", run, "--stage", stage, "-o", page, logs=tmp_path)
        assert done.exit_code == 0, done.output
        assert head in page.read_text()


def test_the_folder_of_a_run(animals: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Named by config, variants, data and --shorten, below the current folder."""
    monkeypatch.chdir(tmp_path)
    spec = f"{ROOT}/configs/mislas/mislas_r32_digits.py:stage1"
    done = run_tool(
        "train.py", spec, "--data", animals, "--shorten", "2", "--no-validate", "--cfg-options", *SMALL,
        "train_cfg.max_epochs=20", logs=tmp_path,
    )  # fmt: skip
    assert done.exit_code == 0, done.output
    run = RunFolder(tmp_path / f"work_dirs/mislas/mislas_r32_digits+stage1@{animals.name}+short2")
    assert run.setting("train_cfg.max_epochs", int) == 10
    assert load_checkpoint(run.path / "epoch_10.pth")["meta"]["run_record"]["schedule"] == "short"


def test_a_bad_image_stops_the_run_or_is_left_out(animals: Path, tmp_path: Path) -> None:
    shutil.copytree(animals, tmp_path / "data")
    bad = tmp_path / "data/ant/5.png"
    bad.write_bytes(bad.read_bytes()[:100])
    config: list[str | Path] = [ROOT / "configs/ce/ce_r32_digits.py"]
    data: list[str | Path] = ["--data", tmp_path / "data", "--work-dir", tmp_path / "run"]
    options = [
        "--cfg-options", "model.backbone.depth=20", "train_cfg.max_epochs=1", "train_dataloader.batch_size=8",
        "split.seed=1",
    ]  # fmt: skip
    done = run_tool("train.py", *config, *data, *options, logs=tmp_path)
    assert done.exit_code == 1
    [line] = done.error_lines
    assert f"cannot read image {bad} (" in line
    assert "train, test and sweep leave them out with --skip-bad" in line
    shutil.rmtree(tmp_path / "run")
    for tool, checkpoint in {"train.py": [], "test.py": [tmp_path / "run"]}.items():
        done = run_tool(tool, *config, *checkpoint, *data, "--skip-bad", *options, logs=tmp_path)
        assert done.exit_code == 0, done.output
        assert "1 of 25 images cannot be read and are left out: ant/5.png (" in done.output
        assert "may have been trained on" not in done.output
    record = load_checkpoint(tmp_path / "run/epoch_1.pth")["meta"]["run_record"]
    assert record["data"]["class_counts"] == [9, 6, 3, 1]
