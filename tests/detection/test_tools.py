"""The command lines of detection: training and its resume, the table, prediction, and one line for each mistake."""

from __future__ import annotations

import hashlib
import json
from pathlib import Path
from typing import Any

import pytest
import torch
from PIL import Image

from lt_plugins.checkpoints.checkpoint import load_checkpoint
from tests.detection.voc import make_voc, small_cfg, write_annotation
from tests.engine.test_distributed import free_port
from tests.engine.test_resume import assert_identical
from tests.tool_process import ROOT, expect_errors, run_ranks, run_tool, start_tool

CONFIG = "configs/detection/faster-rcnn_r18-c4_200i_voc07-part.py"


@pytest.fixture(scope="module")
def config(devkit: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The config for a CPU on the miniature: four iterations, evaluated and saved after two and four."""
    folder = tmp_path_factory.mktemp("config")
    cfg = small_cfg(CONFIG, devkit, folder)
    cfg.train_cfg.update(max_iters=4, val_interval=2)
    cfg.default_hooks.checkpoint.update(interval=2, save_last=True)
    cfg.param_scheduler = None
    cfg.log_level = "INFO"
    cfg.custom_hooks[0].checkpoint = None
    for key in ("work_dir", "experiment_name"):
        cfg.pop(key)
    cfg.dump(folder / "small.py")
    return folder / "small.py"


@pytest.fixture(scope="module")
def trained(config: Path, classifiers: dict[int, Path], tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The work dir of a run that nothing interrupted."""
    folder = tmp_path_factory.mktemp("trained")
    done = run_tool("train.py", config, "--backbone", classifiers[18], "--work-dir", folder / "run", logs=folder)
    assert done.exit_code == 0, done.output
    assert "Backbone: 120 of 120 tensors matched in" in done.output
    assert "3 images, 5 boxes of 20 classes, 0 of them ignored" in done.output
    assert "schedule  4 iterations, batch 2 x 1" in done.output
    return folder / "run"


def test_a_resumed_run_ends_with_the_same_weights(
    trained: Path, config: Path, classifiers: dict[int, Path], tmp_path: Path
) -> None:
    arguments: list[str | Path] = ["--backbone", classifiers[18], "--work-dir", tmp_path / "run"]
    half = ["--cfg-options", "train_cfg.max_iters=2", "scale_schedule=False"]
    first = run_tool("train.py", config, *arguments, *half, logs=tmp_path)
    assert first.exit_code == 0, first.output
    workers = ["--cfg-options", "train_dataloader.num_workers=2"]  # which change nothing
    second = run_tool("train.py", config, *arguments, "--resume", *workers, logs=tmp_path)
    assert second.exit_code == 0, second.output
    assert "Backbone: as in" in second.output
    whole, resumed = (load_checkpoint(folder / "iter_4.pth") for folder in (trained, tmp_path / "run"))
    assert whole["meta"]["iter"] == resumed["meta"]["iter"] == 4
    assert_identical(resumed["state_dict"], whole["state_dict"])
    assert_identical(resumed["optimizer"], whole["optimizer"])


def test_two_processes_train_one_detector(config: Path, classifiers: dict[int, Path], tmp_path: Path) -> None:
    """On the CPU, by gloo."""
    arguments: list[str | Path] = [config, "--backbone", classifiers[18], "--work-dir", tmp_path / "run"]
    options = ["--cfg-options", "train_cfg.max_iters=2", "sync_bn=None"]
    ranks = run_ranks("train.py", *arguments, *options, logs=tmp_path / "logs", world_size=2, port=free_port())
    assert [rank.exit_code for rank in ranks] == [0, 0], ranks[0].output
    assert "schedule  2 iterations, batch 2 x 2" in ranks[0].output
    assert "pascal_voc/mAP" in ranks[0].output


@pytest.mark.skipif(torch.cuda.is_available(), reason="with GPUs it is possible")
def test_synchronised_batch_norm_needs_gpus(config: Path, classifiers: dict[int, Path], tmp_path: Path) -> None:
    arguments: list[str | Path] = [config, "--backbone", classifiers[18], "--work-dir", tmp_path / "run"]
    ranks = run_ranks("train.py", *arguments, logs=tmp_path / "logs", world_size=2, port=free_port())
    assert [rank.exit_code for rank in ranks] == [1, 1]
    lines = [line for rank in ranks for line in rank.error_lines]
    assert lines and all("sync_bn='torch'" in line and "or set --cfg-options sync_bn=None" in line for line in lines)


def test_test_tool(trained: Path, config: Path, tmp_path: Path) -> None:
    out = tmp_path / "metrics.json"
    done = run_tool(
        "test.py", config, trained / "iter_4.pth", "--work-dir", tmp_path, "--out", out, logs=tmp_path / "logs"
    )
    assert done.exit_code == 0, done.output
    assert {"pascal_voc/mAP", "pascal_voc/AP50", "pascal_voc/AP75"} <= json.loads(out.read_text()).keys()


def test_transfer_table_goes_on(config: Path, classifiers: dict[int, Path], tmp_path: Path) -> None:
    out = tmp_path / "table"
    options = ["--work-dir", str(out), "--cfg-options", "train_cfg.max_iters=2"]
    first = run_tool("sweep.py", config, "--backbones", "random", *options, logs=tmp_path)
    assert first.exit_code == 0, first.output
    assert "run 1 of 1: small_random, seed 0\n" in first.output
    log = next((out / "small_random_seed0").glob("*/*.log")).read_text()
    backbones = ["--backbones", "random", f"ce={classifiers[18]}"]
    second = run_tool("sweep.py", config, *backbones, "--record", tmp_path / "results", *options, logs=tmp_path)
    assert second.exit_code == 0, second.output
    assert "ce: 120 of 120 tensors matched" in second.output
    assert "run 1 of 2: small_random, seed 0, finished before" in second.output
    assert [path.read_text() for path in (out / "small_random_seed0").glob("*/*.log")] == [log], "it was not run again"
    assert "120 of 120 tensors matched" in next((out / "small_ce_seed0").glob("*/*.log")).read_text()
    table = (out / "table.md").read_text()
    assert table in second.log.read_text()
    result = json.loads((tmp_path / "results" / "small_ce_seed0.json").read_text())
    digest = hashlib.sha256(classifiers[18].read_bytes()).hexdigest()
    assert result["backbone"] == {"name": "ce", "checkpoint": str(classifiers[18]), "sha256": digest}
    assert (result["iterations"], result["schedule"], result["starts"]) == (2, "short", 1)
    assert result["metrics"].keys() == {"AP50", "AP", "AP75"} and result["loss"].keys() == {"first", "last"}
    assert f"--backbone {classifiers[18]} --cfg-options randomness.seed=0 train_cfg.max_iters=2" in result["command"]
    rows = [[cell.strip() for cell in line.split("|")[1:-1]] for line in table.splitlines() if line.startswith("| ")]
    assert [row[1] for row in rows] == ["Backbone", "---", "random", "ce"]
    assert [row[0] for row in rows[2:]] == ["small", "small"]
    assert [row[5] for row in rows[2:]] == ["60.2 / 33.8 / 33.1", "76.5 / 48.5 / 51.0"]
    assert all(0 <= float(cell) <= 100 for row in rows[2:] for cell in row[2:5])
    assert "2 of 2 runs" in table
    assert "<td>76.5 / 48.5 / 51.0</td>" in (out / "table.html").read_text()


def test_predict(trained: Path, config: Path, devkit: Path, tmp_path: Path) -> None:
    images = devkit / "VOC2007" / "JPEGImages"
    out = tmp_path / "out"
    done = run_tool(
        "detection/predict.py", config, trained, images, "-o", out, "--score-threshold", "0.02", logs=tmp_path
    )
    assert done.exit_code == 0, done.output
    found: dict[str, Any] = json.loads((out / "predictions.json").read_text())
    assert found["checkpoint"] == str(trained / "iter_4.pth")
    names = sorted(path.stem for path in images.glob("*.jpg"))
    assert [Path(record["file"]).stem for record in found["images"]] == names
    assert sum(len(record["detections"]) for record in found["images"]) > 0
    for record in found["images"]:
        scores = [one["score"] for one in record["detections"]]
        assert scores == sorted(scores, reverse=True)
        assert all(0.02 <= score <= 1 for score in scores)
        for one in record["detections"]:
            left, top, right, bottom = one["box"]
            assert 0 <= left <= right <= record["width"] == 96
            assert 0 <= top <= bottom <= record["height"] == 64
        with Image.open(out / f"{Path(record['file']).stem}.png") as drawn:
            assert drawn.size == (96, 64)


def test_predict_goes_on_after_a_broken_image(trained: Path, config: Path, devkit: Path, tmp_path: Path) -> None:
    """A cut-off file, which OpenCV would fill with gray; the other one is turned upright, as in training."""
    whole = tmp_path / "turned.jpg"
    exif = Image.Exif()
    exif[0x0112] = 6  # orientation: turned by 90 degrees
    Image.open(sorted((devkit / "VOC2007" / "JPEGImages").glob("*.jpg"))[0]).save(whole, exif=exif)
    cut = tmp_path / "cut.jpg"
    cut.write_bytes(whole.read_bytes()[:-500])
    done = run_tool("detection/predict.py", config, trained, cut, whole, "-o", tmp_path / "out", logs=tmp_path)
    assert done.exit_code == 1
    assert len(done.error_lines) == 1
    assert f"1 of 2 images cannot be read, first {cut} (OSError: image file is truncated" in done.error_lines[0]
    found = json.loads((tmp_path / "out" / "predictions.json").read_text())
    assert [(one["file"], one["width"], one["height"]) for one in found["images"]] == [(str(whole), 64, 96)]


def test_mistakes(trained: Path, config: Path, classifiers: dict[int, Path], tmp_path: Path) -> None:
    """Of each tool: one line, and no traceback."""
    damaged = make_voc(tmp_path)
    write_annotation(damaged / "VOC2007" / "Annotations" / "2007_000001.xml", [("cat", (9, 9, 9, 20), 0)])
    wrong = tmp_path / "wrong.py"
    wrong.write_text(
        f"_base_ = {str(config)!r}\ntrain_dataloader = dict(dataset=dict(dataset=dict(data_root={str(damaged)!r})))\n"
    )
    queue = tmp_path / "queue.pth"
    torch.save({"state_dict": {"queue.features": torch.ones(2, 2), "backbone.conv1.weight": torch.ones(3)}}, queue)
    (tmp_path / "notes.png").write_text("no image")
    (tmp_path / "empty").mkdir()
    work_dir = tmp_path / "work"
    expect_errors(
        "train.py",
        {
            (config, "--work-dir", work_dir / "1"): (
                "nothing initialises the backbone: give a checkpoint of a classifier with --backbone CKPT"
            ),
            (config, "--work-dir", work_dir / "2", "--backbone", queue): (
                "only 0 of the 100 tensors of the detector's backbone are in"
            ),
            (config, "--work-dir", work_dir / "3", "--backbone", "none.pth"): "--backbone none.pth does not exist",
            (
                *(config, "--work-dir", work_dir / "4", "--backbone", "random"),
                *("--cfg-options", "model.roi_head.bbox_head.num_classes=21"),
            ): "the training set has 20 classes, but the detector's bbox_head.num_classes=21",
            (
                *(config, "--work-dir", work_dir / "6", "--backbone", "random"),
                *("--cfg-options", "train_dataloader.sampler.type=DefaultSampler"),
            ): "train_dataloader has sampler DefaultSampler and dataset SeededDataset, so that a resumed run would",
            (wrong, "--work-dir", work_dir / "5", "--backbone", "random"): (
                "(cat) has an empty box: x 9 to 9, y 9 to 20; 1 of the 3 images"
            ),
        },
        tmp_path / "train",
    )
    predict = (config, trained)
    expect_errors(
        "detection/predict.py",
        {
            (*predict, "none.jpg", "-o", work_dir): "none.jpg does not exist",
            (*predict, tmp_path / "empty", "-o", work_dir): "has no image in it",
            (*predict, tmp_path / "notes.png", "-o", work_dir): "1 of 1 images cannot be read, first",
            (*predict, "x.jpg", "-o", work_dir, "--score-threshold", "2"): "--score-threshold 2.0 must be from 0 to 1",
            (config, classifiers[18], tmp_path / "notes.png", "-o", work_dir): "is a checkpoint of another model",
        },
        tmp_path / "predict",
    )
    expect_errors(
        "sweep.py",
        {
            (config, "--backbones", "none.pth"): "none.pth does not exist",
            (config, "--backbones", "random", "random"): "two that are called 'random'",
            (config, "--backbones", queue): "only 0 of the 100 tensors",
            (config, "--backbones", "random", "--gpus", "0"): "--gpus 0 must be 1 or more",
            (ROOT / "configs/ce/ce_r32_digits.py", "--backbones", "random"): "the option is for detectors",
        },
        tmp_path / "transfer",
    )


def test_no_pickle_is_run(config: Path, tmp_path: Path) -> None:
    """Of the file that --backbone names; other tools are in tests/tools/test_malicious_checkpoints.py."""
    from tests.tools.test_malicious_checkpoints import Touch

    marker, evil = tmp_path / "executed", tmp_path / "evil.pth"
    torch.save({"state_dict": Touch(marker)}, evil)
    arguments = ["--backbone", str(evil), "--work-dir", str(tmp_path / "work")]
    done = run_tool("train.py", config, *arguments, logs=tmp_path)
    assert done.exit_code == 1
    assert "--allow-pickle" in done.error_lines[0]
    assert not marker.exists()
    run_tool("train.py", config, *arguments, "--allow-pickle", logs=tmp_path)
    assert marker.exists()


BLOCKER = """\
import runpy, sys
import mmengine.config.config
sys.modules["{module}"] = None
if "{module}" == "mmdet":
    mmengine.config.config.is_installed = lambda package: package != "mmdet"
for name in [name for name in sys.modules if name.startswith("lt_plugins.detection")]:
    del sys.modules[name]
sys.argv[0] = {tool!r}
runpy.run_path({tool!r}, run_name="__main__")
"""


@pytest.mark.parametrize(
    ("module", "message"),
    [
        ("mmcv._ext", "detection needs mmcv's compiled operators"),
        ("mmdet", "detection needs mmdet, "),
    ],
)
def test_what_is_missing_is_named_with_the_command(module: str, message: str, tmp_path: Path) -> None:
    calls: dict[str, list[str]] = {
        "train.py": [CONFIG, "--backbone", "random"],
        "test.py": [CONFIG, "none.pth"],
        "detection/predict.py": [CONFIG, "none.pth", "none.jpg", "-o", "out"],
        "sweep.py": [CONFIG, "--backbones", "random"],
    }
    started = {}
    for tool, arguments in calls.items():
        script = tmp_path / tool.replace("/", "_")
        script.write_text(BLOCKER.format(module=module, tool=str(ROOT / "tools" / tool)))
        started[tool] = start_tool(str(script), *arguments, logs=tmp_path / script.stem)
    for tool, process in started.items():
        process.wait()
        assert process.exit_code == 1, process.output
        assert len(process.error_lines) == 1, f"{tool}: {process.output}"
        assert message in process.error_lines[0]
        assert "run: pip install" in process.error_lines[0]
        assert "Traceback" not in process.output


def test_a_diverged_detector_stops(config: Path, classifiers: dict[int, Path], tmp_path: Path) -> None:
    options = ["--cfg-options", "optim_wrapper.optimizer.lr=1e30"]
    arguments: list[str | Path] = ["--backbone", classifiers[18], "--work-dir", tmp_path / "run", *options]
    done = run_tool("train.py", config, *arguments, logs=tmp_path)
    assert done.exit_code == 1, done.output
    assert len(done.error_lines) == 1 and "the training has diverged: " in done.error_lines[0], done.output
    assert not list((tmp_path / "run").glob("*.pth"))
